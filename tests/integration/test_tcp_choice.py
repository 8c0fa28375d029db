"""Mode tcp: which pool and backend a session gets: server names, keys, retries; TLS and the PROXY protocol on both sides."""
import json
import socket
import ssl
import struct
import time

from harness import WeirTest, wait_until
from tcp import Server, attempt, connect, echo, exchange, hello_of, named, read_all, read_exactly, tcp_config, tcp_pool
from test_proxy_protocol import SIGNATURE, tlv, v1, v2
from tls import CertifiedTest


def wrap(sock, context, name):
    return context.wrap_socket(sock, server_hostname=name, suppress_ragged_eofs=False)


def in_records(hello, size):
    """The same message in records of `size` bytes."""
    payload, out = hello[5:], b""
    for at in range(0, len(payload), size):
        piece = payload[at:at + size]
        out += b"\x16\x03\x01" + struct.pack(">H", len(piece)) + piece
    return out


class ServerNames(CertifiedTest):
    timeout = 120

    def tls_server(self, name):
        """Ends TLS, says its own name, then echoes."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.ca.issue(name, ["DNS:a.test", "DNS:b.test", "DNS:x.b.test", "DNS:y.x.b.test", "DNS:c.test"]))
        def serve(sock):
            with context.wrap_socket(sock, server_side=True) as inner:
                inner.sendall(name.encode() + b"\n")
                echo(inner)
                if name != "rude":
                    inner.unwrap()
        return Server(self, serve)

    def serve(self, default=True, listener=None, **more):
        self.servers = {name: self.tls_server(name) for name in ("one", "two", "other")}
        pools = {name: tcp_pool([server]) for name, server in self.servers.items()}
        sni = {"A.test": "one", "*.b.test": "two", "y.x.b.test": "one"}
        listener = {"bind": "127.0.0.1:0", "mode": "tcp", "sni": sni, **({"pool": "other"} if default else {}), **(listener or {})}
        if not default:
            del pools["other"]
        self.daemon = self.weir(tcp_config(pools=pools, listeners={"db": listener}, **more))

    def ask(self, name):
        with wrap(connect(self.daemon), self.ca.client_context(), name) as client:
            answer = client.recv(100)
            data = b"x" * 50_000
            client.sendall(data)
            self.assertEqual(read_exactly(client, len(data)), data)
            return answer.decode().strip()

    def test_the_pool_of_a_name(self):
        self.serve()
        for name, pool in (("a.test", "one"), ("A.TEST", "one"), ("x.b.test", "two"), ("y.x.b.test", "one"), ("b.test", "other"), ("c.test", "other")):
            self.assertEqual(self.ask(name), pool, name)
        line = self.daemon.wait_log(lambda r: r["pool"] == "two")
        self.assertIn(line["host"], ("x.b.test", "y.x.b.test"))
        for url, pool in (("tcp://a.test:443", "one"), ("tls://q.b.test", "two"), ("tcp://c.test", "other")):
            code, out, err = self.daemon.command("explain", "--live", url)
            self.assertEqual((code, err), (0, ""))
            self.assertIn(f"pool {pool}, round_robin", out)
            self.assertIn("server name " + url.partition("//")[2].partition(":")[0], out)

    def test_without_a_pool_for_others(self):
        self.serve(default=False)
        with self.assertRaises(ConnectionResetError):
            wrap(connect(self.daemon), self.ca.client_context(), "c.test")
        line = self.daemon.wait_log(lambda r: r["cause"] == "no_route")
        self.assertEqual((line["host"], line["pool"]), ("c.test", ""))
        self.assertEqual(self.daemon.command("explain", "--live", "tcp://c.test")[0], 1)

    def test_a_hello_in_pieces(self):
        """Bytes one by one, and records as short as can be: the backend gets them as they are."""
        got = []
        server = Server(self, lambda sock: got.append(read_all(sock)[0]))
        self.daemon = self.weir(tcp_config(pools={"p": tcp_pool([server])}, listeners={"db": {"bind": "127.0.0.1:0", "mode": "tcp", "sni": {"a.test": "p"}}}))
        hello = hello_of(self.ca.client_context(), "a.test")
        for data, piece in ((hello, 1), (in_records(hello, 1), 400), (in_records(hello, 100), 7)):
            got.clear()
            with connect(self.daemon) as client:
                for at in range(0, len(data), piece):
                    client.sendall(data[at:at + piece])
                    if at < 20 * piece:
                        time.sleep(0.002)
                client.shutdown(socket.SHUT_WR)
                wait_until(lambda: got == [data], what=lambda: (len(data), got))

    def test_what_is_no_hello(self):
        self.serve()
        hello = hello_of(self.ca.client_context(), "a.test")
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", hello.replace(b"a.test", b"a\x00test"),
                        b"\x16\x03\x01\x40\x00\x01\x00\xff\xff", b"\0" * 20_000):
            self.assertEqual(attempt(self.daemon, first=garbage), (b"", "reset"), garbage[:20])
        wait_until(lambda: self.daemon.metrics().sum("weir_tcp_session_ends_total", cause="bad_client_hello") == 7)
        self.assertEqual(sum(s.count() for s in self.servers.values()), 0)
        event = self.daemon.wait_event("client_hello_refused")
        self.assertEqual((event.listener, event.client), ("db", "127.0.0.1"))
        self.assertIn("not TLS", event.detail)
        self.assertEqual(self.ask("a.test"), "one")

    def test_who_says_nothing_or_not_enough(self):
        self.serve(listener={"timeout": {"header": "1s"}})
        with connect(self.daemon) as silent, connect(self.daemon) as slow:
            slow.sendall(b"\x16\x03\x01")
            begin = time.monotonic()
            self.assertEqual(read_all(silent), (b"", "eof"))
            self.assertEqual(read_all(slow)[0], b"")
            self.assertGreater(time.monotonic() - begin, 0.5)
        wait_until(lambda: self.daemon.metrics().sum("weir_tcp_sessions_open") == 0)
        self.daemon.wait_log(lambda r: r["cause"] == "header_timeout")
        self.assertEqual(len(self.daemon.access_log()), 1, "a connection without a byte is no session")
        with connect(self.daemon) as half:
            half.sendall(b"\x16\x03\x01")
            half.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(half)[0], b"")
        self.daemon.wait_log(lambda r: r["cause"] == "bad_client_hello")

    def test_behind_a_balancer_that_names_the_client(self):
        """A PROXY header before the ClientHello, and one to the backends, with the name."""
        got = []
        server = Server(self, lambda sock: got.append(read_all(sock)[0]))
        listener = {"bind": "127.0.0.1:0", "mode": "tcp", "sni": {"a.test": "p"}, "proxy_protocol": True}
        self.daemon = self.weir(tcp_config(pools={"p": tcp_pool([server], proxy_protocol="v2")}, listeners={"db": listener}, trusted_proxies=["127.0.0.1"]))
        hello = hello_of(self.ca.client_context(), "a.test")
        with connect(self.daemon) as client:
            client.sendall(v2("192.0.2.7") + hello[:50])
            time.sleep(0.05)
            client.sendall(hello[50:])
            client.shutdown(socket.SHUT_WR)
            wait_until(lambda: got)
        self.assertTrue(got[0].startswith(SIGNATURE) and got[0].endswith(hello), got)
        self.assertIn(socket.inet_aton("192.0.2.7"), got[0])
        self.assertIn(tlv(2, b"a.test"), got[0])
        line = self.daemon.wait_log(lambda r: r["pool"] == "p")
        self.assertEqual((line["client"], line["host"]), ("192.0.2.7", "a.test"))

    def test_a_hash_of_the_name(self):
        """Without `sni` at the listener, too: the name is looked for where the pool needs it."""
        servers = [self.tls_server(f"s{i}") for i in range(4)]
        self.daemon = self.weir(tcp_config(servers, pool={"balance": {"consistent_hash": "sni"}}))
        first = {name: self.ask(name) for name in ("a.test", "b.test", "x.b.test", "c.test")}
        for name, server in first.items():
            self.assertEqual({self.ask(name) for _ in range(3)}, {server})

    def test_tls_ends_here(self):
        pem, key = self.ca.issue("a.test")
        server = Server(self, named("plain"))
        self.daemon = self.weir(tcp_config([server], listener={"tls": {"certificate": pem, "key": key}, "timeout": {"header": "2s"}}))
        with wrap(connect(self.daemon), self.ca.client_context(), "a.test") as client:
            self.assertEqual(client.recv(100), b"plain\n")
            data = b"y" * 3_000_000
            self.assertEqual(exchange(client, data), data)
            client.unwrap()
        line = self.daemon.wait_log(lambda r: r["cause"] == "none")
        self.assertEqual((line["host"], line["bytes_in"], line["bytes_out"]), ("a.test", len(data), len(data) + 6))
        self.assertEqual(attempt(self.daemon, first=b"GET / HTTP/1.1\r\n\r\n")[1], "eof")
        self.daemon.wait_event("tls_handshake_failed", reason="plain_http")
        self.assertEqual(read_all(connect(self.daemon))[0], b"")
        self.assertEqual(self.daemon.metrics().sum("weir_tls_handshake_failures_total", reason="timeout"), 1)
        self.assertEqual(self.daemon.metrics().sum("weir_tls_handshakes_total"), 1)
        self.assertEqual(self.daemon.metrics().sum("weir_tcp_sessions_open"), 0)

    def test_checks_of_backends_that_speak_tls(self):
        server = self.tls_server("one")
        pool = {"tls": {"ca": self.ca.pem, "server_name": "a.test"}, "health": {"type": "tcp", "interval": "300ms", "timeout": "300ms", "fall": 1}}
        self.daemon = self.weir(tcp_config({"b1": f"tls://127.0.0.1:{server.port}"}, pool=pool))
        wait_until(lambda: self.daemon.backend("b1")["status"] == "up")
        pool["tls"]["server_name"] = "z.test"
        self.daemon.reload(tcp_config({"b1": f"tls://127.0.0.1:{server.port}"}, pool=pool))
        wait_until(lambda: self.daemon.backend("b1")["status"] == "down")
        self.assertIn("TLS: ", self.daemon.backend("b1")["reason"])

    def test_tls_to_backends(self):
        server = self.tls_server("one")
        backend = {"b1": f"tls://127.0.0.1:{server.port}"}
        pool = {"tls": {"ca": self.ca.pem, "server_name": "a.test"}}
        self.daemon = self.weir(tcp_config(backend, pool=pool))
        with connect(self.daemon) as client:
            self.assertEqual(read_exactly(client, 4), b"one\n")
            client.sendall(b"x" * 200_000)
            self.assertEqual(len(read_exactly(client, 200_000)), 200_000)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), (b"", "eof"))
        rude = self.tls_server("rude")
        self.daemon.reload(tcp_config({"b1": f"tls://127.0.0.1:{rude.port}"}, pool=pool))
        with connect(self.daemon) as client:
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), (b"rude\n", "reset"), "an end without close_notify may have been made by anybody")
        pool["tls"]["server_name"] = "z.test"
        self.daemon.reload(tcp_config(backend, pool=pool))
        self.assertEqual(attempt(self.daemon), (b"", "reset"))
        self.daemon.wait_log(lambda r: r["cause"] == "upstream_tls_certificate")
        self.daemon.wait_event("backend_tls_failed")


class Keys(WeirTest):
    def test_the_clients_address(self):
        servers = [Server(self, named(f"s{i}")) for i in range(4)]
        daemon = self.weir(tcp_config(servers, pool={"balance": {"consistent_hash": "client"}}))
        host, port = daemon.address("db").split(":")
        def ask(source):
            with socket.create_connection((host, int(port)), source_address=(source, 0)) as client:
                return client.recv(10)
        homes = {f"127.0.0.{i}": ask(f"127.0.0.{i}") for i in range(2, 12)}
        self.assertGreater(len(set(homes.values())), 1)
        for source, home in homes.items():
            self.assertEqual(ask(source), home)
        code, out, _ = daemon.command("explain", "--live", "tcp://x", "--client", "127.0.0.5")
        self.assertEqual(code, 0)
        self.assertIn("key: client = \"127.0.0.5\"", out)

    def test_every_algorithm(self):
        for algorithm in ("round_robin", "least_connections", "power_of_two", "latency", "random"):
            servers = [Server(self, named(f"s{i}")) for i in range(2)]
            daemon = self.weir(tcp_config(servers, pool={"balance": algorithm}))
            open_ones = [connect(daemon) for _ in range(40)]
            seen = {read_exactly(c, 3) for c in open_ones}
            self.assertEqual(seen, {b"s0\n", b"s1\n"}, algorithm)
            if algorithm == "least_connections":
                self.assertEqual([s.count() for s in servers], [20, 20])
            for client in open_ones:
                client.close()


class Backends(WeirTest):
    timeout = 120

    def test_a_dead_one_is_passed_over(self):
        dead, alive = Server(self, echo), Server(self, named("alive"))
        dead.stop_listening()
        daemon = self.weir(tcp_config([dead, alive]))
        for _ in range(6):
            with connect(daemon) as client:
                self.assertEqual(read_exactly(client, 6), b"alive\n")
        line = daemon.wait_log(lambda r: r["attempts"] == 2)
        self.assertEqual(line["backend"], "b2")
        metrics = daemon.metrics()
        self.assertGreater(metrics.sum("weir_tcp_connect_failures_total", pool="app", cause="connect_refused"), 1)
        self.assertGreater(metrics.sum("weir_pool_retries_total", pool="app"), 1)

    def test_all_are_dead(self):
        dead = [Server(self, echo) for _ in range(2)]
        for server in dead:
            server.stop_listening()
        daemon = self.weir(tcp_config(dead))
        self.assertEqual(attempt(daemon), (b"", "reset"))
        daemon.wait_log(lambda r: r["cause"] == "connect_refused" and r["attempts"] == 2)
        told = json.loads(daemon.command("why", "--json")[1])["requests"]
        self.assertEqual([(r["kind"], r["cause"], r["pool"], r["client"], r["status"]) for r in told], [("tcp", "connect_refused", "app", "127.0.0.1", None)])
        self.assertEqual(sorted((t["backend"], t["cause"]) for t in told[0]["tries"]), [("b1", "connect_refused"), ("b2", "connect_refused")])
        self.assertRegex(daemon.command("why")[1], r"connect_refused +2 .* app +b[12] b[12] +tcp from 127\.0\.0\.1\b")

    def test_what_went_well_is_not_remembered(self):
        daemon = self.weir(tcp_config([Server(self, named("fine"))]))
        with connect(daemon) as client:
            self.assertEqual(read_exactly(client, 5), b"fine\n")
            out = daemon.command("status")[1]
            self.assertRegex(out, r"listener db at 127\.0\.0\.1:\d+ \(tcp, 1 session\)\n")
            self.assertRegex(out, r"\napp \(tcp\) +b1 ")
        daemon.wait_log(lambda r: r["cause"] in ("none", "client_gone"))
        self.assertEqual(json.loads(daemon.command("why", "--json")[1])["requests"], [])

    def test_failed_connects_eject(self):
        dead, alive = Server(self, echo), Server(self, named("alive"))
        dead.stop_listening()
        daemon = self.weir(tcp_config([dead, alive], pool={"eject": {"after": 2, "for": "1m"}}))
        def ask():
            with connect(daemon) as client:
                return read_exactly(client, 6)
        for _ in range(10):
            self.assertEqual(ask(), b"alive\n")
        daemon.wait_event("backend_ejected", backend="b1")
        tried = daemon.backend("b1")["requests"]
        for _ in range(5):
            ask()
        self.assertEqual(daemon.backend("b1")["requests"], tried)

    def test_an_ejection_by_failed_connects_ends_its_sessions_if_asked(self):
        dead, alive = Server(self, named("dead!")), Server(self, named("alive"))
        daemon = self.weir(tcp_config([dead, alive], pool={"eject": {"after": 2, "for": "1m"}, "sessions": {"on_eject": "close"}}))
        clients = {}
        while len(clients) < 2:
            client = connect(daemon)
            self.addCleanup(client.close)
            clients.setdefault(read_exactly(client, 6), client)
        dead.stop_listening()
        for _ in range(10):
            with connect(daemon) as client:
                self.assertEqual(read_exactly(client, 6), b"alive\n")
        daemon.wait_event("backend_ejected", backend="b1")
        self.assertEqual(read_all(clients[b"dead!\n"]), (b"", "reset"))
        daemon.wait_log(lambda r: r["backend"] == "b1" and r["cause"] == "backend_out")
        clients[b"alive\n"].sendall(b"still")
        self.assertEqual(read_exactly(clients[b"alive\n"], 5), b"still")
        self.assertEqual([r for r in daemon.access_log() if r["backend"] == "b2" and r["cause"] != "none"], [])

    def test_checks(self):
        server = Server(self, named("up"))
        daemon = self.weir(tcp_config([server], pool={"health": {"type": "tcp", "interval": "200ms", "fall": 1, "rise": 1}}))
        wait_until(lambda: daemon.backend("b1")["status"] == "up")
        server.stop_listening()
        daemon.wait_event("backend_down", backend="b1")

    def sessions(self, **sessions):
        """A session with a backend that is checked, and the daemon."""
        self.server = Server(self, echo)
        pool = {"health": {"type": "tcp", "interval": "200ms", "fall": 1}, **({"sessions": sessions} if sessions else {})}
        self.configuration = tcp_config([self.server], pool=pool)
        daemon = self.weir(self.configuration)
        client = connect(daemon)
        self.addCleanup(client.close)
        client.sendall(b"x")
        self.assertEqual(client.recv(1), b"x")
        return daemon, client

    def test_down_keeps_sessions(self):
        daemon, client = self.sessions()
        self.server.stop_listening()
        daemon.wait_event("backend_down")
        time.sleep(0.4)
        client.sendall(b"still")
        self.assertEqual(read_exactly(client, 5), b"still")

    def test_down_ends_sessions_if_asked(self):
        daemon, client = self.sessions(on_eject="close")
        self.server.stop_listening()
        self.assertEqual(read_all(client), (b"", "reset"))
        daemon.wait_log(lambda r: r["cause"] == "backend_out")

    def test_disabled_ends_sessions_if_asked(self):
        daemon, client = self.sessions(on_eject="close")
        self.assertEqual(daemon.command("disable", "app/b1")[:2], (0, "app/b1: disabled; 1 in flight: they are reset (on_eject: close)\n"))
        self.assertEqual(daemon.backend("b1")["status"], "disabled")
        self.assertEqual(read_all(client), (b"", "reset"))

    def test_drain_keeps_sessions_and_takes_no_new_ones(self):
        servers = [Server(self, named(f"s{i}")) for i in range(2)]
        daemon = self.weir(tcp_config(servers))
        clients = [connect(daemon) for _ in range(4)]
        names = [read_exactly(c, 3) for c in clients]
        self.assertEqual(daemon.command("drain", "app/b1", "--no-wait")[0], 0)
        for _ in range(5):
            with connect(daemon) as new:
                self.assertEqual(read_exactly(new, 3), b"s1\n")
        old = clients[names.index(b"s0\n")]
        old.sendall(b"on")
        self.assertEqual(read_exactly(old, 2), b"on")
        for client in clients:
            client.close()

    def test_drain_has_a_deadline_if_asked(self):
        daemon, client = self.sessions(drain="1s")
        begin = time.monotonic()
        daemon.command("drain", "app/b1", "--no-wait")
        time.sleep(0.3)
        client.sendall(b"on")
        self.assertEqual(read_exactly(client, 2), b"on")
        self.assertEqual(read_all(client), (b"", "reset"))
        self.assertGreater(time.monotonic() - begin, 0.9)
        daemon.wait_log(lambda r: r["cause"] == "backend_out")

    def test_reloads_keep_sessions(self):
        """Not even a listener or a backend that is no longer there ends one."""
        daemon, client = self.sessions()
        other = Server(self, named("other"))
        for i in range(3):
            daemon.reload(tcp_config([self.server], pool={"limits": {"inflight": 10 + i}}))
            client.sendall(b"%d" % i)
            self.assertEqual(client.recv(1), b"%d" % i)
        daemon.reload(tcp_config({"new": other.url}, listeners={"new": {"bind": "127.0.0.1:0", "mode": "tcp", "pool": "app"}}))
        client.sendall(b"still")
        self.assertEqual(read_exactly(client, 5), b"still")
        with connect(daemon, "new") as new:
            self.assertEqual(read_exactly(new, 6), b"other\n")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(client), (b"", "eof"))
        line = daemon.wait_log(lambda r: r["backend"] == "b1")
        self.assertEqual((line["cause"], line["listener"]), ("none", "db"))


class ProxyProtocol(WeirTest):
    def test_received_and_sent(self):
        heads = []
        def serve(sock):
            heads.append(sock.recv(4096))
            sock.sendall(b"hello")
            echo(sock)
        server = Server(self, serve)
        configuration = tcp_config([server], listener={"proxy_protocol": True}, pool={"proxy_protocol": "v2"}, trusted_proxies=["127.0.0.1"])
        daemon = self.weir(configuration)
        for header in (v1("192.0.2.1"), v2("2001:db8::9", destination="2001:db8::1", tlvs=tlv(2, b"a.test"))):
            for piece in (1, 1000):
                heads.clear()
                with connect(daemon) as client:
                    for at in range(0, len(header), piece):
                        client.sendall(header[at:at + piece])
                    self.assertEqual(read_exactly(client, 5), b"hello")
                self.assertTrue(heads[0].startswith(SIGNATURE), heads[0])
                if header.startswith(SIGNATURE):
                    self.assertIn(socket.inet_pton(socket.AF_INET6, "2001:db8::9"), heads[0])
                    self.assertIn(b"a.test", heads[0])
                else:
                    self.assertEqual(heads[0][16:20], socket.inet_aton("192.0.2.1"))
        daemon.wait_log(lambda r: r["client"] == "192.0.2.1")
        daemon.wait_log(lambda r: r["client"] == "2001:db8::9")
        with connect(daemon) as client:
            client.sendall(b"EHLO me\r\n")
            self.assertEqual(read_all(client)[0], b"")
        daemon.wait_event("proxy_protocol_refused", reason="missing")

    def test_version_1_and_what_comes_behind_the_header(self):
        heads = []
        def serve(sock):
            file = sock.makefile("rb")
            heads.append(file.readline())
            sock.sendall(file.readline())
        server = Server(self, serve)
        daemon = self.weir(tcp_config([server], pool={"proxy_protocol": "v1"}))
        with connect(daemon) as client:
            port = client.getsockname()[1]
            client.sendall(b"line\n")
            self.assertEqual(read_exactly(client, 5), b"line\n")
        listener = daemon.address("db").split(":")[1]
        self.assertEqual(heads, [f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {listener}\r\n".encode()])
