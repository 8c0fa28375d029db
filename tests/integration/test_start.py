"""Starting: what goes wrong is one clear line and exit code 1, or all errors of the configuration and exit code 2."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from harness import WeirTest, binary, config, echo, run_command


class Start(WeirTest):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="weir-start-")
        self.addCleanup(self.folder.cleanup)
        os.chmod(self.folder.name, 0o755)

    def write(self, configuration, name="weir.yaml"):
        path = os.path.join(self.folder.name, name)
        with open(path, "w") as file:
            file.write(configuration if isinstance(configuration, str) else json.dumps(configuration, indent=1))
        return path

    def assert_one_line(self, path, *pieces):
        code, out, err = run_command("run", path)
        self.assertEqual(code, 1, err)
        lines = [line for line in err.splitlines() if line]
        self.assertEqual(len(lines), 1, err)
        for piece in pieces:
            self.assertIn(piece, lines[0])
        return lines[0]

    def bound(self, address, **more):
        return self.write(config(["http://127.0.0.1:1"], listeners={"web": {"bind": address}}, **more))

    def test_port_of_another_program(self):
        taken = self.origin()
        self.assertIn("in use", self.assert_one_line(self.bound(taken.address), taken.address).lower())

    def test_port_of_another_program_that_shares(self):
        """SO_REUSEPORT there must not let us steal half of its connections."""
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        self.assert_one_line(self.bound("127.0.0.1:%d" % taken.getsockname()[1]), "in use")

    def test_port_of_a_second_weir(self):
        origin = self.origin(echo)
        first = self.weir(config([origin], workers=2))
        self.assert_one_line(self.bound(first.address(), workers=2), first.address())
        for _ in range(10):
            self.assertEqual(first.get("/").status, 200)

    def test_admin_port_in_use(self):
        taken = self.origin()
        self.assert_one_line(self.write({**config(["http://127.0.0.1:1"]), "admin": {"bind": taken.address}}), taken.address)

    def test_metrics_port_in_use(self):
        """The admin's own listener was opened before; nothing says so."""
        taken = self.origin()
        admin = {"bind": "127.0.0.1:0", "metrics": {"bind": taken.address}}
        self.assert_one_line(self.write({**config(["http://127.0.0.1:1"]), "admin": admin}), taken.address)

    def test_unix_socket_of_a_second_weir(self):
        path = os.path.join(self.folder.name, "w.sock")
        origin = self.origin(echo)
        first = self.weir(config([origin], listeners={"web": {"bind": "unix:" + path}}))
        self.assert_one_line(self.bound("unix:" + path), path)
        self.assertEqual(first.get("/").status, 200)

    def test_unix_socket_left_over(self):
        path = os.path.join(self.folder.name, "w.sock")
        origin = self.origin(echo)
        settings = config([origin], listeners={"web": {"bind": "unix:" + path}})
        first = self.weir(settings)
        self.assertEqual(first.get("/").status, 200)
        first.kill()
        self.assertTrue(os.path.exists(path))
        second = self.weir(settings)
        self.assertEqual(second.get("/").status, 200)

    def test_unix_path_that_is_no_socket(self):
        path = self.write("precious", "file")
        self.assert_one_line(self.bound("unix:" + path), path)
        with open(path) as file:
            self.assertEqual(file.read(), "precious")

    def test_address_that_is_not_here(self):
        self.assert_one_line(self.bound("192.0.2.1:8080"), "192.0.2.1:8080")

    def test_missing_file(self):
        path = os.path.join(self.folder.name, "nothing.yaml")
        self.assert_one_line(path, path)

    def test_folder_instead_of_a_file(self):
        self.assert_one_line(self.folder.name, self.folder.name)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to give privileges up")
    def test_no_permission(self):
        path = self.write(config(["http://127.0.0.1:1"]))
        os.chmod(path, 0o600)
        self.assert_unprivileged(path, path)
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
            if int(file.read()) <= 80:
                return
        path = self.bound("127.0.0.1:79")
        os.chmod(path, 0o644)
        self.assert_unprivileged(path, "127.0.0.1:79")

    def assert_unprivileged(self, path, piece):
        program = os.path.join(self.folder.name, "weir")
        if not os.path.exists(program):
            shutil.copy(binary(), program)  # the build folder may be closed to others
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "run", path], capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 1, done.stderr)
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertIn(piece, lines[0])
        self.assertIn("ermission", lines[0])

    def test_access_log_that_cannot_be_written(self):
        path = "/nonexistent-weir/access.log"
        self.assert_one_line(self.write(config(["http://127.0.0.1:1"], log={"access": path})), path)

    def test_bad_configuration_lists_every_error(self):
        path = self.write("listeners: { web: { bind: \"127.0.0.1:0\", typo: 1 } }\npools:\n  app:\n    balance: roundrobin\n    backends: { a: \"http://127.0.0.1:1\" }\n"
                          "    timeout: { connect: 5 }\nroutes: [ { pool: nowhere } ]\n")
        for command in ("run", "check"):
            with self.subTest(command=command):
                code, out, err = run_command(command, path)
                self.assertEqual(code, 2)
                for place in (":1:", ":4:", ":6:", ":7:"):
                    self.assertIn(path + place, err + out)
                self.assertIn("round_robin", err + out, "a suggestion")

    def test_invalid_yaml(self):
        code, out, err = run_command("run", self.write("listeners: [\n"))
        self.assertEqual(code, 2)
        self.assertRegex(err, r"weir\.yaml:\d+:\d+: ")

    def test_later_features_say_so(self):
        code, out, err = run_command("check", self.write({**config(["http://127.0.0.1:1"]), "cache": {"memory": "1MiB"}}))
        self.assertEqual(code, 2)
        self.assertIn("not supported yet", err + out)

    def test_check_of_a_good_file(self):
        code, out, err = run_command("check", self.write(config(["http://127.0.0.1:1"])))
        self.assertEqual(code, 0, err)

    def test_minimal_file(self):
        origin = self.origin(lambda m, c: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        daemon = self.weir(f'listeners: {{ web: {{ bind: "127.0.0.1:0" }} }}\npools:     {{ app: {{ backends: {{ a: "{origin.url}" }} }} }}\nroutes:    [ {{ pool: app }} ]\n')
        self.assertEqual(daemon.get("/").text, "ok")
        daemon.signal(15)
        self.assertEqual(daemon.wait_exit(), 0)

    def test_access_log_on_stdout(self):
        origin = self.origin(echo)
        daemon = self.weir({**config([origin]), "log": {"access": "stdout"}}, access_log=False)
        self.assertEqual(daemon.get("/line").status, 200)
        daemon.signal(15)
        self.assertEqual(daemon.wait_exit(), 0)
        self.assertEqual([json.loads(line)["target"] for line in daemon.stdout], ["/line"])

    def test_environment_and_several_files(self):
        origin = self.origin(echo)
        os.mkdir(os.path.join(self.folder.name, "conf.d"))
        self.write({"pools": {"app": {"backends": {"a": "${WEIR_TEST_BACKEND}"}}}, "routes": [{"pool": "app"}]}, "conf.d/app.yaml")
        main = self.write({"include": [os.path.join(self.folder.name, "conf.d", "*.yaml")], "listeners": {"web": {"bind": "127.0.0.1:0"}}, "admin": {"bind": "127.0.0.1:0"}})
        with open(main) as file:
            daemon = self.weir(file.read(), environment={"WEIR_TEST_BACKEND": origin.url})
        self.assertEqual(daemon.get("/").status, 200)

    def test_too_few_descriptors(self):
        for nofile, more in ((200, {}), (256, {}), (383, {}), (300, {"limits": {"connections": 40}})):
            with self.subTest(nofile=nofile):
                path = self.write(config(["http://127.0.0.1:1"], **more))
                done = subprocess.run(["prlimit", f"--nofile={nofile}:{nofile}", binary(), "run", path], capture_output=True, text=True, timeout=30)
                self.assertEqual(done.returncode, 1, done.stderr)
                lines = done.stderr.strip().splitlines()
                self.assertEqual(len(lines), 1, done.stderr)
                self.assertIn(f"limit of {nofile} open files", lines[0])

    def test_descriptors_for_fewer_connections_than_configured(self):
        origin = self.origin(echo)
        short = {**config([origin]), "limits": {"connections": 5000}}
        daemon = self.weir(short, nofile=500)
        warning = daemon.wait_event("descriptors_short")
        self.assertEqual((warning.room_for, warning.open_files), ("122", "500"))
        self.assertEqual(daemon.get("/").status, 200)
        since = daemon.marker()
        daemon.reload({**short, "limits": {"connections": 122}})
        daemon.reload({**short, "limits": {"connections": 123}})
        daemon.wait_event("descriptors_short", since=since)
        self.assertEqual(sum(e.name == "descriptors_short" for e in daemon.events), 2)

    def test_few_descriptors_are_enough_for_few_connections(self):
        origin = self.origin(echo)
        daemon = self.weir({**config([origin], workers=1), "limits": {"connections": 16}}, nofile=290)
        self.assertEqual(daemon.get("/").status, 200)

    def test_descriptor_limit_is_raised(self):
        origin = self.origin()
        daemon = self.weir(config([origin]))
        with open(f"/proc/{daemon.pid}/limits") as file:
            line = next(line for line in file if line.startswith("Max open files"))
        soft, hard = line.split()[3:5]
        self.assertEqual(soft, hard)

    def test_commands(self):
        code, out, err = run_command("version")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"\d+\.\d+\.\d+")
        code, out, err = run_command("schema")
        self.assertEqual(code, 0)
        self.assertIn("listeners", json.loads(out)["properties"])
        for command in ("run", "check", "schema", "demo-backend", "version"):
            code, out, err = run_command(command, "--help")
            self.assertEqual(code, 0, command)
            self.assertIn(command, out)
        code, out, err = run_command("rum")
        self.assertNotEqual(code, 0)
        self.assertIn("run", err)
