"""The manual pages and the completions of the shells: made from the program, so they know everything that it knows."""
import os
import re
import shutil
import socket
import subprocess
import tempfile

from harness import WeirTest, binary, config, echo, run_command

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMPLETIONS = os.path.join(ROOT, "packaging", "completions")
BASH = """source "$1"; shift
compopt() { :; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_weir
printf '%s\\n' "${COMPREPLY[@]}"
"""


def page(name):
    code, out, err = run_command("manual", name)
    assert (code, err) == (0, ""), err
    return out


def plain(text):
    return text.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")


class Manual(WeirTest):
    def test_every_command_and_option(self):
        text = plain(page("weir.1"))
        commands = re.findall(r"^  ([a-z-]+) ", run_command("--help")[1].partition("Commands:")[2].partition("\n\n")[0], re.M)
        self.assertGreater(len(commands), 5)
        for command in commands:
            self.assertIn(f".SS weir {command} ", text)
            for option in re.findall(r"(--[a-z-]+)", run_command(command, "--help")[1].partition("Options:")[2].partition("\n\n")[0]):
                self.assertIn(option, text, command)

    def test_every_key(self):
        text = plain(page("weir.yaml.5"))
        with open(os.path.join(ROOT, "docs", "configuration.md")) as file:
            reference = file.read()
        sections = re.findall(r"^## `(.+)`$", reference, re.M)
        self.assertGreater(len(sections), 15)
        for section in sections:
            self.assertIn(f".SS {section}\n", text)
        for key in set(re.findall(r"^\| `([a-z_]+)` \|", reference, re.M)):
            self.assertIn(f"\n{key}: ", text)

    def test_man_has_nothing_to_complain_of(self):
        if not shutil.which("man"):
            self.skipTest("no man here")
        for name in ("weir.1", "weir.yaml.5"):
            with tempfile.TemporaryDirectory(prefix="weir-man-") as folder:
                path = os.path.join(folder, name)
                with open(path, "w") as file:
                    file.write(page(name))
                done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path], capture_output=True, text=True, timeout=60,
                                      env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANROFFSEQ": ""})
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_unknown_page(self):
        code, out, err = run_command("manual", "weir.2")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("weir.yaml.5", err)


class Completions(WeirTest):
    def complete(self, *words, directory=None, **environment):
        code, out, err = run_command("complete", *words, directory=directory, environment=environment)
        self.assertEqual((code, err), (0, ""))
        return [line.partition("\t")[0] for line in out.splitlines()]

    def test_commands(self):
        self.assertIn("check", self.complete(""))
        self.assertEqual(self.complete("ch"), ["check"])
        self.assertIn("--version", self.complete("--v"))

    def test_files_and_options(self):
        self.assertEqual(self.complete("check", ""), [":files"])
        self.assertEqual(self.complete("demo-backend", "--de"), ["--delay"])
        self.assertEqual(self.complete("demo-backend", "--bind", ""), [])
        self.assertEqual(self.complete("demo-backend", "--verbose", "--na"), ["--name"])
        self.assertEqual(self.complete("version", ""), [])
        self.assertEqual(self.complete("nonsense", "--zz"), [])

    def test_files(self):
        for command in ("run", "check", "explain"):
            self.assertEqual(self.complete(command, ""), [":files"], command)

    def test_explain(self):
        daemon = self.weir(config([self.origin(echo)], listeners={"web": {"bind": ["127.0.0.1:0", "127.0.0.2:0"]}, "within": {"bind": "127.0.0.1:0"}}))
        for words in (("weir.yaml",), ("--live",), ("--client", "10.0.0.1", "weir.yaml"), ("weir.yaml", "--dev")):
            self.assertEqual(self.complete("explain", *words, "P"), ["POST", "PUT", "PATCH"], words)
            self.assertEqual(self.complete("explain", *words, "GET", ""), [], words)
        for words in ((daemon.path,), (daemon.path, "GET", "/"), ("--live",), ("GET", "/", "--live")):
            self.assertEqual(self.complete("explain", *words, "--listener", "", WEIR_ADMIN=daemon.socket_path), ["web", "within"], words)
            self.assertEqual(self.complete("explain", *words, "--listener", "wi", WEIR_ADMIN=daemon.socket_path), ["within"], words)
        for words in ((), ("/nonexistent.yaml",), ("--live",)):
            self.assertEqual(self.complete("explain", *words, "--listener", "", WEIR_ADMIN="/nonexistent/admin.sock"), [], words)
        done = subprocess.run(["bash", "-c", BASH, "bash", os.path.join(COMPLETIONS, "weir.bash"), binary(), "explain", daemon.path, "D"], capture_output=True, text=True, timeout=30)
        self.assertEqual((done.stdout.split(), done.stderr), (["DELETE"], ""))

    def test_backends_of_the_running_daemon(self):
        daemon = self.weir(config([self.origin(echo), self.origin(echo)]))
        both = ["app/b1", "app/b2"]
        for words in (("drain", ""), ("enable", "ap"), ("disable", "app/"), ("backend", "remove", ""), ("backend", "weight", ""), ("drain", "--no-wait", "")):
            self.assertEqual(self.complete(*words, WEIR_ADMIN=daemon.socket_path), both, words)
            self.assertEqual(self.complete(words[0], "--admin", daemon.socket_path, *words[1:]), both, words)
        self.assertEqual(self.complete("drain", "app/b2", WEIR_ADMIN=daemon.socket_path), ["app/b2"])
        self.assertEqual(self.complete("drain", "app/b1", "", WEIR_ADMIN=daemon.socket_path), [])
        self.assertEqual(self.complete("backend", ""), ["add", "weight", "remove"])
        self.assertEqual(self.complete("backend", "re"), ["remove"])
        self.assertEqual(self.complete("backend", "add", "", WEIR_ADMIN=daemon.socket_path), [])
        done = subprocess.run(["bash", "-c", BASH, "bash", os.path.join(COMPLETIONS, "weir.bash"), binary(), "drain", "app/b"], capture_output=True,
                              text=True, timeout=30, env={**os.environ, "WEIR_ADMIN": daemon.socket_path})
        self.assertEqual((done.stdout.split(), done.stderr), (both, ""))

    def test_who_types_does_not_wait_for_a_daemon(self):
        self.assertEqual(self.complete("drain", "", WEIR_ADMIN="/nonexistent/admin.sock"), [])
        with tempfile.TemporaryDirectory(prefix="weir-completion-") as folder, socket.socket(socket.AF_UNIX) as silent:
            silent.bind(path := os.path.join(folder, "silent.sock"))
            silent.listen(5)
            self.assertEqual(self.complete("drain", "", WEIR_ADMIN=path), [])

    def bash(self, *words, directory):
        return subprocess.run(["bash", "-c", BASH, "bash", os.path.join(COMPLETIONS, "weir.bash"), binary(), *words], capture_output=True, text=True,
                              cwd=directory, timeout=30).stdout.split()

    def test_bash(self):
        with tempfile.TemporaryDirectory(prefix="weir-completion-") as folder:
            open(os.path.join(folder, "shop.yaml"), "w").close()
            self.assertEqual(self.bash("sch", directory=folder), ["schema"])
            self.assertEqual(self.bash("check", "sh", directory=folder), ["shop.yaml"])
            self.assertEqual(self.bash("demo-backend", "--na", directory=folder), ["--name"])

    def test_bash_and_names_with_colons(self):
        """Backends from DNS are called by address and port; bash has taken the word apart, and wants the last piece alone."""
        with tempfile.TemporaryDirectory(prefix="weir-completion-") as folder:
            asked, program = os.path.join(folder, "asked"), os.path.join(folder, "weir")
            with open(program, "w") as file:
                file.write(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {asked}\nprintf 'app/10.0.0.7:8080\\tup\\napp/10.0.0.7:8081\\tup\\n'\n")
            os.chmod(program, 0o755)
            for words, last in ((("app/10.0.0.7", ":", "80"), "app/10.0.0.7:80"), (("app/10.0.0.7", ":"), "app/10.0.0.7:")):
                done = subprocess.run(["bash", "-c", BASH, "bash", os.path.join(COMPLETIONS, "weir.bash"), program, "drain", *words], capture_output=True,
                                      text=True, timeout=30)
                self.assertEqual((done.stdout.split(), done.stderr), (["8080", "8081"], ""))
                with open(asked) as file:
                    self.assertEqual(file.read().split(), ["complete", "drain", last])

    def test_fish(self):
        if not shutil.which("fish"):
            self.skipTest("no fish here")
        with tempfile.TemporaryDirectory(prefix="weir-completion-") as folder:
            os.symlink(binary(), os.path.join(folder, "weir"))
            script = f"set -x PATH {folder} $PATH; source {COMPLETIONS}/weir.fish; complete -C 'weir sch'"
            done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, timeout=30, env={**os.environ, "HOME": folder})
            self.assertEqual([line.split("\t")[0] for line in done.stdout.splitlines()], ["schema"], done.stderr)

    def test_zsh(self):
        if not shutil.which("zsh"):
            self.skipTest("no zsh here")
        done = subprocess.run(["zsh", "-n", os.path.join(COMPLETIONS, "weir.zsh")], capture_output=True, text=True, timeout=30)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
