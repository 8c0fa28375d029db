"""The PROXY protocol, received and sent: who may send it, what is made of it, what is refused, and whose connection to a backend it is."""
import shutil
import socket
import ssl
import struct
import tempfile
import time

from client import Client
from harness import WeirTest, config, request, response, wait_until
from tls import Authority, TlsOrigin

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def tlv(kind, value):
    return bytes([kind]) + struct.pack(">H", len(value)) + value


def v2(source="192.0.2.1", port=12345, tlvs=b"", command=0x21, destination="10.0.0.5"):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    rest = b"".join(socket.inet_pton(family, a) for a in (source, destination)) + struct.pack(">HH", port, 443) + tlvs
    return SIGNATURE + bytes([command, 0x21 if family == socket.AF_INET6 else 0x11]) + struct.pack(">H", len(rest)) + rest


def v1(source="192.0.2.1"):
    return f"PROXY TCP{6 if ':' in source else 4} {source} {'::1' if ':' in source else '10.0.0.5'} 12345 443\r\n".encode()


class ProxyOrigin:
    """Behind a pool with proxy_protocol: takes the header off each connection, then answers HTTP; `seen`: headers, with the requests of each."""

    def __init__(self, test, reply=None):
        self.seen = []
        self.origin = test.origin(handler=self.serve)
        self.reply = reply or (lambda: response(200, b"ok"))

    def serve(self, connection):
        reader = connection.reader
        while len(reader.buffer) < 16 and b"\r\n" not in reader.buffer:
            if not reader.fill():
                return
        if reader.buffer.startswith(SIGNATURE):
            size = 16 + struct.unpack(">H", reader.buffer[14:16])[0]
            while len(reader.buffer) < size:
                reader.fill()
        else:
            size = reader.buffer.index(b"\r\n") + 2 if reader.buffer.startswith(b"PROXY ") else 0
        entry = (reader.take(size), [])
        self.seen.append(entry)
        while (head := reader.read_head()) is not None:
            entry[1].append(head[0])
            connection.send(self.reply())


class Received(WeirTest):
    timeout = 120

    def serve(self, listener=None, trusted=("127.0.0.1", "unix"), **more):
        origin = self.origin(lambda m, c: response(200, m.header("X-Forwarded-For").encode()))
        return self.weir(config([origin], listener={"proxy_protocol": True, **(listener or {})}, trusted_proxies=list(trusted), **more))

    def ask(self, daemon, header):
        with daemon.client() as client:
            return client.send(header).get("/")

    def test_the_address_is_the_clients(self):
        daemon = self.serve()
        for header, client in ((v1(), "192.0.2.1"), (v1("2001:db8::7"), "2001:db8::7"), (v2("192.0.2.9"), "192.0.2.9"),
                               (v2("2001:db8::8", destination="::1"), "2001:db8::8"), (v2("::ffff:192.0.2.4", destination="::ffff:10.0.0.5"), "192.0.2.4"),
                               (v2("192.0.2.3", tlvs=tlv(1, b"h2") + tlv(2, b"www.example.com") + tlv(4, b"")), "192.0.2.3"),
                               (b"PROXY UNKNOWN\r\n", "127.0.0.1"), (v2(command=0x20), "127.0.0.1")):
            self.assertEqual(self.ask(daemon, header).text, client)
            daemon.wait_log(lambda r: r["client"] == client)
        metrics = daemon.metrics()
        self.assertEqual([metrics.sum("weir_proxy_protocol_headers_total", kind=k) for k in ("v1", "v2", "local")], [2, 4, 2])

    def test_a_header_that_nobody_expects(self):
        """It stays refused: whoever could write one would be whom he likes. The answer says what to do."""
        origin = self.origin(lambda *_: response(200, b"ok"))
        daemon = self.weir(config([origin], trusted_proxies=["127.0.0.1"]))
        for header in (v1(), v1("2001:db8::7"), b"PROXY UNKNOWN\r\n", v2(), v2("2001:db8::8", destination="::1"), v2(command=0x20)):
            with daemon.client() as client:
                answer = client.send(header).get("/")
                self.assertEqual(answer.status, 400)
                self.assertIn("proxy_protocol: true", answer.text)
        self.assertEqual(origin.count(), 0)

    def test_the_chain_of_addresses(self):
        """A CDN before the balancer: its address comes by the PROXY header, the client's by X-Forwarded-For, if the CDN is trusted."""
        daemon = self.serve(trusted=("127.0.0.1", "192.0.2.0/24"))
        for peer, client in (("192.0.2.1", "198.51.100.7"), ("203.0.113.5", "203.0.113.5")):
            with daemon.client() as connection:
                connection.send(v2(peer)).get("/", {"X-Forwarded-For": "198.51.100.7"})
            daemon.wait_log(lambda r: r["client"] == client)

    def test_allow_and_rate_limit_see_it(self):
        routes = [{"match": {"path": "/"}, "pool": "app", "deny": ["192.0.2.66"], "rate_limit": {"key": "client", "rate": "1/h", "burst": 1}}]
        daemon = self.serve(routes=routes)
        self.assertEqual(self.ask(daemon, v1("192.0.2.66")).status, 403)
        self.assertEqual([self.ask(daemon, v1(a)).status for a in ("192.0.2.1", "192.0.2.1", "192.0.2.2")], [200, 429, 200])

    def test_a_mapped_address_is_the_ipv4_one(self):
        routes = [{"match": {"path": "/"}, "pool": "app", "deny": ["192.0.2.66"]}]
        daemon = self.serve(routes=routes)
        self.assertEqual(self.ask(daemon, b"PROXY TCP6 ::ffff:192.0.2.66 ::1 1 2\r\n").status, 403)
        daemon.wait_log(lambda r: r["client"] == "192.0.2.66")

    def test_in_pieces_and_with_requests_behind_it(self):
        daemon = self.serve()
        for header in (v1(), v2()):
            with daemon.client() as client:
                client.send_pieces(header + request("GET", "/"), pause=0.001)
                self.assertEqual(client.read().text, "192.0.2.1")
                self.assertEqual(client.get("/").text, "192.0.2.1")
            with daemon.client() as client:
                client.send(header + request("GET", "/") * 3)
                self.assertEqual([client.read().text for _ in range(3)], ["192.0.2.1"] * 3)

    def refused(self, daemon, reason, data=b"", detail=None):
        before = len(daemon.events)
        with daemon.client() as client:
            if data:
                client.send(data)
            self.assertEqual(client.read_to_end(), b"")
        event = daemon.wait_event("proxy_protocol_refused", since=before, reason=reason)
        if detail:
            self.assertIn(detail, event.fields["detail"])
        self.assertGreaterEqual(daemon.metrics().sum("weir_proxy_protocol_refused_total", reason=reason), 1)

    def test_what_is_refused(self):
        daemon = self.serve()
        wrong = bytearray(v2(tlvs=tlv(3, b"\0\0\0\1")))
        for reason, data, detail in (("missing", request("GET", "/"), "no PROXY header"), ("missing", b"\x16\x03\x01\x02\x00", "TLS"),
                                     ("broken", b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "fewer words"), ("checksum", bytes(wrong), "CRC32C"),
                                     ("broken", v2(tlvs=b"\2\xff\xff"), "TLV")):
            time.sleep(0.25)  # at most five events a second
            self.refused(daemon, reason, data, detail)
        self.assertEqual(self.ask(daemon, v1()).status, 200)

    def test_strangers(self):
        daemon = self.serve(trusted=("10.0.0.0/8",))
        self.refused(daemon, "stranger")
        with daemon.client() as client:
            client.send_all_possible(v1())
            self.assertEqual(client.read_to_end(), b"")
        self.assertEqual(daemon.metrics().sum("weir_requests_total"), 0)

    def test_an_end_and_a_time_out(self):
        daemon = self.serve(listener={"timeout": {"header": "300ms"}})
        self.refused(daemon, "timeout", v1()[:20])
        with daemon.client() as client:
            client.send(v1()[:20])
            client.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(client.read_to_end(), b"")
        daemon.wait_event("proxy_protocol_refused", reason="closed")
        events = len(daemon.events)
        daemon.client().close()  # a probe
        wait_until(lambda: daemon.metrics().sum("weir_proxy_protocol_refused_total", reason="closed") == 2)
        self.assertFalse([e for e in daemon.events[events:] if e.name == "proxy_protocol_refused"])

    def test_before_tls(self):
        folder = tempfile.mkdtemp(prefix="weir-proxy-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        ca = Authority(folder)
        pem, key = ca.issue("site", ["DNS:site.test"])
        daemon = self.serve(listener={"tls": {"certificate": pem, "key": key}})
        for pause in (None, 0.0005):
            with daemon.client() as client:
                client.send(v2()) if pause is None else client.send_pieces(v2(), pause=pause)
                context = ssl.create_default_context(cafile=ca.pem)
                with context.wrap_socket(client.sock, server_hostname="site.test") as tls:
                    tls.sendall(request("GET", "/", host="site.test"))
                    self.assertIn(b"192.0.2.1", tls.recv(65536))


class Sent(WeirTest):
    timeout = 120

    def serve(self, origin, version, pool=None, **more):
        return self.weir(config([origin.origin], pool={"proxy_protocol": version, "eject": False, **(pool or {})}, **more))

    def test_version_1(self):
        origin = ProxyOrigin(self)
        daemon = self.serve(origin, "v1")
        with daemon.client() as client:
            for _ in range(3):
                self.assertEqual(client.get("/").text, "ok")
            host, port = client.sock.getsockname()
            server = client.sock.getpeername()[1]
        self.assertEqual([(h, len(r)) for h, r in origin.seen], [(f"PROXY TCP4 {host} 127.0.0.1 {port} {server}\r\n".encode(), 3)])
        self.assertEqual(daemon.metrics().sum("weir_backend_connections_reused_total"), 2)

    def test_a_connection_for_each_client(self):
        origin = ProxyOrigin(self)
        daemon = self.serve(origin, "v2")
        clients = [daemon.client() for _ in range(3)]
        for _ in range(2):
            for client in clients:
                self.assertEqual(client.get("/").status, 200)
        ports = [c.sock.getsockname()[1] for c in clients]
        self.assertEqual([struct.unpack(">H", h[24:26])[0] for h, _ in origin.seen], ports)
        self.assertEqual([len(r) for _, r in origin.seen], [2, 2, 2])
        for client in clients:
            client.close()
        wait_until(lambda: daemon.metrics().sum("weir_upstream_connections_open") == 0)

    def test_passed_on_as_received(self):
        """The addresses, and the names of version 2."""
        origin = ProxyOrigin(self)
        daemon = self.serve(origin, "v2", listener={"proxy_protocol": True}, trusted_proxies=["127.0.0.1"])
        names = tlv(1, b"h2") + tlv(2, b"www.example.com")
        for header in (v2(tlvs=names), v2("2001:db8::8", destination="::1"), v2()):
            with daemon.client() as client:
                self.assertEqual(client.send(header).get("/").status, 200)
        self.assertEqual([h for h, _ in origin.seen], [v2(tlvs=names), v2("2001:db8::8", destination="::1"), v2()])

    def test_the_name_asked_for_by_tls(self):
        folder = tempfile.mkdtemp(prefix="weir-proxy-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        ca = Authority(folder)
        pem, key = ca.issue("site", ["DNS:site.test"])
        origin = ProxyOrigin(self)
        daemon = self.serve(origin, "v2", listener={"tls": {"certificate": pem, "key": key}})
        context = ssl.create_default_context(cafile=ca.pem)
        context.set_alpn_protocols(["http/1.1"])
        with daemon.client() as client, context.wrap_socket(client.sock, server_hostname="site.test") as tls:
            tls.sendall(request("GET", "/", host="site.test"))
            self.assertIn(b" 200 ", tls.recv(65536))
        self.assertTrue(origin.seen[0][0].endswith(tlv(1, b"http/1.1") + tlv(2, b"site.test")))

    def test_health_checks_are_our_own(self):
        for version, header in (("v1", b"PROXY UNKNOWN\r\n"), ("v2", SIGNATURE + b"\x20\0\0\0")):
            for health in ({"path": "/healthz", "interval": "100ms", "timeout": "100ms"}, {"type": "tcp", "interval": "100ms", "timeout": "100ms"}):
                origin = ProxyOrigin(self)
                daemon = self.serve(origin, version, {"health": health})
                wait_until(lambda: len(origin.seen) >= 2)
                self.assertEqual({h for h, _ in origin.seen}, {header})
                self.assertEqual(daemon.get("/").status, 200)

    def test_retries_and_refused_connections(self):
        dead = self.origin()
        dead.kill()
        origin = ProxyOrigin(self)
        daemon = self.weir(config([dead, origin.origin], pool={"proxy_protocol": "v1", "eject": False}))
        with daemon.client() as client:
            for _ in range(6):
                self.assertEqual(client.request("POST", "/", body=b"x").status, 200)
        self.assertGreaterEqual(daemon.metrics().sum("weir_pool_retries_total"), 1)

    def test_before_tls_to_the_backend(self):
        folder = tempfile.mkdtemp(prefix="weir-proxy-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        ca = Authority(folder)
        pem, key = ca.issue("b", ["IP:127.0.0.1"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, key)
        seen = []

        def serve(connection):
            sock = connection.sock
            line = b""
            while not line.endswith(b"\r\n"):
                line += sock.recv(1)
            seen.append(line)
            with context.wrap_socket(sock, server_side=True) as tls:
                if tls.recv(65536):
                    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        origin = self.origin(handler=serve)
        daemon = self.weir(config({"b1": "https://" + origin.address}, pool={"proxy_protocol": "v1", "tls": {"ca": ca.pem}}))
        self.assertEqual(daemon.get("/").text, "ok")
        self.assertTrue(seen[0].startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 "))

    def test_reload_switches_it(self):
        origin = ProxyOrigin(self)
        daemon = self.serve(origin, "v1")
        with daemon.client() as client:
            for version in ("v1", "off", "v2", "off"):
                daemon.reload(config([origin.origin], pool={"proxy_protocol": version, "eject": False}))
                self.assertEqual([client.get("/").text for _ in range(2)], ["ok", "ok"])
        self.assertEqual([(h[:5], len(r)) for h, r in origin.seen], [(b"PROXY", 2), (b"", 2), (SIGNATURE[:5], 2), (b"", 2)])
