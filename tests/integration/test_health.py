"""Which backends serve: active checks, passive ejection, backups, panic; each change is logged with its reason."""
import threading

from harness import WeirTest, config, load, request, response, wait_until

FAST = {"type": "http", "path": "/healthz", "interval": "100ms", "timeout": "2s", "fall": 2, "rise": 2}


class Sick:
    """A reply whose answer to checks can be changed; requests are answered with `name`."""

    def __init__(self, name, status=200, body=b"fine"):
        self.name, self.status, self.body, self.checks = name, status, body, 0
        self.stall = False
        self.serve = 200
        self.seen = []

    def __call__(self, message, connection):
        if message.target == "/healthz":
            self.checks += 1
            self.seen.append(message)
            if self.stall:
                connection.stall(20)
                return None
            return response(self.status, self.body)
        return response(self.serve, self.name.encode())


class Active(WeirTest):
    def start(self, health=None, count=2, backends=None, **pool):
        self.sick = [Sick(f"b{i}") for i in range(1, count + 1)]
        self.origins = [self.origin(s) for s in self.sick]
        return self.weir(config(self.origins, pool={"health": {**FAST, **(health or {})}, **pool}))

    def names(self, daemon, count=20):
        with daemon.client() as client:
            return {client.get("/").text for _ in range(count)}

    def test_down_and_up_again(self):
        daemon = self.start()
        wait_until(lambda: daemon.admin("/-/ready").status == 200)
        self.assertEqual(self.names(daemon), {"b1", "b2"})
        self.sick[0].status = 500
        event = daemon.wait_event("backend_down", pool="app", backend="b1")
        self.assertEqual(event.level, "warn")
        self.assertIn("500", event.reason)
        wait_until(lambda: self.names(daemon) == {"b2"})
        described = daemon.backend("b1")
        self.assertEqual(described["status"], "down")
        self.assertIn("500", described["reason"])
        self.assertEqual(daemon.metrics().sum("weir_backend_up", backend="b1"), 0)
        self.assertGreaterEqual(daemon.metrics().sum("weir_backend_checks_total", backend="b1", result="failed"), 2)
        self.sick[0].status = 200
        event = daemon.wait_event("backend_up", pool="app", backend="b1")
        wait_until(lambda: self.names(daemon) == {"b1", "b2"})
        self.assertEqual(daemon.backend("b1")["status"], "up")
        self.assertGreaterEqual(daemon.metrics().sum("weir_backend_transitions_total", backend="b1"), 2)

    def test_one_failure_is_not_enough(self):
        daemon = self.start({"fall": 3})
        wait_until(lambda: daemon.backend("b1")["status"] == "up")
        once = []
        def reply(message, connection, inner=self.sick[0]):
            if message.target == "/healthz" and len(once) < 2:
                once.append(1)
                return response(500, b"")
            return inner(message, connection)
        self.origins[0].reply = reply
        seen = self.sick[0].checks
        wait_until(lambda: self.sick[0].checks > seen + 5)
        self.assertFalse([e for e in daemon.events if e.name == "backend_down"])

    def test_what_a_check_asks(self):
        self.start({"host": "health.example"})
        wait_until(lambda: self.sick[0].seen)
        seen = self.sick[0].seen[0]
        self.assertEqual((seen.method, seen.all("host")), ("GET", ["health.example"]))

    def test_expected_status(self):
        daemon = self.start({"expect": {"status": [200, 404]}})
        self.sick[0].status = 404
        seen = self.sick[0].checks
        wait_until(lambda: self.sick[0].checks > seen + 4)
        self.assertEqual(daemon.backend("b1")["status"], "up")
        self.sick[0].status = 204
        daemon.wait_event("backend_down", backend="b1")

    def test_expected_body(self):
        daemon = self.start({"expect": {"body": "fine"}})
        wait_until(lambda: daemon.backend("b1")["status"] == "up")
        self.sick[0].body = b"database is gone"
        event = daemon.wait_event("backend_down", backend="b1")
        self.assertIn("body", event.reason)

    def test_time_out(self):
        daemon = self.start({"timeout": "200ms"})
        wait_until(lambda: daemon.backend("b1")["status"] == "up")
        self.sick[0].stall = True
        self.assertRegex(daemon.wait_event("backend_down", backend="b1").reason.lower(), "time|200")

    def test_refused_and_back(self):
        daemon = self.start()
        wait_until(lambda: daemon.backend("b1")["status"] == "up")
        self.origins[0].kill()
        self.assertRegex(daemon.wait_event("backend_down", backend="b1").reason.lower(), "refused")
        self.origins[0].start()
        daemon.wait_event("backend_up", backend="b1")
        wait_until(lambda: self.names(daemon) == {"b1", "b2"})

    def test_tcp_check(self):
        origin, dead = self.origin(), self.origin(start=False)
        daemon = self.weir(config([origin, dead], pool={"health": {"type": "tcp", "interval": "100ms", "fall": 2, "rise": 2}}))
        daemon.wait_event("backend_down", backend="b2")
        wait_until(lambda: daemon.backend("b1")["status"] == "up")
        dead.start()
        daemon.wait_event("backend_up", backend="b2")

    def test_the_first_check_decides_alone(self):
        """fall and rise don't count for it, and /-/ready waits for the first round."""
        slow = threading.Event()
        def reply(message, connection):
            slow.wait(30)
            return response(200, b"fine")
        first, second = self.origin(reply), self.origin(lambda m, c: response(500, b""))
        daemon = self.weir(config([first, second], pool={"health": {**FAST, "interval": "20s", "timeout": "30s", "fall": 3, "rise": 3}}), ready=False)
        daemon.wait_event("listening", listener="admin")
        daemon.wait_event("backend_down", backend="b2")
        self.assertEqual(daemon.admin("/-/ready").status, 503)
        slow.set()
        wait_until(lambda: daemon.admin("/-/ready").status == 200, what="readiness after the first round")
        self.assertEqual(daemon.backend("b1")["status"], "up")

    def test_backup_serves_only_then(self):
        sick = [Sick("first"), Sick("second")]
        first, second = (self.origin(s) for s in sick)
        daemon = self.weir(config({"a": first.url, "b": {"url": second.url, "backup": True}}, pool={"health": FAST}))
        wait_until(lambda: daemon.admin("/-/ready").status == 200)
        self.assertEqual(self.names(daemon), {"first"})
        sick[0].status = 500
        wait_until(lambda: self.names(daemon) == {"second"})
        sick[0].status = 200
        wait_until(lambda: self.names(daemon) == {"first"})

    def test_none_usable_serves_from_all(self):
        daemon = self.start()
        for sick in self.sick:
            sick.status = 500
        daemon.wait_event("backend_down", backend="b1")
        daemon.wait_event("backend_down", backend="b2")
        self.assertEqual(daemon.wait_event("pool_unavailable", pool="app").level, "error")
        wait_until(lambda: self.names(daemon) == {"b1", "b2"})  # the table follows the event
        self.assertGreater(daemon.metrics().sum("weir_pool_panic_picks_total"), 0)

    def test_panic_threshold(self):
        daemon = self.start(count=4, panic="60%")
        for sick in self.sick[:2]:
            sick.status = 500
        daemon.wait_event("backend_down", backend="b1")
        daemon.wait_event("backend_down", backend="b2")
        wait_until(lambda: self.names(daemon, 40) == {"b1", "b2", "b3", "b4"}, what="all four in panic")

    def test_slow_start(self):
        daemon = self.start({"slow_start": "30s"}, count=2)
        wait_until(lambda: daemon.admin("/-/ready").status == 200)
        self.sick[0].status = 500
        daemon.wait_event("backend_down", backend="b1")
        self.sick[0].status = 200
        daemon.wait_event("backend_up", backend="b1")
        with daemon.client() as client:
            row = [client.get("/").text for _ in range(100)]
        self.assertGreater(row.count("b2"), row.count("b1") * 2, "the returned backend took its full share at once")
        self.assertLess(daemon.backend("b1")["effective_weight"], 1)


class Passive(WeirTest):
    def start(self, eject, count=3, **pool):
        self.sick = [Sick(f"b{i}") for i in range(1, count + 1)]
        self.origins = [self.origin(s) for s in self.sick]
        return self.weir(config(self.origins, pool={"eject": eject, "retry": {"attempts": 0}, **pool}))

    def drive(self, daemon, count=30):
        with daemon.client() as client:
            return [client.get("/").text for _ in range(count)]

    def test_an_order_is_no_ejection(self):
        daemon = self.start({"after": 3, "for": "60s"})
        self.sick[0].serve = 503
        self.drive(daemon, 12)
        daemon.wait_event("backend_ejected", backend="b1")
        for _ in range(2):
            since = daemon.marker()
            self.assertEqual(daemon.command("disable", "app/b1")[0], 0)
            self.assertEqual(daemon.command("enable", "app/b1")[0], 0)
            daemon.wait_event("backend_enabled", since=since, backend="b1")
        self.assertEqual(daemon.backend("b1")["status"], "ejected")
        self.assertEqual(daemon.metrics().sum("weir_backend_ejections_total", backend="b1"), 1)

    def test_consecutive_failures_eject_and_it_returns(self):
        daemon = self.start({"after": 3, "for": "1s"})
        self.sick[0].serve = 503
        self.drive(daemon, 12)
        event = daemon.wait_event("backend_ejected", backend="b1")
        self.assertIn("3", event.reason)
        self.assertEqual(daemon.backend("b1")["status"], "ejected")
        wait_until(lambda: "b1" not in self.drive(daemon))
        self.assertEqual(daemon.metrics().sum("weir_backend_ejections_total", backend="b1"), 1)
        self.sick[0].serve = 200
        wait_until(lambda: "b1" in self.drive(daemon), what="the return of the ejected")

    def test_a_success_between_counts_anew(self):
        daemon = self.start({"after": 3, "for": "30s"}, count=1)
        for status in (503, 503, 200, 503, 503, 200):
            self.sick[0].serve = status
            self.drive(daemon, 1)
        self.assertFalse([e for e in daemon.events if e.name == "backend_ejected"])

    def test_500_is_the_applications_business(self):
        daemon = self.start({"after": 2, "for": "30s"})
        self.sick[0].serve = 500
        self.drive(daemon, 30)
        self.assertEqual(daemon.backend("b1")["ejections"], 0)

    def test_at_most(self):
        daemon = self.start({"after": 2, "for": "60s", "at_most": "50%"}, count=4)
        for sick in self.sick[:3]:
            sick.serve = 503
        for _ in range(4):
            self.drive(daemon, 40)
        wait_until(lambda: sum(b["status"] == "ejected" for b in daemon.pools()["pools"][0]["backends"]) == 2)
        self.drive(daemon, 40)
        self.assertEqual(sum(b["status"] == "ejected" for b in daemon.pools()["pools"][0]["backends"]), 2)

    def test_one_of_two_may_be_ejected(self):
        daemon = self.start({"after": 2, "for": "60s", "at_most": "10%"}, count=2)
        self.sick[0].serve = 503
        self.drive(daemon, 20)
        wait_until(lambda: daemon.backend("b1")["status"] == "ejected")

    def test_error_rate(self):
        daemon = self.start({"after": 1000, "error_rate": "50%", "min_requests": 20, "window": "10s", "for": "60s"})
        turn = [0]
        def reply(message, connection):
            turn[0] += 1
            return response(503 if turn[0] % 4 else 200, b"")
        self.origins[0].reply = reply
        def driven():
            self.drive(daemon, 60)
            return daemon.backend("b1")["status"] == "ejected"
        wait_until(driven, 30, "an ejection by the error rate")

    def test_refused_connections_count(self):
        daemon = self.start({"after": 3, "for": "60s"})
        self.origins[0].kill()
        with daemon.client() as client:
            for _ in range(20):
                client.get("/")
        daemon.wait_event("backend_ejected", backend="b1")

    def test_ejection_can_be_switched_off(self):
        daemon = self.start({"enabled": False})
        self.sick[0].serve = 503
        self.drive(daemon, 40)
        self.assertEqual(daemon.backend("b1")["status"], "unknown")


class Killed(WeirTest):
    timeout = 90

    def test_killed_backend_costs_only_what_was_with_it(self):
        """GETs are retried; so a killed backend costs nothing but requests whose answer had begun."""
        origins = [self.origin(lambda m, c: response(200, b"x" * 100), record=False) for _ in range(3)]
        daemon = self.weir(config(origins, pool={"health": {**FAST, "path": "/"}}, workers=2))
        running = load(daemon.address(), clients=8)
        for _ in range(3):
            now = running.done
            wait_until(lambda: running.done > now + 200)
            origins[0].kill()
            now = running.done
            wait_until(lambda: running.done > now + 500)
            origins[0].start()
        running.stop()
        self.assert_no_errors([e for e in running.errors if "Incomplete" not in e])
        self.assertLessEqual(len(running.errors), 3 * 8, "more than was in flight")

    def test_posts_in_flight_are_the_only_loss(self):
        origins = [self.origin(lambda m, c: response(200, b"ok"), record=False) for _ in range(3)]
        daemon = self.weir(config(origins, pool={"health": {**FAST, "path": "/"}}, workers=2))
        running = load(daemon.address(), clients=8, make=lambda n, c: request("POST", f"/{n}/{c}", body=b"x"), method="POST")
        wait_until(lambda: running.done > 300)
        origins[1].kill()
        now = running.done
        wait_until(lambda: running.done > now + 1000)
        running.stop()
        self.assertLessEqual(len(running.errors), 8, "\n".join(running.errors[:10]))
