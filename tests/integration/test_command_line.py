"""The command line: help, versions, mistakes, `check` and `schema`."""
import json
import os
import tempfile

from harness import WeirTest, run_command

GOOD = """listeners: { web: { bind: "127.0.0.1:0" } }
pools: { app: { backends: { a: "http://127.0.0.1:1", b: "http://127.0.0.1:2" } } }
routes:
  - { match: { path: /a }, pool: app }
  - { pool: app }
"""


class CommandLine(WeirTest):
    def file(self, text):
        folder = tempfile.TemporaryDirectory(prefix="weir-cli-")
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "weir.yaml")
        with open(path, "w") as out:
            out.write(text)
        return path

    def test_help_of_every_command(self):
        code, out, _ = run_command("--help")
        self.assertEqual(code, 0)
        for command in ("run", "check", "schema", "demo-backend", "version"):
            self.assertIn(f"\n  {command} ", out)
            code, out_of_it, _ = run_command(command, "--help")
            self.assertEqual(code, 0)
            self.assertIn(f"Usage: weir {command}", out_of_it)

    def test_version(self):
        self.assertRegex(run_command("version")[1], r"^weir \d+\.\d+\.\d+\n$")
        self.assertEqual(run_command("--version")[1], run_command("version")[1])

    def test_nothing_at_all_shows_the_help_and_is_an_error(self):
        code, out, err = run_command()
        self.assertEqual((code, out), (2, ""))
        self.assertIn("Usage: weir", err)

    def test_mistakes_get_a_suggestion(self):
        path = self.file(GOOD)
        for arguments, wanted in ((["chekc"], 'did you mean "check"'), ([path], f"weir run {path}"), (["check", "--hepl"], 'did you mean "--help"'),
                                  (["check", path, path], "weir check --help")):
            code, out, err = run_command(*arguments)
            self.assertEqual((code, out, len(err.splitlines())), (2, "", 1), err)
            self.assertIn(wanted, err)

    def test_check_sums_a_good_file_up_in_one_line(self):
        path = self.file(GOOD)
        self.assertEqual(run_command("check", path), (0, f"{path}: ok: 1 listener, 1 pool, 2 backends, 2 routes\n", ""))

    def test_check_lists_all_errors(self):
        path = self.file(GOOD.replace("127.0.0.1:1\"", "nowhere\"") + "nonsense: 1\n")
        code, out, err = run_command("check", path)
        self.assertEqual((code, out), (2, ""))
        self.assertIn(f"{path}:2:", err)
        self.assertIn(f"{path}:6:1: ", err)

    def test_dead_routes_are_errors_in_check_and_run_alike(self):
        path = self.file(GOOD + "  - { name: late, match: { path: /b }, pool: app }\n")
        for command in ("check", "run"):
            code, _, err = run_command(command, path)
            self.assertEqual(code, 2)
            self.assertIn(f"{path}:6:", err)
            self.assertIn("route late can never match", err)

    def test_check_of_a_file_that_is_not_there(self):
        code, out, err = run_command("check", "/nonexistent/weir.yaml")
        self.assertEqual((code, out, len(err.splitlines())), (1, "", 1))

    def test_schema_is_json(self):
        code, out, _ = run_command("schema")
        self.assertEqual(code, 0)
        self.assertIn("listeners", json.loads(out)["properties"])
