"""Mode tcp: what was sent before a side breaks off reaches the other one."""
import json
import socket
import ssl
import threading
import time

from harness import BlackHole, WeirTest, wait_until
from tcp import Server, connect, echo, named, read_all, read_exactly, reset, tcp_config
from tls import CertifiedTest

SIZE = 3_000_000


class LastWords(CertifiedTest):
    timeout = 120

    def setUp(self):
        super().setUp()
        self.got, self.go = [], threading.Event()
        self.addCleanup(self.go.set)
        self.pem, self.key = self.ca.issue("db", ["DNS:db.test"])

    def reads_later(self, sock):
        """A server that reads nothing until it may."""
        self.go.wait(60)
        self.got.append(read_all(sock))

    def tls_listener(self, serve, **more):
        tls = {"tls": {"certificate": self.pem, "key": self.key}}
        self.server = Server(self, serve)
        self.daemon = self.weir(tcp_config([self.server], listener=tls, **more))

    def tls_client(self, version=ssl.TLSVersion.TLSv1_2):
        return self.ca.client_context(version=version).wrap_socket(connect(self.daemon), server_hostname="db.test")

    def line(self, cause):
        return self.daemon.wait_log(lambda r: r["cause"] == cause)

    def test_a_client_that_ends_tls_without_saying_so(self):
        self.tls_listener(self.reads_later)
        client = self.tls_client()
        client.sendall(b"x" * SIZE)
        client.close()
        time.sleep(0.3)
        self.go.set()
        wait_until(lambda: self.got, 60)
        self.assertEqual((len(self.got[0][0]), self.got[0][1]), (SIZE, "reset"))
        self.assertEqual(self.line("client_gone")["bytes_in"], SIZE)

    def test_a_server_that_ends_tls_without_saying_so(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem, self.key)
        def serve(sock):
            with context.wrap_socket(sock, server_side=True) as tls:
                tls.recv(1)
                tls.sendall(b"y" * SIZE)
        server = Server(self, serve)
        self.daemon = self.weir(tcp_config({"b1": f"tls://127.0.0.1:{server.port}"}, pool={"tls": {"ca": self.ca.pem, "server_name": "db.test"}}))
        with connect(self.daemon) as client:
            client.sendall(b"x")
            time.sleep(0.5)
            data, end = read_all(client)
        self.assertEqual((len(data), end), (SIZE, "reset"))
        self.line("upstream_reset")

    def test_a_client_that_says_it_and_reads_nothing(self):
        """Its kernel resets the connection for the answer that nobody has read; what it has sent is whole all the same."""
        def serve(sock):
            sock.sendall(b"answer")
            self.reads_later(sock)
        self.tls_listener(serve)
        client = self.tls_client()
        self.assertEqual(client.recv(1), b"a")
        client.setblocking(False)
        client.sendall(b"x" * 10_000)
        try:
            client.unwrap()
        except OSError:
            pass
        reset(socket.socket(fileno=client.detach()))
        wait_until(lambda: self.daemon.metrics().sum("weir_backend_sent_bytes_total") == 10_000)
        self.go.set()
        wait_until(lambda: self.got, 60)
        self.assertEqual(self.got, [(b"x" * 10_000, "eof")])

    def test_a_client_that_only_sends(self):
        """By TLS 1.3: no ticket comes that it would leave unread. Whoever reads gets one."""
        self.tls_listener(self.reads_later)
        client = self.tls_client(ssl.TLSVersion.TLSv1_3)
        client.sendall(b"x" * SIZE)
        client.setblocking(False)
        try:
            client.unwrap()
        except OSError:
            pass
        client.close()
        self.go.set()
        wait_until(lambda: self.got, 60)
        self.assertEqual((len(self.got[0][0]), self.got[0][1]), (SIZE, "eof"))
        self.assertEqual(self.line("none")["bytes_in"], SIZE)

    def test_tickets_come_with_the_first_answer(self):
        self.tls_listener(echo)
        context, session = self.ca.client_context(version=ssl.TLSVersion.TLSv1_3), None
        for resumed in (False, True):
            with context.wrap_socket(connect(self.daemon), server_hostname="db.test", session=session) as client:
                self.assertEqual(client.session_reused, resumed)
                self.assertFalse(client.session and client.session.has_ticket and not resumed)
                client.sendall(b"x")
                self.assertEqual(client.recv(1), b"x")
                session = client.session
                self.assertTrue(session.has_ticket)

    def test_a_client_that_sends_and_goes_while_it_waits(self):
        server = Server(self, lambda sock: self.got.append(read_all(sock)))
        self.daemon = self.weir(tcp_config([server], pool={"limits": {"inflight": 1, "queue": 10, "queue_timeout": "1m"}}))
        waiting = lambda: self.daemon.metrics().sum("weir_pool_waiting")
        first = connect(self.daemon)
        wait_until(lambda: server.count() == 1)
        sender, silent = connect(self.daemon), connect(self.daemon)
        wait_until(lambda: waiting() == 2)
        sender.sendall(b"a line")
        reset(sender)
        reset(silent)
        wait_until(lambda: waiting() == 1, what="who has said nothing is gone")
        self.line("client_gone")
        first.close()
        wait_until(lambda: len(self.got) == 2)
        self.assertEqual(self.got, [(b"", "eof"), (b"a line", "reset")])
        wait_until(lambda: self.daemon.metrics().sum("weir_tcp_session_ends_total", cause="client_gone") == 2)
        wait_until(lambda: {r["bytes_in"] for r in self.daemon.access_log() if r["cause"] == "client_gone"} == {0, 6})
        self.assertNotIn("client_gone", self.daemon.command("why")[1])

    def test_a_reset_of_a_plain_client(self):
        server = Server(self, self.reads_later)
        self.daemon = self.weir(tcp_config([server]))
        client = connect(self.daemon)
        client.sendall(b"x" * 1_000_000)
        before = [0]
        def nothing_more_comes():
            count = self.daemon.metrics().sum("weir_received_bytes_total")
            same, before[0] = count == before[0], count
            time.sleep(0.1)
            return same
        wait_until(nothing_more_comes)
        reset(client)
        self.go.set()
        wait_until(lambda: self.got, 60)
        self.assertGreaterEqual(len(self.got[0][0]), before[0])
        self.assertEqual(self.got[0][1], "reset")

    def test_a_server_that_takes_nothing_holds_nobody_up_for_long(self):
        self.tls_listener(self.reads_later, pool={"timeout": {"tunnel": "1s"}})
        client = self.tls_client()
        client.setblocking(False)
        sent = 0
        try:
            while sent < 100_000_000:
                sent += client.send(b"x" * 16384)
        except (ssl.SSLWantWriteError, BlockingIOError):
            pass
        client.close()
        self.daemon.wait_log(lambda r: r["cause"] in ("client_gone", "tunnel_timeout"))
        wait_until(lambda: self.daemon.metrics().sum("weir_tcp_sessions_open") == 0)


class TakenOut(WeirTest):
    """Sessions of a backend that is taken out while they are being connected to it."""
    timeout = 90

    def connecting(self, others):
        """The daemon, and clients of which some are being connected to b1."""
        hole = BlackHole()
        self.addCleanup(hole.close)
        daemon = self.weir(tcp_config([hole, *others], pool={"timeout": {"connect": "1m"}, "sessions": {"on_eject": "close"}}, workers=2))
        clients = [connect(daemon) for _ in range(6)]
        for client in clients:
            self.addCleanup(client.close)
        wait_until(lambda: daemon.metrics().sum("weir_pool_inflight") == 6)
        self.assertGreater(daemon.metrics().sum("weir_backend_inflight", backend="b1"), 0)
        return daemon, clients

    def test_they_turn_to_another_one(self):
        daemon, clients = self.connecting([Server(self, named("good"))])
        self.assertEqual(daemon.command("disable", "app/b1")[0], 0)
        for client in clients:
            self.assertEqual(read_exactly(client, 5), b"good\n")
        self.assertEqual([daemon.metrics().sum("weir_backend_inflight", backend=b) for b in ("b1", "b2")], [0, 6])
        for client in clients:
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), (b"", "eof"))
        wait_until(lambda: len(daemon.access_log()) == 6)
        self.assertEqual({(r["cause"], r["backend"]) for r in daemon.access_log()}, {("none", "b2")})
        tries = json.loads(daemon.command("why", "--json")[1])["requests"][0]["tries"]
        self.assertEqual([(t["backend"], t["cause"]) for t in tries], [("b1", "backend_out"), ("b2", "none")])

    def test_and_end_where_there_is_none(self):
        daemon, clients = self.connecting([])
        daemon.command("disable", "app/b1")
        for client in clients:
            self.assertEqual(read_all(client), (b"", "reset"))
        wait_until(lambda: [r["cause"] for r in daemon.access_log()] == ["backend_out"] * 6)
        self.assertEqual(daemon.metrics().sum("weir_pool_inflight"), 0)

    def test_a_backend_that_comes_back_knows_its_sessions(self):
        """Whether it was taken out alone or with its pool."""
        servers = [Server(self, echo), Server(self, echo)]
        both = tcp_config(servers, pool={"sessions": {"on_eject": "close"}}, workers=2)
        gone = {"alone": tcp_config({"b1": servers[0]}, workers=2), "with its pool": tcp_config(pools={"other": both["pools"]["app"]}, workers=2,
                                    listeners={"db": {"bind": "127.0.0.1:0", "mode": "tcp", "pool": "other"}})}
        for how, without in gone.items():
            with self.subTest(how):
                daemon = self.weir(both)
                clients = [connect(daemon) for _ in range(4)]
                for client in clients:
                    self.addCleanup(client.close)
                    client.sendall(b"x")
                    self.assertEqual(client.recv(1), b"x")
                before = daemon.backend("b2")["inflight"]
                self.assertGreater(before, 0)
                daemon.reload(without)
                daemon.reload(without)
                daemon.reload(both)
                self.assertEqual(daemon.backend("b2")["inflight"], before)
                self.assertEqual(daemon.metrics().sum("weir_pool_inflight", pool="app"), 4)
                self.assertIn(f"disabled; {before} in flight: they are reset", daemon.command("disable", "app/b2")[1])
                wait_until(lambda: [r["cause"] for r in daemon.access_log()] == ["backend_out"] * before)
                self.assertEqual(daemon.backend("b2")["inflight"], 0)
