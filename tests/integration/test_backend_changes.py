"""`weir backend add, weight, remove`: at once, without a reload; persisted when asked; what a reload makes of it."""
import json
import os
import signal
import tempfile

from harness import WeirTest, config, load, response, wait_until
from upgradable import Forerunner, Upgradable


class BackendChangesTest(WeirTest):
    def setUp(self):
        self.origins = {name: self.origin(lambda m, c, name=name: response(200, name.encode())) for name in "abc"}
        self.state = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "backends.json")

    def shape(self, names="ab", state=True, **more):
        result = config({n: self.origins[n].url for n in names}, **more)
        if state:
            result["admin"]["state_file"] = self.state
        return result

    def names(self, daemon):
        return {b["name"]: (b["weight"], b["source"]) for b in daemon.pools()["pools"][0]["backends"]}

    def order(self, daemon, *words, code=0):
        got, out, err = daemon.command("backend", *words)
        self.assertEqual(got, code, (out, err))
        return out + err

    def answers(self, daemon):
        return {daemon.get(f"/{i}").text for i in range(12)}


class BackendChanges(BackendChangesTest):
    def test_added_weighted_removed(self):
        daemon = self.weir(self.shape("ab", pool={"balance": "random"}))
        clients = load(daemon.address(), clients=3)
        said = self.order(daemon, "add", "app/c", self.origins["c"].url, "--weight", "2")
        self.assertIn("app/c: added, weight 2; not persisted", said)
        wait_until(lambda: self.answers(daemon) == {"a", "b", "c"})
        self.assertEqual(self.names(daemon), {"a": (1, "file"), "b": (1, "file"), "c": (2, "api")})
        self.order(daemon, "weight", "app/c", "0")
        wait_until(lambda: self.answers(daemon) == {"a", "b"})
        self.order(daemon, "weight", "app/c", "5")
        self.order(daemon, "remove", "app/a")
        wait_until(lambda: self.answers(daemon) == {"b", "c"})
        self.assertGreater(daemon.backend("b")["requests"], 10, "its counters live on")
        self.assert_no_errors(clients.stop().errors)
        self.assertEqual(daemon.metrics().sum("weir_config_generation"), 1)
        event = daemon.wait_event("backend_changed", backend="a")
        self.assertEqual((event.fields["change"], event.fields["persisted"]), ("remove", "false"))
        self.assertFalse(os.path.exists(self.state))

    def test_errors_say_what_exists(self):
        daemon = self.weir(self.shape("ab", state=False))
        self.assertIn('there is no pool "ap" (did you mean "app"?); the pools are: app', self.order(daemon, "remove", "ap/a", code=1))
        self.assertIn("its backends are: a, b", self.order(daemon, "weight", "app/zzz", "1", code=1))
        self.assertIn("the scheme is missing", self.order(daemon, "add", "app/c", "127.0.0.1:1", code=1))
        self.assertIn("no weight", self.order(daemon, "weight", "app/a", "many", code=1))
        self.assertIn("there is no admin.state_file", self.order(daemon, "weight", "app/a", "2", "--persist", code=1))
        self.assertIn("backend add POOL/NAME URL", self.order(daemon, "ad", "app/a", "2", code=2))
        for words in ((), ("add",), ("add", "app/a"), ("remove",)):
            self.assertIn('write "weir backend add POOL/NAME URL"', self.order(daemon, *words, code=2))
        self.assertIn("takes two words", self.order(daemon, "add", "app/a", code=2))
        self.order(daemon, "remove", "app/a")
        self.assertIn("the last backend", self.order(daemon, "remove", "app/b", code=1))
        self.assertEqual(self.names(daemon), {"b": (1, "file")})
        refused = daemon.admin("/api/v1/pools/app/backends/b/weight?value=2", "POST")
        self.assertEqual(refused.status, 403, "over TCP without a token")

    def test_persisted_over_a_restart(self):
        daemon = self.weir(self.shape("ab"))
        self.order(daemon, "add", "app/c", self.origins["c"].url, "--persist")
        self.order(daemon, "weight", "app/a", "7", "--persist")
        self.order(daemon, "weight", "app/b", "9")
        with open(daemon.path) as file:
            self.assertNotIn(self.origins["c"].url, file.read())
        with open(self.state) as file:
            self.assertEqual(len(json.load(file)["backends"]), 2)
        again = self.weir(self.shape("ab"))
        self.assertEqual(self.names(again), {"a": (7, "file"), "b": (1, "file"), "c": (1, "api")})
        self.order(again, "remove", "app/c", "--persist")
        self.assertEqual(self.names(self.weir(self.shape("ab"))), {"a": (7, "file"), "b": (1, "file")})

    def test_a_reload_keeps_what_fits_the_file(self):
        daemon = self.weir(self.shape("ab"))
        self.order(daemon, "add", "app/c", self.origins["c"].url)
        self.order(daemon, "weight", "app/a", "3")
        daemon.reload(self.shape("ab", pool={"balance": "random"}))
        self.assertEqual(self.names(daemon), {"a": (3, "file"), "b": (1, "file"), "c": (1, "api")})
        daemon.write(self.shape("bc", pool={"balance": "random"}))
        code, out, err = daemon.command("reload", "--dry-run")
        self.assertEqual(code, 0, err)
        self.assertIn("backend c: what was changed by `weir backend` is forgotten: the file has it now", out)
        self.assertIn("backend a removed", out)
        self.assertEqual(len(self.names(daemon)), 3)
        daemon.reload()
        self.assertEqual(self.names(daemon), {"b": (1, "file"), "c": (1, "file")})
        daemon.wait_event("backend_change_forgotten")

    def test_a_bad_state_file_stops_nothing_and_is_not_written_over(self):
        for text in ("{", '{"version": 2}', '{"version": 1, "backends": [{"pool": 1}]}', '{"version": 1, "backends": [{"pool": "app", "backend": "c", "change": "grow"}]}'):
            with open(self.state, "w") as file:
                file.write(text)
            daemon = self.weir(self.shape("ab"))
            daemon.wait_event("state_file_bad")
            self.assertIn("can't be used", self.order(daemon, "weight", "app/a", "2", "--persist", code=1))
            self.assertEqual(self.names(daemon)["a"], (1, "file"))
            with open(self.state) as file:
                self.assertEqual(file.read(), text)

    def test_what_a_reload_forgets_does_not_come_back_with_a_start(self):
        daemon = self.weir(self.shape("ab"))
        self.order(daemon, "add", "app/c", self.origins["c"].url, "--persist")
        self.order(daemon, "weight", "app/a", "7", "--persist")
        daemon.reload(self.shape("abc"))
        with open(self.state) as file:
            self.assertEqual([b["backend"] for b in json.load(file)["backends"]], ["a"])
        daemon.reload(self.shape("ab"))
        self.assertEqual(self.names(self.weir(self.shape("ab"))), {"a": (7, "file"), "b": (1, "file")})

    def test_names_in_the_state_file_are_held_to_the_rules(self):
        bad = ["../\0z\n\"x{}", "\x1b[31mred", "", "n" * 3000]
        changes = [{"pool": "app", "backend": name, "change": "add", "url": self.origins["c"].url, "weight": 1} for name in [*bad, "c"]]
        with open(self.state, "w") as file:
            json.dump({"version": 1, "backends": changes}, file)
        daemon = self.weir(self.shape("ab"))
        self.assertEqual(sorted(self.names(daemon)), ["a", "b", "c"])
        self.assertEqual(sum(e.name == "backend_change_forgotten" for e in daemon.events), len(bad))


class Upgrades(BackendChangesTest):
    timeout = 120

    def upgradable(self, configuration):
        daemon = Upgradable(configuration)
        self.addCleanup(daemon.stop)
        return daemon

    def test_keep_what_was_not_persisted(self):
        daemon = self.upgradable(self.shape("ab", state=False))
        self.order(daemon, "add", "app/c", self.origins["c"].url, "--weight", "2")
        self.order(daemon, "weight", "app/a", "3")
        self.order(daemon, "remove", "app/b")
        for _ in range(2):
            self.assertNotIn("forgotten", daemon.upgrade())
            self.assertEqual(self.names(daemon), {"a": (3, "file"), "c": (2, "api")})
            self.assertEqual(self.answers(daemon), {"a", "c"})
        daemon.reload(self.shape("ab", state=False, pool={"balance": "random"}))
        self.assertEqual(self.names(daemon), {"a": (3, "file"), "c": (2, "api")})

    def test_lay_what_was_not_persisted_over_what_was(self):
        daemon = self.upgradable(self.shape("ab"))
        self.order(daemon, "add", "app/c", self.origins["c"].url, "--persist")
        self.order(daemon, "weight", "app/a", "7", "--persist")
        self.order(daemon, "weight", "app/a", "9")
        self.order(daemon, "remove", "app/c")
        daemon.upgrade()
        self.assertEqual(self.names(daemon), {"a": (9, "file"), "b": (1, "file")})
        self.assertEqual(self.names(self.weir(self.shape("ab"))), {"a": (7, "file"), "b": (1, "file"), "c": (1, "api")})

    def test_say_what_no_longer_fits(self):
        daemon = self.upgradable(self.shape("ab", state=False))
        self.order(daemon, "add", "app/c", self.origins["c"].url)
        self.order(daemon, "weight", "app/a", "3")
        self.order(daemon, "weight", "app/b", "4")
        daemon.write(self.shape("bc", state=False))
        said = daemon.upgrade()
        for backend, why in (("a", "the file has it no more"), ("c", "the file has it now")):
            line = f"pool app: backend {backend}: what was changed by `weir backend` is forgotten: {why}"
            self.assertIn(line + "\n", said)
            daemon.wait_event("backend_change_forgotten", change=line)
        self.assertEqual(self.names(daemon), {"b": (4, "file"), "c": (1, "file")})

    def test_refuse_changes_meanwhile(self):
        daemon = self.upgradable(self.shape("ab", upgrade_timeout="10m"))
        daemon.use_script("exec sleep 600")
        daemon.signal(signal.SIGUSR2)
        daemon.wait_event("upgrade_started")
        self.assertIn("an upgrade is under way", self.order(daemon, "weight", "app/a", "2", code=1))
        self.assertEqual(self.names(daemon)["a"], (1, "file"))

    def test_lines_that_make_no_sense_cost_nothing_else(self):
        forerunner = Forerunner()
        self.addCleanup(forerunner.close)
        change = {"pool": "app", "backend": "a", "change": "weight", "weight": 5}
        bad = ["", "{", "[]", json.dumps({**change, "change": "grow"}), json.dumps({**change, "weight": -1}), json.dumps({"pool": "app"})]
        daemon = forerunner.start(self.shape("ab"), *(["change", text] for text in [*bad, json.dumps({**change, "weight": 1001, "backend": "b"}), json.dumps(change)]))
        self.addCleanup(daemon.stop)
        event = daemon.wait_event("handover_incomplete")
        self.assertEqual((event.what, event.left_out, event.reason), ("changes of backends", "6", "it is no JSON"))
        ready = forerunner.hand_over()
        self.assertIn(["forgotten", "pool app: backend b: what was changed by `weir backend` is forgotten: its weight is refused"], ready)
        daemon.wait_event("ready")
        self.assertEqual(self.names(daemon), {"a": (5, "file"), "b": (1, "file")})
