"""The command line over the admin API: status, drain, disable, enable, reload; who may change what."""
import json
import os
import pty
import re
import stat
import subprocess
import threading

from harness import WeirTest, binary, config, echo, fetch, load, request, response, run_command, wait_until


class Gate:
    """An origin's handler that answers /slow only once it is opened."""

    def __init__(self):
        self.opened, self.waiting = threading.Event(), 0

    def __call__(self, message, connection):
        if message.target.startswith("/slow"):
            self.waiting += 1
            self.opened.wait(40)
        return echo(message, connection)


class Orders(WeirTest):
    def pair(self, workers=1):
        """Two backends, in turns; the first can hold requests."""
        gate = Gate()
        self.addCleanup(gate.opened.set)
        first, second = self.origin(gate), self.origin(echo)
        return self.weir(config([first, second], workers=workers)), gate, first, second

    def test_drain_waits_for_what_is_in_flight(self):
        daemon, gate, first, second = self.pair()
        clients = [self.client(daemon) for _ in range(4)]
        for i, client in enumerate(clients):
            client.send(request(target=f"/slow/{i}"))
        wait_until(lambda: gate.waiting == 2 and daemon.backend("b1")["inflight"] == 2)
        result = []
        thread = threading.Thread(target=lambda: result.append(daemon.command("drain", "app/b1", "--timeout", "1m")))
        thread.start()
        wait_until(lambda: daemon.backend("b1")["status"] == "draining")
        before = first.count()
        for i in range(20):
            self.assertEqual(daemon.get(f"/{i}").status, 200)
        self.assertEqual(first.count(), before, "a drained backend got new requests")
        self.assertTrue(thread.is_alive(), result)
        gate.opened.set()
        for client in clients:
            self.assertEqual(client.read().status, 200)
        thread.join(30)
        code, out, err = result[0]
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"app/b1: 2 in flight\n(.*\n)*app/b1: drained, nothing in flight after \d")

    def test_drain_ends_at_its_timeout(self):
        daemon, gate, _, _ = self.pair()
        clients = [self.client(daemon) for _ in range(2)]
        for client in clients:
            client.send(request(target="/slow"))
        wait_until(lambda: gate.waiting == 1)
        code, _, err = daemon.command("drain", "app/b1", "--timeout", "200ms")
        self.assertEqual(code, 1)
        self.assertRegex(err, r"\Aweir: app/b1 is not drained after 0\.\d s: 1 in flight; it takes nothing new until \"weir enable app/b1\"\n\Z")
        self.assertEqual(daemon.backend("b1")["status"], "draining")
        code, out, _ = daemon.command("drain", "app/b1", "--no-wait")
        self.assertEqual((code, out), (0, "app/b1: was so already: draining; 1 in flight\n"))
        gate.opened.set()
        for client in clients:
            self.assertEqual(client.read().status, 200)

    def test_disable_and_enable(self):
        daemon, _, first, _ = self.pair()
        since = daemon.marker()
        self.assertEqual(daemon.command("disable", "app/b1"), (0, "app/b1: disabled; 0 in flight\n", ""))
        event = daemon.wait_event("backend_disabled", since=since, backend="b1")
        self.assertEqual((event.reason, event.usable), (f"disabled by uid {os.getuid()}", "1/1"))
        metrics = daemon.metrics()
        self.assertEqual(metrics.sum("weir_backend_status", backend="b1", status="disabled"), 1)
        self.assertEqual(metrics.sum("weir_backend_up", backend="b1"), 0)
        for i in range(10):
            daemon.get(f"/{i}")
        self.assertEqual(first.count(), 0)
        self.assertEqual(daemon.command("enable", "app/b1")[:2], (0, "app/b1: unknown; 0 in flight\n"))
        daemon.wait_event("backend_enabled", backend="b1")
        for i in range(10):
            daemon.get(f"/{i}")
        self.assertEqual(first.count(), 5)

    def test_the_last_one_may_be_drained_but_not_unnoticed(self):
        daemon, _, _, _ = self.pair()
        daemon.command("drain", "app/b1")
        code, _, err = daemon.command("drain", "app/b2")
        self.assertEqual((code, err), (0, "weir: warning: pool app has no usable backend left\n"))
        self.assertEqual(daemon.get("/").status, 503)
        wait_until(lambda: daemon.errors("no_backend") == 1, what="the error is counted")

    def test_orders_outlive_reloads_as_long_as_the_file_names_the_backend(self):
        daemon, _, first, second = self.pair()
        daemon.command("drain", "app/b1")
        daemon.reload()
        self.assertEqual(daemon.backend("b1")["status"], "draining")
        third = self.origin(echo)
        daemon.reload(config([third, second]))  # b1 moves
        self.assertEqual(daemon.backend("b1")["status"], "draining")
        self.assertEqual(daemon.backend("b1")["reason"], f"drained by uid {os.getuid()}")
        for i in range(6):
            daemon.get(f"/{i}")
        self.assertEqual(third.count(), 0)
        daemon.reload(config({"b2": second}))
        daemon.reload(config([third, second]))
        self.assertEqual(daemon.backend("b1")["status"], "unknown")

    def test_a_rolling_restart_at_load_fails_nothing(self):
        daemon, gate, first, second = self.pair(workers=2)
        gate.opened.set()
        running = load(daemon.address("web"), clients=6)
        for _ in range(2):
            for name, origin in (("app/b1", first), ("app/b2", second)):
                self.assertEqual(daemon.command("drain", name)[0], 0)
                origin.kill()
                origin.start()
                self.assertEqual(daemon.command("enable", name)[0], 0)
                done = running.done
                wait_until(lambda: running.done > done + 20)
        running.stop()
        self.assert_no_errors(running.errors)

    def test_unknown_names(self):
        daemon, _, _, _ = self.pair()
        for arguments, expected in ((("drain", "ap/b1"), 'there is no pool "ap" (did you mean "app"?); the pools are: app'),
                                    (("enable", "app/b3"), 'pool app has no backend "b3" (did you mean "b1"?); its backends are: b1, b2')):
            self.assertEqual(daemon.command(*arguments), (1, "", f"weir: {expected}\n"))
        code, _, err = daemon.command("disable", "b1")
        self.assertEqual(code, 2)
        self.assertIn("POOL/BACKEND", err)
        for wrong, instead in (("soon", "write a duration like"), ("5min", "write 5m"), ("5", "write 5s"), ("9000h", "out of range")):
            code, _, err = daemon.command("drain", "app/b1", "--timeout", wrong)
            self.assertEqual(code, 2)
            self.assertIn(instead, err)
        self.assertEqual(daemon.command("drain", "app/b1", "--timeout", "2d")[0], 0)

    def test_drain_shows_its_progress_on_a_terminal(self):
        daemon, gate, _, _ = self.pair()
        for expected, code in ((b"\rapp/b1: 0 in flight\x1b[K\r\x1b[Kapp/b1: drained, ", 0), (b"\rapp/b1: 1 in flight\x1b[K\r\x1b[Kweir: app/b1 is not drained after ", 1)):
            ours, theirs = pty.openpty()
            command = subprocess.Popen([binary(), "drain", "app/b1", "--timeout", "300ms", "--admin", daemon.socket_path], stdout=theirs, stderr=theirs)
            os.close(theirs)
            said = b""
            try:
                while piece := os.read(ours, 4096):
                    said += piece
            except OSError:  # EIO: the other side is closed
                pass
            os.close(ours)
            self.assertEqual(command.wait(30), code, said)
            self.assertIn(expected, re.sub(rb"(\rapp/b1: \d in flight\x1b\[K)+", rb"\1", said))
            if code == 0:
                daemon.command("enable", "app/b1")
                for client in (self.client(daemon), self.client(daemon)):
                    client.send(request(target="/slow"))
                wait_until(lambda: gate.waiting == 1 and daemon.backend("b1")["inflight"] == 1)


class Reload(WeirTest):
    def setUp(self):
        self.settings = config([self.origin(echo)])
        self.daemon = self.weir(self.settings)

    def changed(self, **more):
        self.daemon.write({**self.settings, **more})

    def test_the_changes_are_told(self):
        self.assertEqual(self.daemon.command("reload")[:2], (0, "reloaded: nothing has changed; generation 2 is running\n"))
        self.changed(drain_delay="5s", http={"expose": True})
        dry = self.daemon.command("reload", "--dry-run")
        self.assertEqual(dry, (0, "http.expose: false → true\ndrain_delay: 0s → 5s\ndry run: 2 changes; generation 2 keeps running\n", ""))
        self.assertEqual(self.daemon.pools()["generation"], 2)
        code, out, _ = self.daemon.command("reload")
        self.assertEqual((code, out), (0, "http.expose: false → true\ndrain_delay: 0s → 5s\nreloaded: 2 changes; generation 3 is running\n"))
        self.daemon.wait_event("config_changed", change="drain_delay: 0s → 5s")

    def test_a_bad_file_is_exit_code_2_with_every_error(self):
        self.changed(nonsense=1, workers="many")
        for arguments in (("reload",), ("reload", "--dry-run")):
            code, out, err = self.daemon.command(*arguments)
            self.assertEqual((code, out), (2, ""))
            lines = err.splitlines()
            self.assertEqual(len(lines), 3)
            for line in lines[:2]:
                self.assertRegex(line, rf"\A{re.escape(self.daemon.path)}:\d+:\d+: ")
            self.assertEqual(lines[2], "weir: 2 errors in the configuration, the old one keeps running (generation 1 is running)")
        self.assertEqual(self.daemon.get("/").status, 200)
        self.assertEqual(self.daemon.metrics().sum("weir_config_reloads_total", result="failed"), 1)

    def test_what_a_running_daemon_cannot_change(self):
        self.changed(workers=3)
        code, _, err = self.daemon.command("reload")
        self.assertEqual(code, 1)
        self.assertIn("workers can't change at a reload", err)
        self.changed(admin={**self.settings["admin"], "socket": "off"})
        self.assertEqual(self.daemon.command("reload", "--dry-run")[0], 1)


class WhoMay(WeirTest):
    TOKEN = "c2VjcmV0IG9mIHRoZSB0ZXN0"

    def start(self, **admin):
        daemon = self.weir(config([self.origin(echo)]), ready=False)
        path = os.path.join(daemon.directory, "token")
        daemon.wait_event("ready")
        with open(path, "w") as file:
            file.write(self.TOKEN + "\n")
        return daemon, path

    def with_token(self):
        daemon, path = self.start()
        settings = config([self.origin(echo)])
        settings["admin"]["token_file"] = path
        second = self.weir(settings)
        return second, path

    def test_the_socket_is_for_owner_and_group(self):
        daemon, _ = self.start()
        mode = os.stat(daemon.socket_path).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o660)

    def test_without_a_token_nothing_is_changed_over_tcp(self):
        daemon, path = self.start()
        answer = daemon.admin("/api/v1/pools/app/backends/b1/drain", "POST")
        self.assertEqual((answer.status, answer.header("content-type")), (403, "application/problem+json"))
        code, _, err = run_command("drain", "app/b1", "--admin", daemon.address("admin"), "--token-file", path)
        self.assertEqual(code, 1)
        self.assertIn("admin.token_file", err)
        self.assertEqual(daemon.backend("b1")["status"], "unknown")

    def test_with_the_token_it_is(self):
        daemon, path = self.with_token()
        address = daemon.address("admin")
        self.assertEqual(daemon.admin("/api/v1/status").status, 200)
        for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong-wrong"}, {"Authorization": f"Basic {self.TOKEN}"}):
            answer = daemon.admin("/api/v1/reload", "POST", headers)
            self.assertEqual((answer.status, answer.header("www-authenticate")), (401, 'Bearer realm="weir"'))
        self.assertEqual(daemon.admin("/api/v1/reload", "POST", {"Authorization": f"Bearer {self.TOKEN}"}).status, 200)
        answer = daemon.admin("/api/v1/reload", "POST", {"Authorization": f"Bearer {self.TOKEN}", "Origin": "http://evil.example"})
        self.assertEqual(answer.status, 403)
        code, _, err = run_command("drain", "app/b1", "--admin", address)
        self.assertEqual(code, 1)
        self.assertIn("--token-file", err)
        self.assertEqual(run_command("drain", "app/b1", "--admin", address, "--token-file", path)[0], 0)
        event = daemon.wait_event("backend_draining")
        self.assertTrue(event.reason.startswith("drained by 127.0.0.1:"), event)
        metrics = daemon.metrics()
        self.assertEqual(metrics.sum("weir_admin_refused_total", reason="token"), 4)
        self.assertEqual(metrics.sum("weir_admin_refused_total", reason="origin"), 1)
        daemon.wait_event("admin_refused", reason="token")

    def test_beyond_loopback_everything_asks_for_it(self):
        _, path = self.start()
        settings = config([self.origin(echo)])
        settings["admin"] = {"bind": "0.0.0.0:0", "token_file": path, "metrics": {"bind": "0.0.0.0:0"}}
        daemon = self.weir(settings)
        address = "127.0.0.1:" + daemon.address("admin").rpartition(":")[2]
        self.assertEqual(fetch(address, target="/", host=address).status, 200)  # the dashboard's page has no secrets
        for target in ("/metrics", "/api/v1/pools", "/-/healthy"):
            self.assertEqual(fetch(address, target=target, host=address).status, 401, target)
            headers = {"Authorization": f"Bearer {self.TOKEN}"}
            self.assertEqual(fetch(address, target=target, headers=headers, host=address).status, 200, target)
        metrics = "127.0.0.1:" + daemon.address("metrics").rpartition(":")[2]
        self.assertEqual(fetch(metrics, target="/metrics", host="any.example").status, 200)
        self.assertEqual(run_command("status", "--admin", address)[0], 1)
        self.assertEqual(run_command("status", "--admin", address, "--token-file", path)[0], 0)

    def test_a_new_token_takes_effect_at_a_reload(self):
        daemon, path = self.with_token()
        with open(path, "w") as file:
            file.write("another-token-of-this-test\n")
        code, out, _ = daemon.command("reload")
        self.assertEqual(code, 0)
        self.assertIn("admin.token_file: the old token → a new one\n", out)
        self.assertNotIn("another", out)
        self.assertEqual(daemon.admin("/api/v1/reload", "POST", {"Authorization": f"Bearer {self.TOKEN}"}).status, 401)
        self.assertEqual(daemon.admin("/api/v1/reload", "POST", {"Authorization": "Bearer another-token-of-this-test"}).status, 200)


class NoSocket(WeirTest):
    def test_a_socket_that_cannot_be_had_stops_nothing(self):
        settings = config([self.origin(echo)])
        settings["admin"]["socket"] = "/proc/none/admin.sock"
        daemon = self.weir(settings)
        self.assertEqual(daemon.wait_event("admin_socket_failed").path, "/proc/none/admin.sock")
        self.assertEqual(daemon.get("/").status, 200)

    def test_two_daemons_on_one_socket(self):
        first = self.weir(config([self.origin(echo)]))
        settings = config([self.origin(echo)])
        settings["admin"]["socket"] = first.socket_path
        second = self.weir(settings)
        second.wait_event("admin_socket_failed")
        self.assertIn(f"pid {first.pid},", first.command("status")[1])

    def test_off(self):
        settings = config([self.origin(echo)])
        settings["admin"] = {"socket": "off"}
        daemon = self.weir(settings)
        self.assertFalse(os.path.exists(daemon.socket_path))
        self.assertEqual(daemon.addresses("admin_socket"), [])

    def test_commands_without_a_daemon_say_so_in_one_line(self):
        for where, expected in (("/nonexistent/admin.sock", "no weir listens at /nonexistent/admin.sock (there is no such socket)"),
                                ("http://127.0.0.1:1", "no weir listens at http://127.0.0.1:1 (connection refused)"),
                                ("nonsense", "--admin nonsense: write a socket's path")):
            for arguments in (("status",), ("drain", "app/b1"), ("reload",)):
                code, out, err = run_command(*arguments, "--admin", where)
                self.assertEqual((code, out, len(err.splitlines())), (1, "", 1), arguments)
                self.assertIn(expected, err)

    def test_what_is_no_weir(self):
        origin = self.origin(lambda m, c: response(200, b"hello"))
        code, out, err = run_command("status", "--admin", origin.url)
        self.assertEqual((code, out, len(err.splitlines())), (1, "", 1))
        self.assertIn("is no admin API of Weir", err)


class Status(WeirTest):
    def test_for_people_and_for_scripts(self):
        good, bad = self.origin(echo), self.origin(start=False)
        daemon = self.weir(config([good, bad], pool={"health": {"type": "tcp", "interval": "200ms"}}))
        wait_until(lambda: daemon.backend("b2")["status"] == "down")
        daemon.get("/")
        code, out, err = daemon.command("status")
        self.assertEqual((code, err), (0, ""))
        self.assertIn(f"pid {daemon.pid}, ready, up ", out)
        self.assertRegex(out, rf"listener web at {re.escape(daemon.address('web'))} \(http\)\n")
        self.assertRegex(out, r"\napp +b1 +127\.0\.0\.1:\d+ +up ")
        self.assertRegex(out, r"\n +b2 +127\.0\.0\.1:\d+ +down .*refused")
        self.assertNotIn("\x1b", out)
        both = json.loads(daemon.command("status", "--json")[1])
        self.assertEqual(both["status"]["pid"], daemon.pid)
        self.assertEqual([b["health"] for b in both["pools"][0]["backends"]], ["up", "down"])
