"""Orders of the operator reach older processes, which finish their connections after an upgrade, and a drain waits for them."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

from harness import WeirTest, config, request, response, wait_until
from tcp import Server, connect, echo, read_all, read_exactly, tcp_config
from upgradable import Forerunner, Upgradable


class OrdersTest(WeirTest):
    timeout = 120

    def upgradable(self, configuration, **named):
        daemon = Upgradable(configuration, **named)
        self.addCleanup(daemon.stop)
        return daemon

    def session(self, daemon):
        client = connect(daemon)
        self.addCleanup(client.close)
        self.assertTrue(self.works(client))
        return client

    def works(self, client):
        client.sendall(b"x")
        return read_exactly(client, 1) == b"x"


class Sessions(OrdersTest):
    def closing(self):
        return tcp_config([Server(self, echo)], pool={"sessions": {"on_eject": "close"}}, drain_timeout="60s")

    def test_disable_ends_those_of_every_older_process(self):
        daemon = self.upgradable(self.closing())
        clients, pids = [], []
        for _ in range(3):
            clients.append(self.session(daemon))  # perhaps with the one before, which accepts until the new one does
            pids.append(daemon.pid)
            daemon.upgrade()
        clients.append(self.session(daemon))
        wait_until(lambda: sum(p["inflight"] or 0 for p in self.older(daemon)) >= 3)
        self.assertIn(pids[0], {p["pid"] for p in self.older(daemon)})
        self.assertRegex(daemon.command("disable", "app/b1")[1],
                         r"^app/b1: disabled; 4 in flight(, \d of them in pid \d+, which finishes its connections){1,3}: they are reset \(on_eject: close\)\n$")
        for client in clients:
            self.assertEqual(read_all(client), (b"", "reset"))
        wait_until(lambda: [r["cause"] for r in daemon.access_log()] == ["backend_out"] * 4)

    def older(self, daemon, name="b1"):
        return json.loads(daemon.admin(f"/api/v1/pools/app/backends/{name}").text)["older_processes"]

    def test_though_the_one_between_has_ended(self):
        daemon = self.upgradable(self.closing())
        client, first = self.session(daemon), daemon.pid
        daemon.upgrade()
        daemon.upgrade()
        wait_until(lambda: daemon.running() == [first, daemon.pid], 60)
        wait_until(lambda: self.older(daemon) == [{"pid": first, "inflight": 1, "takes_orders": True, "obeys": True}])
        self.assertTrue(self.works(client))
        self.assertEqual(daemon.command("disable", "app/b1")[0], 0)
        self.assertEqual(read_all(client), (b"", "reset"))

    def test_none_takes_back_from_one_that_ends_in_order(self):
        """Not even if the one between was killed."""
        daemon = self.upgradable(self.closing())
        client, first = self.session(daemon), daemon.pid
        daemon.upgrade()
        second = daemon.pid
        daemon.upgrade()
        wait_until(lambda: first in [p["pid"] for p in self.older(daemon)])
        os.kill(second, signal.SIGKILL)
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: daemon.running() == [first], 60)
        self.assertTrue(self.works(client))
        time.sleep(0.5)
        self.assertTrue(self.works(client))
        self.assertEqual([e for e in daemon.events if e.name == "upgrade_taken_back"], [])

    def test_from_one_that_took_back(self):
        daemon = self.upgradable(self.closing())
        client = self.session(daemon)
        daemon.upgrade()
        second = daemon.pid
        daemon.upgrade()
        since = daemon.marker()
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait_event("upgrade_taken_back", since=since)
        daemon.pid = second
        self.assertTrue(self.works(client))
        wait_until(lambda: [p["inflight"] for p in self.older(daemon)] == [1])
        self.assertEqual(daemon.command("disable", "app/b1")[0], 0)
        self.assertEqual(read_all(client), (b"", "reset"))


class Requests(OrdersTest):
    def test_drain_waits_for_those_of_an_older_process(self):
        go = threading.Event()
        self.addCleanup(go.set)
        origin = self.origin(lambda m, c: (go.wait(60), response(200, b"ok"))[1])
        daemon = self.upgradable(config([origin], drain_timeout="60s"))
        client, old = self.client(daemon), daemon.pid
        client.send(request("GET", "/"))
        wait_until(lambda: daemon.metrics().sum("weir_backend_inflight") == 1)
        daemon.upgrade()
        code, _, err = daemon.command("drain", "app/b1", "--timeout", "500ms")
        self.assertEqual(code, 1)
        self.assertRegex(err, rf"weir: app/b1 is not drained after [\d.]+ s: 1 in flight, 1 of them in pid {old}, which finishes its connections; it takes nothing new until")
        go.set()
        self.assertEqual(client.read().status, 200)
        code, out, _ = daemon.command("drain", "app/b1")
        self.assertEqual(code, 0)
        self.assertIn("app/b1: drained, nothing in flight after", out)

    def test_older_processes_choose_by_the_orders(self):
        origins = [self.origin(lambda m, c, i=i: response(200, b"%d" % i)) for i in (1, 2)]
        daemon = self.upgradable(config(origins, drain_timeout="60s"))
        idle = [self.client(daemon) for _ in range(12)]
        self.assertEqual({client.get("/").text for client in idle}, {"1", "2"})
        daemon.upgrade()
        self.assertEqual(daemon.command("drain", "app/b1")[0], 0)  # which waits until they have heard of it
        self.assertEqual({client.get("/").text for client in idle[:6]}, {"2"})
        self.assertEqual(daemon.command("enable", "app/b1")[0], 0)
        self.assertEqual(daemon.command("drain", "app/b2")[0], 0)
        self.assertEqual({client.get("/").text for client in idle[6:]}, {"1"})


class OtherVersions(OrdersTest):
    def taking_over(self, *lines):
        """A daemon whose older process is a child that sleeps; what that says, the test says for it."""
        old = subprocess.Popen(["sleep", "600"])
        self.addCleanup(old.wait)
        self.addCleanup(old.kill)
        handle = open(os.pidfd_open(old.pid), "rb", buffering=0)
        self.addCleanup(handle.close)
        forerunner = Forerunner()
        self.addCleanup(forerunner.close)
        daemon = forerunner.start(config([self.origin(lambda m, c: response(200, b"ok"))]), ["process", str(old.pid), "4"], *lines, inherit=[handle])
        self.addCleanup(daemon.stop)
        forerunner.hand_over()
        daemon.wait_event("ready")
        return daemon, forerunner, old

    def test_one_that_takes_no_orders(self):
        daemon, forerunner, old = self.taking_over()
        code, out, err = daemon.command("drain", "app/b1", "--timeout", "300ms")
        self.assertEqual(code, 1)
        self.assertIn(f"weir: warning: pid {old.pid}, which finishes its connections, takes no orders: it goes on with app/b1\n", err)
        self.assertIn(f"0 in flight, and what pid {old.pid} has, which finishes its connections, is not known", err)
        old.kill()
        old.wait()
        self.assertIn("drained, nothing in flight", daemon.command("drain", "app/b1")[1])
        forerunner.ours.setblocking(False)
        self.assertRaises(BlockingIOError, forerunner.ours.recv, 1, socket.MSG_PEEK)

    def test_counts_from_before_an_order_end_no_drain(self):
        daemon, forerunner, old = self.taking_over(["takes_orders"])
        def answer(inflight, until):
            """Answers questions until it hears this word."""
            while True:
                lines = [line.rstrip("\n") for line in iter(forerunner.heard.readline, ".\n")]
                if lines[0] == "count":
                    asked = lines[1].split("\t")[1]
                    forerunner.say("inflight", ["asked", asked], *([["backend", "app", "b1", str(inflight)]] if inflight else []))
                if lines[0] == until:
                    return lines[1:]
        answer(0, "count")
        drain = []
        thread = threading.Thread(target=lambda: drain.append(daemon.command("drain", "app/b1", timeout=60)))
        thread.start()
        self.assertRegex("\n".join(answer(0, "order")), r"^order\tapp\tb1\tdrain\t.*\t\d+$")
        for _ in range(15):  # longer than it is silent about what changes
            answer(3, "count")
        self.assertEqual(drain, [])
        while not drain:
            answer(0, "count")
            thread.join(0.01)
        self.assertEqual(drain[0][0], 0)
        self.assertIn(f"app/b1: 3 in flight, 3 of them in pid {old.pid}, which finishes its connections\n", drain[0][1])
