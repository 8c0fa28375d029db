"""What is known of backends' health outlives an upgrade: who is down or ejected stays so, and slow start goes on."""
import os
import threading
import time

from daemon import binary
from harness import WeirTest, config, wait_until
from test_health import Sick
from upgradable import Forerunner, Upgradable

RARELY = {"type": "http", "path": "/healthz", "interval": "1h", "timeout": "10s"}  # the first check, and perhaps one more
SECOND = 1_000_000_000


class HealthTest(WeirTest):
    timeout = 120

    def backends(self):
        self.sick = [Sick(f"b{i}") for i in (1, 2, 3)]
        self.origins = [self.origin(s) for s in self.sick]

    def upgradable(self, sick=(), **pool):
        """With three backends; the checks of those in `sick` fail."""
        self.backends()
        for index in sick:
            self.sick[index].status = 500
        self.daemon = Upgradable(self.config(**pool))
        self.addCleanup(self.daemon.stop)
        return self.daemon

    def config(self, **pool):
        top = {key: pool.pop(key) for key in ("upgrade_timeout",) if key in pool}
        return config(self.origins, pool={"retry": {"attempts": 0}, **pool}, **top)

    def answers(self, daemon, count=30):
        with daemon.client() as client:
            return {client.get("/").text for _ in range(count)}

    def eject(self, daemon, index=0):
        """It answers well again afterwards."""
        since = daemon.marker()
        self.sick[index].serve = 503
        self.answers(daemon)
        event = daemon.wait_event("backend_ejected", backend=f"b{index + 1}", since=since)
        self.sick[index].serve = 200
        return event

    def events(self, daemon, name, since):
        return [e for e in daemon.events[since:] if e.name == name]


class Ejected(HealthTest):
    def test_it_stays_so_over_two_upgrades(self):
        daemon = self.upgradable(eject={"after": 3, "for": "60s"})
        self.eject(daemon)
        before, since = daemon.backend("b1"), daemon.marker()
        self.assertEqual(before["status"], "ejected")
        self.assertRegex(before["reason"], r"^\d+ failures in a row; out for 60s$")
        asked = self.origins[0].count()
        for _ in range(2):
            daemon.upgrade()
            now = daemon.backend("b1")
            self.assertEqual([now[key] for key in ("status", "reason", "since")], [before[key] for key in ("status", "reason", "since")])
            self.assertIn(before["reason"], daemon.command("status")[1])
            self.assertEqual(self.answers(daemon), {"b2", "b3"})
        self.assertEqual(self.origins[0].count(), asked)
        self.assertEqual(self.events(daemon, "backend_ejected", since), [], "it was logged once")
        self.assertEqual(daemon.metrics().sum("weir_backend_ejections_total"), 0, "metrics begin anew")

    def test_at_the_last_moment(self):
        """While the new process starts, the old one serves, and ejects."""
        daemon = self.upgradable(eject={"after": 3, "for": "60s"})
        go = os.path.join(daemon.folder, "go")
        daemon.use_script(f'while [ ! -e {go} ]; do sleep 0.05; done; exec {binary()} "$@"')
        thread = threading.Thread(target=daemon.upgrade)
        thread.start()
        self.addCleanup(thread.join)
        daemon.wait_event("upgrade_started")
        self.eject(daemon)
        open(go, "w").close()
        thread.join(60)
        self.assertEqual(daemon.backend("b1")["status"], "ejected")
        self.assertEqual(self.answers(daemon), {"b2", "b3"})

    def test_another_address_begins_anew(self):
        daemon = self.upgradable(eject={"after": 3, "for": "60s"}, health={**RARELY, "slow_start": "1h"})
        self.eject(daemon)
        self.origins[0] = self.origin(self.sick[0])
        daemon.write(self.config(eject={"after": 3, "for": "60s"}, health={**RARELY, "slow_start": "1h"}))
        daemon.upgrade()
        now = daemon.backend("b1")
        self.assertEqual((now["status"], now["effective_weight"]), ("up", 0.1), "as one that a reload adds")
        self.assertEqual(daemon.backend("b2")["effective_weight"], 1)
        self.assertIn("b1", self.answers(daemon, 100))

    def test_not_where_ejection_is_off(self):
        daemon = self.upgradable(eject={"after": 3, "for": "60s"})
        self.eject(daemon)
        daemon.write(self.config(eject=False))
        daemon.upgrade()
        self.assertEqual([daemon.backend("b1")[key] for key in ("status", "reason")], ["unknown", "ejection was switched off"])
        self.assertEqual(self.answers(daemon), {"b1", "b2", "b3"})


class Checked(HealthTest):
    def test_down_until_enough_checks_succeed(self):
        """Those of each process count; one alone would do at a start."""
        daemon = self.upgradable(sick=[0], health={**RARELY, "rise": 100})
        daemon.wait_event("backend_down", backend="b1")
        self.sick[0].status = 200
        since = daemon.marker()
        for least in (1, 2):
            daemon.upgrade()
            now = daemon.backend("b1")
            self.assertEqual(now["status"], "down")
            self.assertRegex(now["reason"], r"^check succeeded \d+ of 100 times$")
            self.assertGreaterEqual(int(now["reason"].split()[2]), least)
            self.assertEqual(self.answers(daemon), {"b2", "b3"})
        self.assertNotIn("/", self.origins[0].targets(), "it got no request")
        self.assertEqual([e for name in ("backend_up", "backend_down") for e in self.events(daemon, name, since)], [])

    def test_a_pool_that_has_nobody_left_is_told_of_once(self):
        daemon = self.upgradable(sick=[0, 1, 2], health={**RARELY, "interval": "100ms"})
        daemon.wait_event("pool_unavailable")
        since = daemon.marker()
        daemon.upgrade()
        for sick in self.sick:
            sick.status = 200
        daemon.wait_event("pool_available", since=since)
        self.assertEqual(self.events(daemon, "pool_unavailable", since), [])

    def test_without_a_check_that_ends_in_time(self):
        settings = {"health": {**RARELY, "interval": "100ms", "timeout": "60s", "fall": 100}, "upgrade_timeout": "10s"}
        daemon = self.upgradable(sick=[0], **settings)
        daemon.wait_event("backend_down", backend="b1")
        wait_until(lambda: daemon.backend("b2")["status"] == daemon.backend("b3")["status"] == "up")
        for sick in self.sick:
            sick.stall = True
        daemon.upgrade()
        self.assertEqual([daemon.backend(f"b{i}")["status"] for i in (1, 2, 3)], ["down", "up", "up"])
        self.assertIn("status 500, expected 200-299", daemon.backend("b1")["reason"])
        self.assertEqual(daemon.admin("/-/ready").status, 200)
        self.assertEqual(self.answers(daemon), {"b2", "b3"})

    def test_not_where_nothing_is_checked_any_more(self):
        daemon = self.upgradable(sick=[0], health={**RARELY, "interval": "100ms"})
        daemon.wait_event("backend_down", backend="b1")
        daemon.write(self.config())
        daemon.upgrade()
        self.assertEqual([daemon.backend("b1")[key] for key in ("status", "reason")], ["unknown", "not checked any more"])
        self.assertEqual(self.answers(daemon), {"b1", "b2", "b3"})

    def test_other_checks_decide_alone(self):
        daemon = self.upgradable(sick=[0], health={**RARELY, "interval": "100ms"})
        daemon.wait_event("backend_down", backend="b1")
        daemon.write(self.config(health={**RARELY, "path": "/", "rise": 100}))
        daemon.upgrade()
        self.assertEqual(daemon.backend("b1")["status"], "up")

    def test_slow_start_goes_on(self):
        daemon = self.upgradable(sick=[0], health={**RARELY, "interval": "100ms", "slow_start": "1h"})
        daemon.wait_event("backend_down", backend="b1")
        self.sick[0].status = 200
        daemon.wait_event("backend_up", backend="b1")
        daemon.upgrade()
        self.assertEqual([daemon.backend(f"b{i}")["effective_weight"] for i in (1, 2, 3)], [0.1, 1, 1])
        daemon.upgrade()
        self.assertEqual([daemon.backend(f"b{i}")["effective_weight"] for i in (1, 2, 3)], [0.1, 1, 1])


class FromAnotherVersion(HealthTest):
    def taking_over(self, *lines, **pool):
        """A daemon with three backends that was handed these lines, each of a backend's name and what differs from the usual."""
        self.backends()
        forerunner = Forerunner()
        self.addCleanup(forerunner.close)
        daemon = forerunner.start(self.config(**pool))
        self.addCleanup(daemon.stop)
        forerunner.hand_over(*(self.line(name, **fields) for name, fields in lines))
        daemon.wait_event("ready")
        return daemon

    def line(self, name, verdict="unknown", row=0, until=0, slow=0, words="", reason="so it was said", **other):
        """`until` and `slow`: in seconds from now."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        address = self.origins[int(name[1]) - 1].address if name in ("b1", "b2", "b3") else "127.0.0.1:9"
        fields = [other.get("pool", "app"), name, address, verdict, "0", "0", "none", str(row), str(now + int(until * SECOND)), "0",
                  str(now + int(slow * SECOND)) if slow else "0", "1000000000", words, reason]
        return ["health", *fields[:other.get("length", 14)]]

    def test_the_rest_of_its_time_and_the_next_one(self):
        daemon = self.taking_over(("b1", {"row": 2, "until": 1, "words": "ejected"}), ("b2", {}), ("b3", {}), eject={"after": 3, "for": "60s", "max": "10m"})
        daemon.wait_event("backend_returned", backend="b1")
        self.assertEqual(daemon.backend("b1")["reason"], "the time of its ejection is over")
        wait_until(lambda: self.answers(daemon) == {"b1", "b2", "b3"})
        self.assertIn("out for 180s", self.eject(daemon).reason)

    def test_slow_start_is_where_it_would_be(self):
        third = min(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // SECOND, 3000) / 3  # nothing began before the machine did
        daemon = self.taking_over(("b1", {"slow": -third}), ("b2", {"slow": -2.5 * third}), ("b3", {}),
                                  health={"type": "tcp", "interval": "1h", "slow_start": f"{int(third * 2000)}ms"})
        weights = [daemon.backend(f"b{i}")["effective_weight"] for i in (1, 2, 3)]
        self.assertGreaterEqual(weights[0], 0.45)
        self.assertLess(weights[0], 1)
        self.assertEqual(weights[1:], [1, 1])

    def test_lines_that_make_no_sense_cost_nothing_else(self):
        out = {"until": 60, "row": 1, "words": "later ejected"}
        daemon = self.taking_over(("b1", out), ("b2", {**out, "verdict": "sideways"}), ("b3", {**out, "length": 9}), ("b9", out), ("b3", {**out, "pool": "gone"}))
        self.assertEqual([daemon.backend(f"b{i}")["status"] for i in (1, 2, 3)], ["ejected", "unknown", "unknown"])
        self.assertEqual(daemon.backend("b1")["reason"], "so it was said")
        event = daemon.wait_event("handover_incomplete")
        self.assertEqual((event.what, event.left_out), ("health of backends", "2"))
        self.assertEqual(self.answers(daemon), {"b2", "b3"})

    def test_one_that_says_nothing_of_health(self):
        daemon = self.taking_over(health={**RARELY, "slow_start": "1h"})
        self.assertEqual([daemon.backend(f"b{i}")["status"] for i in (1, 2, 3)], ["up"] * 3)
        self.assertEqual([daemon.backend(f"b{i}")["effective_weight"] for i in (1, 2, 3)], [1, 1, 1])
