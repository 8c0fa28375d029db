"""Zero-downtime upgrades: a new process takes over every socket; one that fails changes nothing."""
import json
import os
import re
import signal
import socket
import tempfile
import threading
import time

from harness import Client, WeirTest, config, echo, fetch, load, request, response, wait_until
from observe import open_files
from test_ending import refused
from test_service_manager import Manager
from test_tunnels import UPGRADE, echo_tunnel
from upgradable import Upgradable

CRASHES = {"exit code": ("exit 3", "ended with code 3"), "signal": ("kill -SEGV $$", r"ended by signal 11 \(Segmentation fault\)")}


class UpgradeTest(WeirTest):
    timeout = 120

    def upgradable(self, configuration, **named):
        daemon = Upgradable(configuration, **named)
        self.addCleanup(daemon.stop)
        return daemon

    def slow_origin(self):
        """Answers /slow only once it may, anything else at once."""
        self.go = threading.Event()
        self.addCleanup(self.go.set)
        return self.origin(lambda m, c: (self.go.wait(60) if m.target == "/slow" else None, response(200, b"ok"))[1])


class Traffic(UpgradeTest):
    def under_load(self, daemon, action, address=None):
        """Clients that keep their connections and clients that open new ones, before, during and after; none may see an error."""
        address = address or daemon.address()
        loads = [load(address, clients=6, keep_alive=True), load(address, clients=4, keep_alive=False)]
        def more():
            done = [each.done for each in loads]
            wait_until(lambda: all(each.done > before + 100 for each, before in zip(loads, done)) or any(each.errors for each in loads), 60)
        more()
        try:
            action(more)
            more()
        finally:
            errors = [error for each in loads for error in each.stop().errors]
        self.assert_no_errors(errors)

    def test_no_request_fails(self):
        origin = self.origin(lambda m, c: response(200, b"ok"), record=False)
        daemon = self.upgradable(config([origin], workers=2))
        first = daemon.pid
        def action(more):
            for _ in range(3):
                old = daemon.pid
                out = daemon.upgrade()
                self.assertRegex(out, rf"pid {old}, weir \S+: starting {re.escape(daemon.program)}\npid {daemon.pid}, weir \S+: serves, after \d+\.\d+ s\n"
                                      rf"pid {old}: finishes \d+ connections?, in 30 s at most\n$")
                more()
        self.under_load(daemon, action)
        self.assertNotEqual(daemon.pid, first)
        status = json.loads(daemon.admin("/api/v1/status").text)
        self.assertEqual((status["pid"], status["upgrades"]["ok"], status["upgrades"]["failed"]), (daemon.pid, 3, 0))
        self.assertEqual(daemon.metrics().sum("weir_upgrades_total", result="ok"), 3)
        self.assertIn("3 upgrades", daemon.command("status")[1])
        wait_until(lambda: daemon.running() == [daemon.pid], 60, "the old processes have ended")
        wait_until(lambda: daemon.metrics().sum("weir_predecessors") == 0)

    def test_by_signal(self):
        origin = self.origin(lambda m, c: response(200, b"ok"), record=False)
        daemon = self.upgradable(config([origin], workers=2))
        def action(more):
            daemon.signal(signal.SIGUSR2)
            daemon.pid = int(daemon.wait_event("handed_over").to)
            more()
            self.assertEqual(json.loads(daemon.admin("/api/v1/status").text)["pid"], daemon.pid)
        self.under_load(daemon, action)

    def test_fewer_and_more_workers(self):
        """A socket of the group that nobody accepted from would lose its share of the connections."""
        origin = self.origin(lambda m, c: response(200, b"ok"), record=False)
        daemon = self.upgradable(config([origin], workers=4))
        def action(more):
            for workers in (1, 3, 8, 2):
                daemon.write(config([origin], workers=workers, listeners={"web": {"bind": "127.0.0.1:0"}}))
                daemon.upgrade()
                self.assertEqual(json.loads(daemon.admin("/api/v1/status").text)["workers"], workers)
                more()
        self.under_load(daemon, action)
        wait_until(lambda: daemon.running() == [daemon.pid], 60)
        for _ in range(100):
            self.assertEqual(fetch(daemon.address()).status, 200)

    def test_reloads_of_what_was_taken_over(self):
        origin = self.origin(lambda m, c: response(200, b"ok"), record=False)
        daemon = self.upgradable(config([origin], workers=3))
        address = daemon.address()
        fixed, other = ({"web": {"bind": "127.0.0.1:0"}, "more": {"bind": bind}} for bind in ("127.0.0.1:0", "127.0.0.2:0"))
        daemon.reload(config([origin], workers=3, listeners=fixed))
        gone = daemon.address("more")
        daemon.write(config([origin], workers=1, listeners=fixed))
        daemon.upgrade()
        def action(more):
            daemon.reload(config([origin], workers=1, listeners=other))
            wait_until(lambda: refused(gone), what="closed although the old process has the socket, too")
            more()
            daemon.reload(config([origin], workers=1, listeners=fixed))
        self.under_load(daemon, action, address)

    def test_unix_socket(self):
        origin = self.origin(lambda m, c: response(200, b"ok"), record=False)
        with tempfile.TemporaryDirectory(prefix="weir-upgrade-") as folder:
            path = os.path.join(folder, "web.sock")
            daemon = self.upgradable(config([origin], workers=2, listeners={"web": {"bind": "unix:" + path}}))
            self.under_load(daemon, lambda more: daemon.upgrade(), "unix:" + path)
            wait_until(lambda: daemon.running() == [daemon.pid], 60)
            self.assertEqual(fetch("unix:" + path).status, 200)
            daemon.signal(signal.SIGTERM)
            wait_until(lambda: not daemon.running())
            self.assertFalse(os.path.exists(path))

    def test_passed_sockets(self):
        passed = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(passed.close)
        address = "127.0.0.1:%d" % passed.getsockname()[1]
        origin = self.origin(lambda m, c: response(200, b"ok"), record=False)
        daemon = self.upgradable(config([origin], workers=2, listeners={"web": {"bind": address}}), inherit=[passed])
        def action(more):
            since = daemon.marker()
            daemon.upgrade()
            self.assertEqual(daemon.wait_event("listening", listener="web", since=since).socket, "inherited")
        self.under_load(daemon, action)
        for pid in daemon.running()[:-1]:
            os.kill(pid, signal.SIGTERM)
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: not daemon.running(), 60)
        Client(address).close()  # whoever passed it still has it

    def test_what_goes_wrong_changes_nothing(self):
        origin = self.origin(lambda m, c: response(200, b"ok"), record=False)
        good = config([origin], workers=2, upgrade_timeout="1s")
        daemon = self.upgradable(good)
        pid = daemon.pid
        def action(more):
            for what, (script, reason) in CRASHES.items():
                with self.subTest(what):
                    daemon.use_script(script)
                    code, err = daemon.failed_upgrade()
                    self.assertEqual(code, 1)
                    self.assertRegex(err, rf"weir: pid \d+ (was )?{reason} before it was ready\nweir: the upgrade failed: pid {pid} goes on")
                    more()
            daemon.use_script("exec sleep 600")
            _, err = daemon.failed_upgrade()
            self.assertRegex(err, r"did not get ready within 1 s \(upgrade_timeout\)")
            daemon.wait_event("upgrade_failed", reason=re.search(r"weir: (pid .*)", err)[1])
            os.unlink(daemon.program)
            self.assertRegex(daemon.failed_upgrade()[1], r"cannot start \S+: No such file or directory")
            daemon.use_binary()
            daemon.write("nonsense: [\n")
            code, err = daemon.failed_upgrade()
            self.assertEqual(code, 2)
            self.assertRegex(err, r"weir.yaml:\d+:\d+: ")
            taken = self.origin()
            daemon.write({**good, "listeners": {**good["listeners"], "bad": {"bind": taken.address}}})
            self.assertIn(f"cannot listen on {taken.address}", daemon.failed_upgrade()[1])
        self.under_load(daemon, action)
        self.assertEqual(daemon.running(), [pid])
        self.assertEqual(daemon.metrics().sum("weir_upgrades_total", result="failed"), 6)
        daemon.write(good)
        self.under_load(daemon, lambda more: daemon.upgrade())

    def test_a_new_process_that_dies_soon_is_taken_back_from(self):
        """Whatever it had accepted is lost, but nothing that came later."""
        origin = self.origin(lambda m, c: response(200, b"ok"), record=False)
        first = config([origin], workers=2, listeners={"web": {"bind": "127.0.0.1:0"}, "gone": {"bind": "127.0.0.2:0"}})
        daemon = self.upgradable(first)
        pid, address = daemon.pid, daemon.address()
        daemon.write(config([origin], workers=1))
        daemon.upgrade()
        since = daemon.marker()
        os.kill(daemon.pid, signal.SIGKILL)
        event = daemon.wait_event("upgrade_taken_back", since=since)
        self.assertRegex(event.reason, r"was ended by signal 9 \(Killed\)")
        daemon.pid = pid
        self.under_load(daemon, lambda more: None, address)
        self.assertEqual(fetch(daemon.address("gone")).status, 200)
        self.assertEqual(json.loads(daemon.admin("/api/v1/status").text)["pid"], pid)
        self.assertEqual(daemon.command("status")[0], 0)
        daemon.write(first)
        self.under_load(daemon, lambda more: daemon.upgrade(), address)


class Draining(UpgradeTest):
    def test_connections_that_are_there(self):
        """What is in flight is finished, says close, and both processes write to the access log."""
        daemon = self.upgradable(config([self.slow_origin()]))
        busy, idle = self.client(daemon), self.client(daemon)
        self.assertEqual(idle.get("/before").status, 200)
        busy.send(request("GET", "/slow"))
        wait_until(lambda: daemon.metrics().sum("weir_pool_inflight") == 1)
        old = daemon.pid
        daemon.upgrade()
        self.assertEqual(daemon.get("/new").status, 200)
        time.sleep(1.5)  # longer than an ordinary end lets idle connections be
        answer = idle.get("/idle")
        self.assertEqual((answer.status, answer.header("connection")), (200, "close"))
        self.assert_closed(idle)
        os.rename(daemon.log_path, daemon.log_path + ".1")
        daemon.signal(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(daemon.log_path))
        wait_until(lambda: daemon.log_path in open_files(old), what="the old one's, too")
        self.go.set()
        answer = busy.read()
        self.assertEqual((answer.status, answer.header("connection")), (200, "close"))
        self.assert_closed(busy)
        daemon.wait_log(lambda r: r["target"] == "/slow")
        wait_until(lambda: daemon.running() == [daemon.pid], 60)

    def test_tunnels_live_until_drain_timeout(self):
        daemon = self.upgradable(config([self.origin(handler=echo_tunnel)], drain_timeout="4s"))
        client = self.client(daemon)
        client.send(request("GET", "/", UPGRADE))
        self.assertEqual(client.read().status, 101)
        daemon.upgrade()
        client.send(b"alive")
        self.assertEqual(client.read_exactly(5), b"alive")
        self.assertIn("finishes its connections", daemon.command("status")[1])
        self.assertEqual(client.read_to_end(), b"")
        daemon.wait_event("drain_timeout")
        wait_until(lambda: daemon.running() == [daemon.pid], 30)

    def test_the_end_while_an_older_process_still_has_a_tunnel(self):
        daemon = self.upgradable(config([self.origin(handler=echo_tunnel)], drain_timeout="10m", workers=2))
        client = self.client(daemon)
        client.send(request("GET", "/", UPGRADE))
        self.assertEqual(client.read().status, 101)
        old = daemon.pid
        daemon.upgrade()
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: daemon.running() == [old])
        self.assertTrue(refused(daemon.address()), "the old process has the socket, too, but nobody listens")
        client.send(b"alive")
        self.assertEqual(client.read_exactly(5), b"alive")
        self.assertEqual([e for e in daemon.events if e.name == "upgrade_taken_back"], [])

    def test_processes_never_pile_up(self):
        daemon = self.upgradable(config([self.origin(handler=echo_tunnel)], drain_timeout="10m"))
        for number in range(1, 8):
            client = self.client(daemon)
            client.send(request("GET", "/", UPGRADE))
            self.assertEqual(client.read().status, 101)
            daemon.reload()
            daemon.upgrade()
            wait_until(lambda: len(daemon.running()) <= 5, 30, "at most four old processes")
            self.assertEqual(len(daemon.running()), min(number + 1, 5))
        self.assertEqual(daemon.running(), daemon.started()[-5:], "the oldest were ended")
        self.assertEqual(daemon.metrics().sum("weir_predecessors"), 4)
        self.assertEqual(len([e for e in daemon.events if e.name == "predecessor_ended"]), 3)

    def test_admin_connections_move(self):
        daemon = self.upgradable(config([self.origin(echo)]))
        stream = self.client(daemon, "admin")
        stream.send(request("GET", "/api/v1/events", host=daemon.address("admin")))
        stream.read_exactly(100)
        daemon.upgrade()
        stream.read_to_end()
        self.assertEqual(json.loads(daemon.admin("/api/v1/status").text)["pid"], daemon.pid)


class Orders(UpgradeTest):
    def test_backends_stay_drained(self):
        origins = [self.origin(lambda m, c, i=i: response(200, b"%d" % i)) for i in range(3)]
        daemon = self.upgradable(config(origins))
        self.assertEqual(daemon.command("drain", "app/b1")[0], 0)
        self.assertEqual(daemon.command("disable", "app/b2")[0], 0)
        daemon.upgrade()
        self.assertEqual([daemon.backend(f"b{i}")["status"] for i in (1, 2, 3)], ["draining", "disabled", "unknown"])
        self.assertEqual({daemon.get("/").text for _ in range(12)}, {"2"})
        self.assertEqual(daemon.command("enable", "app/b1")[0], 0)

    def test_checks_come_first(self):
        """A backend that is down gets no request from the new process, either."""
        alive, dead = self.origin(lambda m, c: response(200, b"alive")), self.origin()
        daemon = self.upgradable(config([alive, dead], pool={"health": {"type": "tcp", "interval": "500ms"}}))
        dead.kill()
        wait_until(lambda: daemon.backend("b2")["status"] == "down")
        daemon.upgrade()
        self.assertEqual(daemon.backend("b2")["status"], "down")

    def test_one_at_a_time(self):
        daemon = self.upgradable(config([self.origin(echo)], upgrade_timeout="10m"))
        daemon.use_script("exec sleep 600")
        daemon.signal(signal.SIGUSR2)
        starting = daemon.wait_event("upgrade_started")
        code, err = daemon.failed_upgrade()
        self.assertEqual(code, 1)
        self.assertRegex(err, rf"weir: an upgrade is under way: pid {starting.fields['pid']} was started \d+ ms ago\n$")
        self.assertIn("one is under way", daemon.command("status")[1])
        code, _, err = daemon.command("reload")
        self.assertEqual(code, 1)
        self.assertIn("an upgrade is under way", err)
        daemon.signal(signal.SIGHUP)
        self.assertEqual(daemon.get("/").status, 200)
        os.kill(int(starting.fields["pid"]), signal.SIGKILL)
        daemon.wait_event("upgrade_failed")
        daemon.wait_event("reloaded")  # by the SIGHUP that had to wait

    def test_the_end_of_the_old_process_ends_the_new_one_that_is_not_ready(self):
        daemon = self.upgradable(config([self.origin(echo)], upgrade_timeout="10m"))
        daemon.use_script("exec sleep 600")
        daemon.signal(signal.SIGUSR2)
        daemon.wait_event("upgrade_started")
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: not daemon.running())

    def test_listeners_that_the_new_file_adds_or_removes(self):
        with tempfile.TemporaryDirectory(prefix="weir-upgrade-") as folder:
            gone = {"web": {"bind": "127.0.0.1:0"}, "old": {"bind": ["127.0.0.1:0", f"unix:{folder}/old.sock"]}}
            daemon = self.upgradable(config([self.origin(echo)], listeners=gone, workers=2))
            web, (old, _) = daemon.address(), daemon.addresses("old")
            daemon.write(config([self.origin(echo)], listeners={"web": {"bind": "127.0.0.1:0"}, "new": {"bind": "127.0.0.1:0"}}, workers=2))
            daemon.upgrade()
            self.assertEqual([fetch(a).status for a in (web, daemon.address("new"))], [200, 200])
            wait_until(lambda: refused(old))
            self.assertFalse(os.path.exists(f"{folder}/old.sock"))

    def test_an_address_that_covers_the_old_one(self):
        daemon = self.upgradable(config([self.origin(echo)]))
        port = daemon.address().rpartition(":")[2]
        for bind in (f"127.0.0.1:{port}", f"0.0.0.0:{port}"):
            daemon.write(config([self.origin(echo)], listeners={"web": {"bind": bind}}))
            daemon.upgrade()
            self.assertEqual(fetch(f"127.0.0.1:{port}").status, 200)


class Services(UpgradeTest):
    def manager(self):
        folder = tempfile.TemporaryDirectory(prefix="weir-manager-")
        self.addCleanup(folder.cleanup)
        manager = Manager(os.path.join(folder.name, "notify"))
        self.addCleanup(manager.socket.close)
        return manager

    def test_what_the_manager_is_told(self):
        manager = self.manager()
        daemon = self.upgradable(config([self.origin(echo)]), environment={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "600000"})
        self.assertNotIn("MAINPID", manager.wait("READY"))
        daemon.upgrade()
        message = manager.wait("MAINPID")
        self.assertEqual((message["READY"], message["MAINPID"]), ("1", str(daemon.pid)))
        self.assertIn("generation 1", message["STATUS"])
        wait_until(lambda: daemon.running() == [daemon.pid], 60)
        self.assertTrue(all(m == {"WATCHDOG": "1"} for m in manager.waiting()), "the old process is silent")
        self.assertEqual(manager.next(), {"WATCHDOG": "1"})
        daemon.signal(signal.SIGTERM)
        manager.wait("STOPPING")

    def test_what_the_manager_is_told_of_a_failure(self):
        manager = self.manager()
        daemon = self.upgradable(config([self.origin(echo)]), environment={"NOTIFY_SOCKET": manager.name})
        manager.wait("READY")
        daemon.use_script("exit 1")
        daemon.failed_upgrade()
        self.assertEqual(manager.waiting(), [], "nothing has changed")
        daemon.use_binary()
        old = daemon.pid
        daemon.upgrade()
        manager.wait("MAINPID")
        os.kill(daemon.pid, signal.SIGKILL)
        message = manager.wait("MAINPID")
        self.assertEqual(message["MAINPID"], str(old))
        self.assertIn("upgrade failed", message["STATUS"])
        daemon.pid = old
