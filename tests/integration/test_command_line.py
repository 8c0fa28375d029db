"""The command line: help, versions, mistakes, `check` and `schema`."""
import json
import os
import tempfile
import threading

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
        for command in ("run", "check", "schema", "demo-backend", "version", "help"):
            self.assertIn(f"\n  {command} ", out)
            code, out_of_it, _ = run_command(command, "--help")
            self.assertEqual(code, 0)
            self.assertIn(f"Usage: weir {command}", out_of_it)

    def test_version(self):
        self.assertRegex(run_command("version")[1], r"^weir \d+\.\d+\.\d+\n$")
        self.assertEqual(run_command("--version")[1], run_command("version")[1])

    def test_help_as_a_command(self):
        self.assertEqual(run_command("help"), run_command("--help"))
        self.assertEqual(run_command("help", "run"), run_command("run", "--help"))
        code, out, err = run_command("help", "rum")
        self.assertEqual((code, out), (2, ""))
        self.assertIn('did you mean "run"', err)
        self.assertNotIn("Every day", run_command("version", "--help")[1])

    def test_unknown_options(self):
        for option in ("-v", "--verison", "--config=weir.yaml"):
            code, out, err = run_command(option)
            self.assertEqual((code, out, len(err.splitlines())), (2, "", 1), err)
            self.assertIn(f"there is no option {option}; ", err)

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
        path = self.file(GOOD.replace("127.0.0.1:1\"", "no..where\"") + "nonsense: 1\n")
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

    def test_several_routes_together_leave_nothing_to_another(self):
        path = self.file(GOOD.replace("routes:\n", "routes:\n  - { name: get, match: { path: /x, method: GET }, pool: app }\n  - { name: post, match: { path: /x, method: POST }, pool: app }\n"
                                      "  - { name: late, match: { path: /x, method: [GET, POST] }, pool: app }\n"))
        code, _, err = run_command("check", path)
        self.assertEqual(code, 2)
        self.assertRegex(err, r"route late can never match: routes get \(line \d+\) and post \(line \d+\) together take all of its requests; put this one before them, or remove it")

    def test_check_of_a_file_that_is_not_there(self):
        code, out, err = run_command("check", "/nonexistent/weir.yaml")
        self.assertEqual((code, out, len(err.splitlines())), (1, "", 1))
        self.assertEqual(err, "weir: /nonexistent/weir.yaml: can't be read: No such file or directory\n")
        self.assertEqual(run_command("run", "/nonexistent/weir.yaml"), (1, "", err))

    def test_run_reports_what_check_reports(self):
        path = self.file(GOOD.replace("127.0.0.1:1\"", "no..where\"") + "nonsense: 1\n")
        self.assertEqual(run_command("run", path), run_command("check", path))
        self.assertRegex(run_command("check", path)[2], r": 2 errors; nothing was started or changed\n$")

    def test_warnings_say_so_behind_their_place(self):
        path = self.file(GOOD.replace("pools: { app", "pools: { idle: { backends: { a: \"http://127.0.0.1:3\" } }, app"))
        code, out, err = run_command("check", path)
        self.assertEqual(code, 0)
        self.assertEqual(err, f"{path}:2:10: warning: no route leads to pool idle; remove it, or write a route\n")
        self.assertTrue(out.endswith("; 1 warning\n"), out)

    def test_only_check_reads_from_a_pipe(self):
        path = self.file(GOOD)
        pipe = os.path.join(os.path.dirname(path), "pipe")
        os.mkfifo(pipe)
        code, out, err = run_command("run", pipe)
        self.assertEqual((code, out, err), (1, "", f"weir: {pipe}: can't be read: it is not an ordinary file\n"))
        writer = threading.Thread(target=lambda: open(pipe, "w").write(GOOD), daemon=True)
        writer.start()
        code, out, _ = run_command("check", pipe)
        self.assertEqual(code, 0)
        self.assertIn("ok: 1 listener", out)
        writer.join(10)

    def test_schema_is_json(self):
        code, out, _ = run_command("schema")
        self.assertEqual(code, 0)
        self.assertIn("listeners", json.loads(out)["properties"])
