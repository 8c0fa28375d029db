"""SIGHUP: atomic, in-process, without losing a request or a tunnel; a bad file changes nothing and says why."""
import os
import re
import signal
import socket
import threading

from harness import WeirTest, config, fetch, load, open_socket, request, response, wait_until
from test_tunnels import UPGRADE, echo_tunnel


class Reload(WeirTest):
    timeout = 120

    def test_new_routes_and_pools(self):
        a, b = self.origin(lambda m, c: response(200, b"a")), self.origin(lambda m, c: response(200, b"b"))
        daemon = self.weir(config({"x": a.url}, workers=2))
        self.assertEqual(daemon.get("/").text, "a")
        with daemon.client() as client:
            self.assertEqual(client.get("/").text, "a")
            daemon.reload(config(pools={"app": {"backends": {"x": a.url}}, "new": {"backends": {"y": b.url}}},
                                 routes=[{"match": {"path": "/new"}, "pool": "new"}, {"pool": "app"}], workers=2))
            wait_until(lambda: client.get("/new").text == "b", what="the new route on an old connection")
        self.assertEqual(daemon.get("/new").text, "b")
        self.assertEqual(daemon.get("/").text, "a")
        self.assertEqual(daemon.metrics().sum("weir_config_generation"), 2)
        self.assertEqual(daemon.metrics().sum("weir_config_reloads_total", result="ok"), 1)

    def test_under_load_without_a_failure(self):
        origins = [self.origin(lambda m, c: response(200, b"ok"), record=False) for _ in range(3)]
        shapes = [config({f"b{i}": o.url for i, o in enumerate(origins[:count])}, workers=4, pool={"balance": balance})
                  for count, balance in ((3, "round_robin"), (2, "least_connections"), (1, "random"), (3, {"consistent_hash": "path"}))]
        daemon = self.weir(shapes[0])
        kept = load(daemon.address(), clients=6)
        fresh = load(daemon.address(), clients=3, keep_alive=False)
        for i in range(20):
            daemon.reload(shapes[(i + 1) % len(shapes)])
            now = kept.done + fresh.done
            wait_until(lambda: kept.done + fresh.done > now + 30 or kept.errors or fresh.errors)
        kept.stop()
        fresh.stop()
        self.assert_no_errors(kept.errors + fresh.errors)
        self.assertGreater(kept.done, 300)

    def test_a_file_that_is_gone_or_a_pipe_changes_nothing_and_blocks_nothing(self):
        origin = self.origin(lambda m, c: response(200, b"ok"))
        daemon = self.weir(config([origin]))
        os.unlink(daemon.path)
        self.assertIn("the file can't be read, the old configuration keeps running", self.failed_reload(daemon))
        os.mkfifo(daemon.path)
        self.assertIn("can't be read", self.failed_reload(daemon))
        self.assertIn("it is not an ordinary file", daemon.wait_event("config_error", since=self.before).fields["at"])
        self.assertEqual((daemon.get("/").text, daemon.admin("/-/healthy").status), ("ok", 200))
        os.unlink(daemon.path)

    def failed_reload(self, daemon):
        self.before = daemon.marker()
        os.kill(daemon.pid, signal.SIGHUP)
        return daemon.wait_event("reload_failed", since=self.before).fields["reason"]

    def test_requests_in_flight_end_under_the_old_one(self):
        go = threading.Event()
        old = self.origin(lambda m, c: (go.wait(30), response(200, b"old"))[1])
        new = self.origin(lambda m, c: response(200, b"new"))
        daemon = self.weir(config({"x": old.url}))
        waiting = self.client(daemon)
        waiting.send(request())
        wait_until(lambda: old.count() == 1)
        daemon.reload(config({"y": new.url}))
        self.assertEqual(daemon.get("/").text, "new")
        go.set()
        self.assertEqual(waiting.read().text, "old")

    def test_tunnels_live_on(self):
        origin = self.origin(handler=echo_tunnel)
        daemon = self.weir(config([origin]))
        client = self.client(daemon)
        client.send(request("GET", "/", UPGRADE))
        self.assertEqual(client.read().status, 101)
        other = self.origin()
        for i in range(3):
            daemon.reload(config([other] if i % 2 == 0 else [other, origin]))
            client.send(b"ping%d" % i)
            self.assertEqual(client.read_exactly(5), b"ping%d" % i)

    def assert_refused(self, daemon, text, *expected):
        since = daemon.marker()
        event = daemon.reload(text, ok=False)
        said = "\n".join(e.line for e in daemon.events[since:])
        for piece in expected:
            self.assertRegex(said, piece)
        return event

    def test_bad_files_change_nothing(self):
        origin = self.origin(lambda m, c: response(200, b"still here"))
        daemon = self.weir(config([origin]))
        good = "listeners: { web: { bind: \"127.0.0.1:0\" } }\nadmin: { bind: \"127.0.0.1:0\" }\n"
        for text, expected in ((good + "pools:\n  app:\n    backends: { a: \"http://127.0.0.1:1\" }\n    balanse: round_robin\nroutes: [ { pool: app } ]\n",
                                (r"weir\.yaml:6:5: ", r"balanse", r"balance")),
                               (good + "pools: { app: { backends: { a: \"http://127.0.0.1:1\" } } }\nroutes: [ { pool: ap } ]\n", (r"weir\.yaml:4:\d+: ", "ap", "app")),
                               ("{ this is: [not yaml", (r"weir\.yaml:\d+:\d+: ",)),
                               ("", ())):
            with self.subTest(text=text[-60:]):
                self.assert_refused(daemon, text, *expected)
                self.assertEqual(daemon.get("/").text, "still here")
        self.assertEqual(daemon.metrics().sum("weir_config_reloads_total", result="failed"), 4)
        self.assertEqual(daemon.metrics().sum("weir_config_generation"), 1)
        os.unlink(daemon.path)
        daemon.reload(ok=False)
        self.assertEqual(daemon.get("/").text, "still here")
        daemon.reload(config([origin]))
        self.assertEqual(daemon.get("/").text, "still here")

    def test_all_errors_at_once(self):
        origin = self.origin()
        daemon = self.weir(config([origin]))
        self.assert_refused(daemon, "listeners: { web: { bind: \"127.0.0.1:0\", binds: 1 } }\npools: { app: { backends: { a: nonsense } } }\nroutes: [ { pool: none } ]\n",
                            r"weir\.yaml:1:\d+", r"weir\.yaml:2:\d+", r"weir\.yaml:3:\d+")

    def test_dead_routes_are_errors(self):
        origin = self.origin()
        daemon = self.weir(config([origin]))
        routes = [{"match": {"path": "/a/*"}, "pool": "app"}, {"match": {"path": "/a/b"}, "pool": "app"}]
        self.assert_refused(daemon, config([origin], routes=routes), r"weir\.yaml:\d+:\d+")

    def test_other_number_of_workers_is_refused(self):
        origin = self.origin()
        daemon = self.weir(config([origin], workers=2))
        self.assert_refused(daemon, config([origin], workers=3), "workers", "weir upgrade")
        self.assertEqual(daemon.get("/").status, 200)
        self.assertEqual(daemon.metrics().sum("weir_workers"), 2)

    def test_listeners_come_and_go(self):
        origin = self.origin(lambda m, c: response(200, b"ok"))
        listeners = {"web": {"bind": "127.0.0.1:0"}}
        daemon = self.weir(config([origin], listeners=listeners, workers=2))
        web = daemon.address("web")
        client = self.client(daemon)
        self.assertEqual(client.get("/").status, 200)
        daemon.reload(config([origin], listeners={**listeners, "extra": {"bind": "127.0.0.1:0"}}, workers=2))
        extra = daemon.address("extra")
        self.assertEqual(daemon.addresses("web"), [web], "an unchanged listener was opened anew")
        self.assertEqual(fetch(extra).status, 200)
        self.assertEqual(client.get("/").status, 200)
        daemon.reload(config([origin], listeners=listeners, workers=2))
        def refused():
            try:
                open_socket(extra, timeout=2).close()
            except OSError:
                return True
        wait_until(refused, what="the removed listener refuses")
        self.assertEqual(daemon.get("/").status, 200)

    @staticmethod
    def free_address():
        """One that nobody has: the address is not the others', the port is the kernel's."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.77", 0))
            return "127.0.0.77:%d" % probe.getsockname()[1]

    def test_a_listener_gets_another_name(self):
        origin = self.origin(lambda m, c: response(200, b"ok"), record=False)
        address = self.free_address()
        def shape(name):
            return config([origin], listeners={name: {"bind": address}}, workers=2,
                          routes=[{"match": {"path": "/name", "listener": name}, "respond": {"status": 200, "body": name}}, {"pool": "app"}])
        daemon = self.weir(shape("web"))
        client = self.client(daemon)
        self.assertEqual(client.get("/name").text, "web")
        fresh = load(address, clients=2, keep_alive=False)
        for name in ("www", "web", "www"):
            done = fresh.done
            daemon.reload(shape(name))
            self.assertEqual(daemon.address(name), address)
            wait_until(lambda: client.get("/name").text == name, what="the new name on an old connection")
            wait_until(lambda: fetch(address, "GET", "/name").text == name, what="the new name on a new connection")
            wait_until(lambda: fresh.done > done + 30 or fresh.errors)
        fresh.stop()
        self.assert_no_errors(fresh.errors)

    def test_a_listener_that_is_just_closing_is_taken_back(self):
        origin = self.origin(lambda m, c: response(200, b"ok"), record=False)
        both = {"web": {"bind": "127.0.0.1:0"}, "extra": {"bind": self.free_address()}}
        daemon = self.weir(config([origin], listeners=both, workers=3))
        for name in ("extra", "other", "other", "extra"):
            daemon.reload(config([origin], listeners={"web": both["web"]}, workers=3))
            daemon.reload(config([origin], listeners={"web": both["web"], name: both["extra"]}, workers=3))
            wait_until(lambda: self.answers(both["extra"]["bind"]), what="the listener that is back")
        for _ in range(30):
            self.assertEqual(fetch(both["extra"]["bind"]).status, 200)
        descriptors = daemon.descriptors()
        daemon.reload(config([origin], listeners={"web": both["web"]}, workers=3))
        wait_until(lambda: daemon.descriptors() <= descriptors - 3, what="the end of its sockets")

    @staticmethod
    def answers(address):
        try:
            return fetch(address).status == 200
        except OSError:
            return False

    def test_an_address_becomes_narrower_and_wider(self):
        origin = self.origin(lambda m, c: response(200, b"ok"))
        narrow = self.free_address()
        wide = "0.0.0.0:" + narrow.rpartition(":")[2]
        daemon = self.weir(config([origin], listeners={"web": {"bind": narrow}}, workers=2))
        for address in (wide, narrow, wide):
            daemon.reload(config([origin], listeners={"web": {"bind": address}}, workers=2))
            wait_until(lambda: self.answers(narrow), what=f"an answer with {address}")

    def test_the_file_of_a_removed_unix_listener_goes(self):
        origin = self.origin(lambda m, c: response(200, b"ok"))
        web = {"web": {"bind": "127.0.0.1:0"}}
        daemon = self.weir(config([origin], listeners=web))
        path = os.path.join(daemon.directory, "extra.sock")
        both = {**web, "extra": {"bind": "unix:" + path}}
        for _ in range(3):
            daemon.reload(config([origin], listeners=both))
            wait_until(lambda: self.answers("unix:" + path), what="an answer through the unix socket")
            daemon.reload(config([origin], listeners=web))
            self.assertFalse(os.path.exists(path))
        daemon.reload(config([origin], listeners=both))
        daemon.reload(config([origin], listeners={**web, "renamed": both["extra"]}))
        self.assertTrue(self.answers("unix:" + path))
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait_exit(), 0)
        self.assertFalse(os.path.exists(path))

    def test_listener_that_cannot_be_opened(self):
        origin, taken = self.origin(), self.origin()
        daemon = self.weir(config([origin]))
        self.assert_refused(daemon, config([origin], listeners={"web": {"bind": "127.0.0.1:0"}, "bad": {"bind": taken.address}}), re.escape(taken.address))
        self.assertEqual(daemon.get("/").status, 200)
        self.assertEqual(daemon.metrics().sum("weir_config_generation"), 1)

    def test_state_of_the_others_is_kept(self):
        sick, well, new = self.origin(lambda m, c: response(503, b"")), self.origin(), self.origin()
        pool = {"eject": {"after": 2, "for": "200s"}, "retry": {"attempts": 0}}
        daemon = self.weir(config([sick, well], pool=pool))
        for _ in range(8):
            daemon.get("/")
        daemon.wait_event("backend_ejected", backend="b1")
        requests = daemon.backend("b2")["requests"]
        self.assertGreater(requests, 0)
        connections = len(well.connections)
        daemon.reload(config([sick, well, new], pool=pool))
        self.assertEqual(daemon.backend("b1")["status"], "ejected", "a reload forgot an ejection")
        self.assertEqual(daemon.backend("b2")["requests"], requests, "a reload reset a counter")
        for _ in range(10):
            self.assertEqual(daemon.get("/").status, 200)
        self.assertGreater(new.count(), 0)
        self.assertEqual(len(well.connections), connections, "an unchanged backend's idle connection was given up")
        daemon.reload(config([sick, well], pool=pool))
        self.assertEqual(daemon.backend("b1")["status"], "ejected")

    def test_connections_to_a_removed_backend_end(self):
        old, kept = self.origin(), self.origin()
        daemon = self.weir(config([old, kept]))
        for _ in range(4):
            daemon.get("/")
        wait_until(lambda: old.connections)
        daemon.reload(config({"b2": kept.url}))
        wait_until(lambda: all(c.closed.is_set() for c in old.connections), what="the end of idle connections to a removed backend")

    def test_fifty_reloads_leak_nothing(self):
        origins = [self.origin(lambda m, c: response(200, b"ok"), record=False) for _ in range(4)]
        def shape(i):
            return config({f"b{j}": o.url for j, o in enumerate(origins[: 2 + i % 3])}, workers=2,
                          routes=[{"match": {"path": f"/r{i}/*"}, "pool": "app"}, {"pool": "app"}],
                          pool={"health": {"type": "tcp", "interval": "1s"}})
        daemon = self.weir(shape(0))
        def round_of(numbers):
            for i in numbers:
                daemon.reload(shape(i))
                for _ in range(3):
                    self.assertEqual(daemon.get(f"/r{i}/x").status, 200)
        round_of(range(1, 13))
        memory, descriptors = daemon.rss(), daemon.descriptors()
        round_of(range(13, 63))
        wait_until(lambda: daemon.descriptors() <= descriptors + 8, what=lambda: f"descriptors: {daemon.descriptors()} against {descriptors}")
        self.assertLess(daemon.rss() - memory, 8 << 20, "memory grows with reloads")

    def test_other_access_logs_leave_nothing_behind(self):
        origin = self.origin(lambda m, c: response(200, b"ok"), record=False)
        daemon = self.weir(config([origin], workers=2))
        def shape(i):
            log = {"access": daemon.log_path, "format": "combined" if i % 2 else "json"}
            return {**config([origin], workers=2), "log": {} if i % 3 == 2 else log}
        def threads():
            return len(os.listdir(f"/proc/{daemon.pid}/task"))
        daemon.get("/")
        before = daemon.descriptors(), threads()
        for i in range(1, 19):
            daemon.reload(shape(i))
            self.assertEqual(daemon.get(f"/{i}").status, 200)
        daemon.reload(shape(0))
        wait_until(lambda: daemon.descriptors() <= before[0] and threads() <= before[1],
                   what=lambda: f"descriptors, threads: {daemon.descriptors()}, {threads()} against {before}")
        def log():
            with open(daemon.log_path) as file:
                return file.read()
        wait_until(lambda: '"/18"' in log(), what="the line of the last request, which the writer has yet to write")
        text = log()
        for i in range(1, 19):
            self.assertEqual(text.count(f"/{i} HTTP") + text.count(f'"/{i}"'), 0 if i % 3 == 2 else 1, f"/{i}\n{text}")

    def test_failed_reload_keeps_the_access_log(self):
        origin, taken = self.origin(lambda m, c: response(200, b"ok")), self.origin()
        daemon = self.weir(config([origin]))
        other = os.path.join(daemon.directory, "other.log")
        bad = config([origin], listeners={"web": {"bind": "127.0.0.1:0"}, "bad": {"bind": taken.address}}, log={"access": other})
        self.assert_refused(daemon, bad, re.escape(taken.address))
        daemon.get("/still-there")
        daemon.wait_log(lambda r: r["target"] == "/still-there")

    def test_log_rotation(self):
        origin = self.origin()
        daemon = self.weir(config([origin]))
        daemon.get("/before")
        daemon.wait_log(lambda r: r["target"] == "/before")
        os.rename(daemon.log_path, daemon.log_path + ".1")
        daemon.signal(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(daemon.log_path))
        daemon.get("/after")
        daemon.wait_log(lambda r: r["target"] == "/after")
