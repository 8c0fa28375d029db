"""What stands in packaging/ and can be looked at without installing it: unit, container, maintainer scripts, default configuration."""
import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import WeirTest, run_command

KEEPALIVED = shutil.which("keepalived", path=os.environ.get("PATH", "") + ":/usr/sbin")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGING = os.path.join(ROOT, "packaging")


def read(*path):
    with open(os.path.join(PACKAGING, *path), encoding="utf-8") as file:
        return file.read()


class Packaging(WeirTest):
    def test_the_configuration_that_is_installed(self):
        code, out, err = run_command("check", os.path.join(PACKAGING, "debian", "weir.yaml"))
        self.assertEqual((code, err), (0, ""))

    def test_what_it_suggests_is_right_too(self):
        """The commented lines are YAML that loads, once the comment signs are gone."""
        text = read("debian", "weir.yaml")
        text = re.sub(r"^# (pools:|  [a-z ]+:)", r"\1", text, flags=re.M)
        text = re.sub(r"^  # (- \{|metrics:|format:)", r"  \1", text, flags=re.M)
        text = text[:text.index("  - name: welcome")]
        self.assertIn("\n  - { pool: app }", text)
        with tempfile.TemporaryDirectory(prefix="weir-default-") as folder:
            path = os.path.join(folder, "weir.yaml")
            with open(path, "w") as file:
                file.write(text)
            code, out, err = run_command("check", path)
            self.assertEqual((code, err), (0, ""))
            self.assertIn("2 backends, 2 routes", out)

    def test_containerfile(self):
        text = read("Containerfile")
        self.assertEqual(set(re.findall(r"^FROM (\S+)", text, re.M)), {"docker.io/library/debian:12"})
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M):
            for source in line.split()[:-1]:
                self.assertTrue(os.path.exists(os.path.join(ROOT, source)), f"COPY {source}")
        copied = {word for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M) for word in line.split()[:-1]}
        for needed in ("CMakeLists.txt", "CMakePresets.json", "lb", "health", "config", "packaging"):
            self.assertIn(needed, copied)
        for line in re.findall(r"^RUN (packaging/install-deps) (.+)$", text, re.M):
            self.assertTrue(os.access(os.path.join(ROOT, line[0]), os.X_OK))
            listed = subprocess.run([os.path.join(ROOT, line[0]), "--list", *line[1].split()], capture_output=True, text=True, timeout=30)
            self.assertEqual(listed.returncode, 0, listed.stderr)
            self.assertIn("g++", listed.stdout.split())
        for program in re.findall(r"^RUN (packaging/[\w-]+)", text, re.M):
            self.assertTrue(os.access(os.path.join(ROOT, program), os.X_OK), program)

    def test_unit(self):
        unit = read("systemd", "weir.service")
        for line in ("Type=notify", "NotifyAccess=all", "ExecStartPre=/usr/bin/weir check", "ExecStart=/usr/bin/weir run", "ExecReload=/usr/bin/weir reload", "Restart=on-failure",
                     "RuntimeDirectory=weir", "AmbientCapabilities=CAP_NET_BIND_SERVICE", "User=weir"):
            self.assertIn(line + "\n", unit)
        if not shutil.which("systemd-analyze"):
            self.skipTest("no systemd here")
        with tempfile.TemporaryDirectory(prefix="weir-unit-") as folder:
            for name, text in (("weir.service", unit.replace("/usr/bin/weir", "/bin/true").replace("Documentation=man:weir(1) man:weir.yaml(5)\n", "")
                                .replace("User=weir\nGroup=weir\n", "User=daemon\nGroup=daemon\n")), ("weir.socket", read("systemd", "weir.socket"))):
                with open(os.path.join(folder, name), "w") as file:
                    file.write(text)
            for name in ("weir.service", "weir.socket"):
                done = subprocess.run(["systemd-analyze", "verify", "--recursive-errors=no", os.path.join(folder, name)], capture_output=True, text=True, timeout=60)
                self.assertEqual((done.returncode, [line for line in done.stderr.splitlines() if "weir" in line]), (0, []), done.stderr)
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", os.path.join(folder, "weir.service")],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr)

    def test_maintainer_scripts(self):
        for name in ("postinst", "prerm", "postrm"):
            path = os.path.join(PACKAGING, "debian", name)
            self.assertTrue(os.access(path, os.X_OK))
            self.assertIn("set -e\n", read("debian", name))
            self.assertEqual(subprocess.run(["sh", "-n", path], capture_output=True, text=True).stderr, "")

    def test_examples_that_go_together(self):
        weir, keepalived = read("examples", "two-instances.yaml"), read("examples", "keepalived.conf")
        admin = re.search(r"^  bind: \"(127\.0\.0\.1:\d+)\"", weir, re.M)[1]
        self.assertIn(f"http://{admin}/-/ready", keepalived)
        self.assertIn('bind: ":80"', read("debian", "weir.yaml"))
        self.assertIn("ListenStream=[::]:80\n", read("systemd", "weir.socket"))

    @unittest.skipUnless(KEEPALIVED and os.geteuid() == 0, "keepalived is not installed, or this is not root")
    def test_keepalived_understands_its_file(self):
        """By --config-test, whose exit code says nothing: it ends itself by a signal. What it complains of has a line."""
        def complaints(text):
            with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
                file.write(text)
                file.flush()
                done = subprocess.run([KEEPALIVED, "--config-test", "--use-file", file.name], capture_output=True, text=True,
                                      stdin=subprocess.DEVNULL, start_new_session=True, timeout=60)
            return [line for line in (done.stdout + done.stderr).splitlines() if ": Line " in line and "loopback" not in line]
        known = [name for name in sorted(os.listdir("/sys/class/net")) if os.path.isdir(f"/sys/class/net/{name}")]
        interface = next((name for name in known if name != "lo"), "lo")  # it looks for it
        text = read("examples", "keepalived.conf").replace("eth0", interface)
        self.assertEqual(complaints(text), [])
        self.assertEqual(len(complaints(text.replace("nopreempt", "nopremt"))), 1)

    def test_version_of_the_changelog(self):
        with open(os.path.join(ROOT, "CMakeLists.txt")) as file:
            version = re.search(r"project\(weir VERSION (\S+)", file.read())[1]
        self.assertTrue(read("debian", "changelog").startswith(f"weir ({version}) "))

    def test_every_example_is_checked(self):
        """tests/run checks packaging/examples/*.yaml; here, that none hides elsewhere."""
        certificates = tempfile.mkdtemp(prefix="weir-examples-")
        self.addCleanup(shutil.rmtree, certificates, ignore_errors=True)
        subprocess.run([os.path.join(PACKAGING, "examples", "make-certificates"), certificates], check=True)
        for path in glob.glob(os.path.join(PACKAGING, "examples", "*.yaml")) + glob.glob(os.path.join(PACKAGING, "examples", "*", "weir.yaml")):
            with self.subTest(example=os.path.basename(path)):
                dev = ["--dev"] if path.endswith("-dev.yaml") else []
                code, out, err = run_command("check", *dev, path, environment={"TLS": certificates, "XDG_STATE_HOME": certificates})
                self.assertEqual((code, err), (0, ""))
