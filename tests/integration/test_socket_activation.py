"""Listening sockets that somebody else opened (sd_listen_fds(3)) are used, and survive us."""
import os
import re
import signal
import socket
import tempfile

from harness import Client, WeirTest, config, echo, fetch, load, request, wait_until


class SocketActivation(WeirTest):
    def setUp(self):
        self.backend = self.origin(echo)

    def listening(self, family=socket.AF_INET, address=("127.0.0.1", 0), kind=socket.SOCK_STREAM):
        passed = socket.socket(family, kind)
        self.addCleanup(passed.close)
        if family == socket.AF_INET6:
            passed.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        passed.bind(address)
        if kind == socket.SOCK_STREAM:
            passed.listen(128)
        return passed

    def activated(self, bind, passed, workers=4, environment=None, **more):
        return self.weir(config([self.backend], listeners={"web": {"bind": bind}}, workers=workers), inherit=passed, environment=environment, **more)

    def tcp(self):
        passed = self.listening()
        return passed, "127.0.0.1:%d" % passed.getsockname()[1]

    def test_it_is_used_by_all_workers(self):
        passed, address = self.tcp()
        early = Client(address)  # before the daemon is there
        self.addCleanup(early.close)
        early.send(request())
        daemon = self.activated(address, [passed])
        self.assertEqual(daemon.wait_event("listening", listener="web").socket, "inherited")
        self.assertEqual(daemon.address(), address)
        self.assertEqual(early.read().status, 200)
        traffic = load(address, clients=8, keep_alive=False)
        wait_until(lambda: traffic.done > 200 or traffic.errors)
        self.assert_no_errors(traffic.stop().errors)

    def test_no_connection_is_refused_while_it_restarts(self):
        passed, address = self.tcp()
        first = self.activated(address, [passed])
        self.assertEqual(first.get("/").status, 200)
        traffic = load(address, clients=4, keep_alive=False)
        wait_until(lambda: traffic.done > 50 or traffic.errors)
        first.signal(signal.SIGTERM)
        self.assertEqual(first.wait_exit(), 0)
        between = Client(address)  # waits in the socket's queue
        self.addCleanup(between.close)
        between.send(request())
        done = traffic.done
        self.activated(address, [passed])
        self.assertEqual(between.read().status, 200)
        wait_until(lambda: traffic.done > done + 50 or traffic.errors)
        self.assert_no_errors(traffic.stop().errors)

    def test_unix_socket_is_left_where_it_is(self):
        with tempfile.TemporaryDirectory(prefix="weir-activation-") as folder:
            path = os.path.join(folder, "w.sock")
            passed = self.listening(socket.AF_UNIX, path)
            for _ in range(2):
                daemon = self.activated("unix:" + path, [passed])
                self.assertEqual(daemon.get("/").status, 200)
                daemon.signal(signal.SIGTERM)
                self.assertEqual(daemon.wait_exit(), 0)
                self.assertTrue(os.path.exists(path))

    def test_every_address(self):
        if not socket.has_dualstack_ipv6():
            self.skipTest("no IPv6 here")
        passed = self.listening(socket.AF_INET6, ("::", 0))
        port = passed.getsockname()[1]
        daemon = self.activated(f":{port}", [passed])
        self.assertEqual(daemon.wait_event("listening", listener="web").socket, "inherited")
        self.assertEqual(fetch(f"127.0.0.1:{port}").status, 200)

    def test_several_and_those_that_do_not_fit(self):
        (one, first), (two, second), (spare, other) = self.tcp(), self.tcp(), self.tcp()
        datagram = self.listening(kind=socket.SOCK_DGRAM)
        daemon = self.activated([first, second], [two, datagram, one, spare], environment={"LISTEN_FDNAMES": "b:dns:a:spare"})
        for address in (first, second):
            self.assertEqual(fetch(address).status, 200)
        event = daemon.wait_event("inherited_socket_unused")
        self.assertEqual((event.fields["name"], event.address), ("spare", other))
        self.assertEqual(daemon.wait_event("inherited_socket_ignored").fields["name"], "dns")

    def test_an_ordinary_listener_beside_it(self):
        passed, address = self.tcp()
        daemon = self.activated([address, "127.0.0.1:0"], [passed])
        own = next(a for a in daemon.addresses() if a != address)
        self.assertEqual([fetch(a).status for a in (address, own)], [200, 200])

    def test_sockets_for_another_process_are_not_ours(self):
        passed, address = self.tcp()
        daemon = self.activated(address, [passed], environment={"LISTEN_PID": "1"}, ready=False)
        daemon.expect_code = 1
        self.assertEqual(daemon.wait_exit(), 1)
        self.assertRegex("\n".join(daemon.stderr), re.escape(address) + r" \(another program")

    def test_a_reload_that_renames_its_listener(self):
        passed, address = self.tcp()
        daemon = self.activated(address, [passed], workers=2)
        daemon.reload(config([self.backend], listeners={"shop": {"bind": address}}, workers=2))
        self.assertEqual(daemon.wait_event("listening", listener="shop").socket, "inherited")
        self.assertEqual(fetch(address).status, 200)

    def test_a_reload_gives_it_back_and_takes_it_again(self):
        passed, address = self.tcp()
        own = {"own": {"bind": "127.0.0.1:0"}}
        daemon = self.activated(address, [passed], workers=2)
        daemon.reload(config([self.backend], listeners=own, workers=2))
        waiting = Client(address)
        self.addCleanup(waiting.close)
        waiting.send(request())
        daemon.wait_event("listener_closed")
        daemon.reload(config([self.backend], listeners={**own, "web": {"bind": address}}, workers=2))
        self.assertEqual(waiting.read().status, 200)
        self.assertEqual(daemon.get("/").status, 200)
