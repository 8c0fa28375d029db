"""HTTP/2 to backends: what an HTTP/1.1 client sees of them, connections that many share, and backends that fail or cheat."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import h2origin
from h2origin import Http2Origin, frame
from harness import chunked, config, request, wait_until
from observe import open_files
from tls import CertifiedTest


class Http2Test(CertifiedTest):
    timeout = 120

    def h2(self, *arguments, **named):
        origin = Http2Origin(*arguments, **named)
        self.addCleanup(origin.close)
        return origin

    def serve(self, origins, pool=None, **more):
        return self.weir(config(origins, pool={"protocol": "h2c", **(pool or {})}, **more))


class Messages(Http2Test):
    def test_a_request_and_its_answer(self):
        origin = self.h2(lambda r: r.answer(b"answer", headers=[("x-more", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]))
        daemon = self.serve([origin])
        answer = daemon.get("/path?query=1", headers=[("X-Test", "A"), ("Cookie", "c=d"), ("Connection", "X-Hop"), ("X-Hop", "1"), ("TE", "gzip")])
        self.assertEqual((answer.status, answer.body), (200, b"answer"))
        self.assertEqual(answer.all("Set-Cookie"), ["a=1", "b=2"])
        seen = origin.requests[0]
        pseudo = [n for n, _ in seen.headers if n.startswith(":")]
        self.assertEqual(pseudo, [":method", ":scheme", ":authority", ":path"])
        self.assertEqual([seen.header(n) for n in pseudo], ["GET", "http", "test.example", "/path?query=1"])
        self.assertEqual((seen.header("x-test"), seen.header("cookie"), seen.header("x-forwarded-for")), ("A", "c=d", "127.0.0.1"))
        for gone in ("host", "connection", "x-hop", "te", "transfer-encoding", "keep-alive"):
            self.assertIsNone(seen.header(gone))

    def test_bodies_both_ways(self):
        origin = self.h2(lambda r: r.answer(bytes(r.body), headers=[("content-length", str(len(r.body)))]), threads=True)
        daemon = self.serve([origin])
        with daemon.client() as client:
            for size in (0, 1, 20_000, 1_500_000):
                body = os.urandom(size)
                answer = client.request("POST", "/", body=body)
                self.assertEqual(answer.body, body)
                self.assertEqual(answer.header("Content-Length"), str(size))
                client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*filter(None, (body[:size // 2], body[size // 2:]))))
                self.assertEqual(client.read("POST").body, body)
        self.assertEqual(len(origin.connections), 1)
        self.assertTrue(all(r.header("transfer-encoding") is None for r in origin.requests))

    def test_an_answer_without_length(self):
        origin = self.h2(lambda r: r.answer(b"x" * 100_000))
        daemon = self.serve([origin])
        with daemon.client() as client:
            for _ in range(2):
                answer = client.get("/")
                self.assertEqual(answer.header("Transfer-Encoding"), "chunked")
                self.assertEqual(len(answer.body), 100_000)
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            self.assertEqual(len(client.read().body), 100_000)

    def test_answers_without_a_body(self):
        def handler(r):
            status = int(r.header(":path")[1:])
            r.answer(status=status, headers=[("content-length", "5")] if r.header(":method") == "HEAD" else [])
        daemon = self.serve([self.h2(handler)])
        with daemon.client() as client:
            for target, method in (("/204", "GET"), ("/304", "GET"), ("/200", "GET"), ("/200", "HEAD"), ("/404", "HEAD"), ("/200", "POST")):
                answer = client.request(method, target)
                self.assertEqual((answer.status, answer.body), (int(target[1:]), b""))
            self.assertEqual(client.request("HEAD", "/200").header("Content-Length"), "5")
            self.assertEqual(client.request("GET", "/200").header("Content-Length"), "0")

    def test_interim_answers_and_expect(self):
        def handler(r):
            if r.header("expect"):
                r.head(100)
                wait_until(lambda: r.complete, what="the body")
            r.head(103, [("link", "</style.css>")])
            r.answer(bytes(r.body) or b"none")
        daemon = self.serve([self.h2(handler, early=True, threads=True)])
        client = self.client(daemon)
        client.send(request("POST", "/", [("Expect", "100-continue"), ("Content-Length", "4")]))
        self.assertEqual(client.read(interim=False, method="POST").status, 100)
        client.send(b"body")
        self.assertEqual(client.read(interim=False).status, 103)
        self.assertEqual(client.read().body, b"body")

    def test_trailers_of_answers(self):
        origin = self.h2(lambda r: r.answer(b"body", trailers=[("grpc-status", "0"), ("x-sum", "1"), ("set-cookie", "no"), ("x-gone", "1")]))
        daemon = self.serve([origin], routes=[{"pool": "app", "response_headers": {"remove": ["X-Gone"]}}])
        client = self.client(daemon)
        client.send(request("GET", "/", [("TE", "trailers"), ("Connection", "TE")]))
        wait_until(lambda: origin.requests, what="the request")
        raw = client.read_exactly(len(b"HTTP/1.1 200 "))
        rest = b""
        while not rest.endswith(b"\r\n\r\n") or b"\r\n0\r\n" not in rest:
            rest += client.read_exactly(1)
        self.assertTrue(rest.endswith(b"4\r\nbody\r\n0\r\ngrpc-status: 0\r\nx-sum: 1\r\n\r\n"), raw + rest)
        self.assertEqual(origin.requests[0].header("te"), "trailers")
        client.send(request())  # who has not asked for them does not get them
        self.assertEqual(client.read().body, b"body")

    def test_an_early_answer(self):
        def handler(r):
            r.answer(b"no", status=413)
            r.rst(h2origin.NO_ERROR)
        daemon = self.serve([self.h2(handler, early=True)])
        client = self.client(daemon)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin")
        self.assertEqual(client.read("POST").status, 413)
        self.assertEqual(daemon.get("/", headers=[("X", "1")]).status, 413)

    def test_tls_and_alpn(self):
        good = self.ca.issue("good", ["IP:127.0.0.1"])
        origin = self.h2(certificate=good)
        daemon = self.weir(config([origin], pool={"protocol": "h2", "tls": {"ca": self.ca.pem}}))
        with daemon.client() as client:
            for _ in range(3):
                self.assertEqual(client.get("/").text, "hello from h2")
        self.assertEqual(origin.requests[0].header(":scheme"), "https")
        self.assertEqual(len(origin.connections), 1)
        for alpn in (("http/1.1",), ()):
            daemon = self.weir(config([self.h2(certificate=good, alpn=alpn)], pool={"protocol": "h2", "tls": {"ca": self.ca.pem}, "retry": False}))
            self.assertEqual(daemon.get("/").status, 502)
            daemon.wait_log(lambda r: r["cause"] == "upstream_not_http2")

    def test_a_backend_of_http1(self):
        def h1(connection):
            connection.reader.fill()
            connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            connection.stall()
        for handler in (h1, lambda c: c.reader.fill() and c.close()):
            daemon = self.serve([self.origin(handler=handler)], pool={"retry": False})
            answer = daemon.get("/")
            self.assertEqual(answer.status, 502)
            self.assertIn("error=http_protocol_error", answer.header("Proxy-Status"))
            daemon.wait_log(lambda r: r["cause"] == "upstream_not_http2")
            self.assertEqual(daemon.wait_event("backend_http2_failed").reason, "not_http2")


class WebSockets(Http2Test):
    HANDSHAKE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]

    @staticmethod
    def echo(r):
        if r.header(":method") != "CONNECT":
            return r.answer(b"no", status=426)
        r.head(200, [("sec-websocket-protocol", "chat"), ("sec-websocket-accept", "not ours")])
        seen = 0
        while not r.complete or seen < len(r.body):
            time.sleep(0.005)
            if len(r.body) > seen:
                piece = bytes(r.body[seen:])
                seen += len(piece)
                r.data(piece)
        r.data(b"", end=True)

    def test_extended_connect(self):
        origin = self.h2(self.echo, settings={h2origin.CONNECT_PROTOCOL: 1}, early=True, threads=True)
        daemon = self.serve([origin])
        client = self.client(daemon)
        client.send(request("GET", "/chat", self.HANDSHAKE))
        answer = client.read()
        self.assertEqual((answer.status, answer.all("Sec-WebSocket-Accept"), answer.header("Sec-WebSocket-Protocol")),
                         (101, ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="], "chat"))
        seen = origin.requests[0]
        self.assertEqual([seen.header(n) for n in (":method", ":protocol", ":path", ":scheme")], ["CONNECT", "websocket", "/chat", "http"])
        data = os.urandom(200_000)
        client.send(data)
        self.assertEqual(client.read_exactly(len(data)), data)
        self.assertEqual(daemon.get("/").status, 426)  # beside it, on the same connection
        self.assertEqual(len(origin.connections), 1)
        client.half_close()
        self.assert_closed(client)

    def test_a_backend_that_refuses_it(self):
        origin = self.h2(lambda r: r.answer(b"no", status=403), settings={h2origin.CONNECT_PROTOCOL: 1}, early=True)
        client = self.client(self.serve([origin]))
        client.send(request("GET", "/", self.HANDSHAKE))
        self.assertEqual(client.read().status, 403)

    def test_a_backend_without_it(self):
        origin = self.h2(self.echo, early=True)
        client = self.client(self.serve([origin]))
        client.send(request("GET", "/", self.HANDSHAKE))
        self.assertEqual(client.read().status, 426)
        self.assertIsNone(origin.requests[0].header("upgrade"))


class Sharing(Http2Test):
    def test_many_requests_share_few_connections(self):
        gate = threading.Event()
        origin = self.h2(lambda r: (gate.wait(60), r.answer(b"ok")), threads=True)
        daemon = self.serve([origin])
        clients = [self.client(daemon) for _ in range(150)]
        for client in clients:
            client.send(request())
        wait_until(lambda: len(origin.requests) == 150, what="all requests at the backend")
        self.assertEqual(len(origin.connections), 2)  # 100 streams each, at most
        gate.set()
        for client in clients:
            self.assertEqual(client.read().body, b"ok")

    def test_the_backends_own_limit(self):
        gate = threading.Event()
        origin = self.h2(lambda r: (gate.wait(60), r.answer(b"ok")), threads=True, settings={h2origin.MAX_STREAMS: 4})
        daemon = self.serve([origin])
        clients = [self.client(daemon) for _ in range(20)]
        for client in clients:
            client.send(request())
        wait_until(lambda: len(origin.requests) == 20, what="all requests at the backend")
        self.assertTrue(all(len(c.requests) <= 4 for c in origin.connections))
        gate.set()
        for client in clients:
            self.assertEqual(client.read().body, b"ok")

    def test_a_slow_client_does_not_stall_the_others(self):
        big = os.urandom(8 << 20)
        origin = self.h2(lambda r: r.answer(big if r.header(":path") == "/big" else b"small"), threads=True)
        daemon = self.serve([origin])
        slow = [self.client(daemon, receive_buffer=4096) for _ in range(3)]
        for client in slow:
            client.send(request(target="/big"))
        wait_until(lambda: origin.paths().count("/big") == 3, what="the large answers to begin")
        with daemon.client() as client:
            for _ in range(20):
                self.assertEqual(client.get("/").text, "small")
        self.assertEqual(len(origin.connections), 1)
        self.assertLess(daemon.metrics().sum("weir_memory_buffer_bytes"), 3 << 20)
        for client in slow:
            self.assertEqual(client.read().body, big)

    def test_a_backend_that_takes_no_body_stops_the_client(self):
        origin = self.h2(lambda r: r.answer(b"ok"), open_windows=False)
        daemon = self.serve([origin])
        client = self.client(daemon)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        client.sock.settimeout(3)
        with self.assertRaises(TimeoutError):
            client.send_all_possible(b"x" * 100_000_000)
        self.assertLess(daemon.metrics().sum("weir_memory_buffer_bytes"), 3 << 20)
        other = daemon.client()
        self.addCleanup(other.close)
        self.assertEqual(other.get("/").text, "ok")

    def test_idle_connections_end_with_goaway(self):
        origin = self.h2()
        daemon = self.serve([origin], pool={"timeout": {"keep_alive": "300ms"}})
        self.assertEqual(daemon.get("/").status, 200)
        wait_until(lambda: origin.connections[0].ended.is_set(), what="the idle connection to end")
        self.assertEqual(origin.connections[0].goaway_seen[1], 0)
        self.assertEqual(daemon.get("/").status, 200)
        self.assertEqual(len(origin.connections), 2)

    def test_a_client_that_leaves_resets_its_stream_alone(self):
        gate = threading.Event()
        origin = self.h2(lambda r: r.header(":path") == "/wait" and gate.wait(60) or r.answer(b"ok"), threads=True)
        daemon = self.serve([origin])
        client = daemon.client()
        client.send(request(target="/wait"))
        wait_until(lambda: origin.requests, what="the request")
        client.reset()
        wait_until(lambda: origin.requests[0].reset == h2origin.CANCEL, what="the reset of the stream")
        self.assertEqual(daemon.get("/").text, "ok")
        self.assertEqual(len(origin.connections), 1)
        gate.set()


class Faults(Http2Test):
    def test_refused_streams_are_tried_again(self):
        refused = []

        def handler(r):
            if len(refused) < 2:
                refused.append(r)
                r.rst(h2origin.REFUSED)
            else:
                r.answer(bytes(r.body))
        daemon = self.serve([self.h2(handler), self.h2(handler)], pool={"retry": {"attempts": 2}})
        self.assertEqual(daemon.fetch("/", "POST", body=b"once").body, b"once")
        self.assertEqual(len(refused), 2)

    def test_goaway_moves_requests_elsewhere(self):
        seen = []

        def handler(r):
            seen.append(r)
            if len(seen) == 1:
                r.answer(b"first")
            elif len(seen) == 2:
                r.connection.goaway(r.stream - 2)
            else:
                r.answer(bytes(r.body))
        origin = self.h2(handler)
        daemon = self.serve([origin])
        with daemon.client() as client:
            self.assertEqual(client.get("/").text, "first")
            self.assertEqual(client.request("POST", "/", body=b"again").body, b"again")
        self.assertEqual(len(origin.connections), 2)

    def test_goaway_lets_requests_finish(self):
        gate = threading.Event()

        def handler(r):
            if r.header(":path") == "/long":
                r.connection.goaway(r.stream)
                gate.wait(60)
            r.answer(b"done")
        origin = self.h2(handler, threads=True)
        daemon = self.serve([origin])
        client = self.client(daemon)
        client.send(request(target="/long"))
        wait_until(lambda: daemon.metrics().sum("weir_backend_http2_goaways_total") == 1, what="GOAWAY")
        self.assertEqual(daemon.get("/").text, "done")
        self.assertEqual(len(origin.connections), 2)
        gate.set()
        self.assertEqual(client.read().text, "done")
        wait_until(lambda: origin.connections[0].ended.is_set(), what="the old connection to end")

    def test_resets_are_failures(self):
        def handler(r):
            if r.header(":path") == "/half":
                r.head(200)
                r.data(b"x" * 1000)
            r.rst(h2origin.INTERNAL_ERROR)
        daemon = self.serve([self.h2(handler)], pool={"retry": False, "eject": {"after": 3}})
        self.assertEqual(daemon.get("/").status, 502)
        daemon.wait_log(lambda r: r["cause"] == "upstream_reset")
        client = self.client(daemon)
        client.send(request(target="/half"))
        with self.assertRaises(Exception):
            client.read()
        daemon.wait_log(lambda r: r["cause"] == "upstream_truncated")
        daemon.get("/")
        self.assertEqual(daemon.metrics().sum("weir_backend_http2_resets_total", direction="received"), 3)

    def broken(self, speak, cause="upstream_bad_response", status=502, greet=None):
        """A backend that has begun well."""
        calls = []

        def handler(r):
            calls.append(r)
            if r.header(":path") == "/good":
                r.answer(b"good")
            else:
                speak(r)
        daemon = self.serve([self.h2(handler, greet=greet)], pool={"retry": False, "eject": False})
        answer = daemon.get("/bad")
        self.assertEqual(answer.status, status, answer.body)
        daemon.wait_log(lambda r: r["cause"] == cause)
        self.assertEqual(daemon.get("/good").text, "good")
        return daemon

    def test_broken_answers(self):
        self.broken(lambda r: r.head(200, [("Upper", "1")], True))
        self.broken(lambda r: r.head(200, [("transfer-encoding", "chunked")]))
        self.broken(lambda r: r.head(200, [("connection", "close")]))
        self.broken(lambda r: r.head(101, [], True))
        self.broken(lambda r: r.connection.headers(r.stream, [("x", "no status")], True))
        self.broken(lambda r: r.head(200, [("a", "x" * 50)] * 300, True), cause="upstream_header_too_large")
        self.broken(lambda r: [r.head(103) for _ in range(20)])

    def test_a_length_that_is_not_kept(self):
        def handler(r):
            r.head(200, [("content-length", "5")])
            r.data(b"abc", end=True)
        daemon = self.serve([self.h2(handler)], pool={"retry": False})
        client = self.client(daemon)
        client.send(request())
        with self.assertRaises(Exception):
            client.read()
        daemon.wait_log(lambda r: r["cause"] == "upstream_bad_response")

    def test_broken_connections(self):
        daemon = self.broken(lambda r: r.connection.send(frame(h2origin.DATA, 0, 0, b"on the connection")))
        self.assertEqual(daemon.wait_event("backend_http2_failed").reason, "protocol")
        self.assertEqual(daemon.metrics().sum("weir_backend_http2_failures_total"), 1)
        self.broken(lambda r: r.connection.send(frame(h2origin.HEADERS, h2origin.END_HEADERS, r.stream, b"\xff\xff\xff\xff\xff")))
        self.broken(lambda r: r.connection.send(frame(h2origin.WINDOW, 0, 0, b"\0\0\0\0")))
        self.broken(lambda r: r.connection.send(frame(h2origin.PUSH, h2origin.END_HEADERS, r.stream, b"\0\0\0\2\x88")))
        self.broken(lambda r: r.connection.send(b"\xff\xff\xff" + bytes(6) + b"x" * 100))

    def test_floods(self):
        for flood in (lambda r: frame(h2origin.PING, 0, 0, b"01234567"), lambda r: frame(h2origin.SETTINGS),
                      lambda r: frame(h2origin.PRIORITY, 0, r.stream, b"\0\0\0\0\1"), lambda r: frame(h2origin.RST, 0, r.stream - 2, b"\0\0\0\0")):
            daemon = self.broken(lambda r, flood=flood: r.connection.send(flood(r) * 3000) if r.stream > 1 else r.rst(2), cause="upstream_reset")
            daemon.get("/bad")
            self.assertEqual(daemon.get("/good").text, "good")
            self.assertEqual(daemon.wait_event("backend_http2_failed").reason, "flood")

    def test_a_bomb_of_continuations(self):
        def bomb(r):
            r.connection.send(frame(h2origin.HEADERS, 0, r.stream, b"\x88"))
            for _ in range(200):
                r.connection.send(frame(h2origin.CONTINUATION, 0, r.stream, b"\0\x01a\x7f\xa1\x1e" + b"x" * 4000))
        self.broken(bomb)

    def test_an_hpack_bomb(self):
        def bomb(r):
            # One large field into the table, then named again and again: 4 KiB for each byte.
            block = b"\x88" + b"\x40\x01a\x7f\x81\x1e" + b"x" * 4000 + b"\xbe" * 12_000
            r.connection.send(frame(h2origin.HEADERS, h2origin.END_HEADERS | h2origin.END_STREAM, r.stream, block))
        daemon = self.broken(bomb, cause="upstream_header_too_large")
        self.assertLess(daemon.metrics().sum("weir_memory_buffer_bytes"), 1 << 20)

    def test_a_deaf_connection_is_left(self):
        gate = threading.Event()

        def handler(r):
            if r.connection is origin.connections[0]:
                gate.wait(100)
            else:
                r.answer(b"alive")
        origin = self.h2(handler, deaf=True)
        daemon = self.serve([origin], pool={"timeout": {"response": "1500ms"}, "retry": False})
        self.assertEqual(daemon.get("/").status, 504)
        self.assertEqual(daemon.get("/").text, "alive")  # over another connection
        gate.set()

    def test_reload_changes_the_protocol(self):
        h1, h2 = self.origin(), self.h2()
        daemon = self.serve([h2])
        self.assertEqual(daemon.get("/").text, "hello from h2")
        daemon.reload(config([h1]))
        self.assertEqual(daemon.get("/").status, 200)
        self.assertEqual(h1.count(), 1)
        daemon.reload(config([h2], pool={"protocol": "h2c"}))
        self.assertEqual(daemon.get("/").text, "hello from h2")
        wait_until(lambda: h2.connections[0].ended.is_set(), what="the first connection to end")


class RealServers(Http2Test):
    def nghttpd(self):
        """nghttp2's own server, on a port that the kernel chose."""
        folder = tempfile.mkdtemp(prefix="weir-nghttpd-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        with open(os.path.join(folder, "file"), "wb") as file:
            file.write(b"x" * 10_000)
        server = subprocess.Popen(["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", folder, "0"], stdout=subprocess.DEVNULL)
        self.addCleanup(lambda: (server.kill(), server.wait()))
        return f"http://127.0.0.1:{wait_until(lambda: listening_port(server.pid), what='nghttpd')}"

    def test_nghttpd_under_h2load(self):
        daemon = self.serve({"b1": self.nghttpd(), "b2": self.nghttpd()})
        self.assertEqual(daemon.get("/file").body, b"x" * 10_000)
        self.assertEqual(daemon.get("/none").status, 404)
        for more in ([], ["--h1"]):
            done = subprocess.run(["h2load", "-n", "5000", "-c", "8", "-m", "20", *more, f"http://{daemon.address('web')}/file"], capture_output=True, text=True,
                                  timeout=100)
            self.assertIn("5000 succeeded, 0 failed, 0 errored, 0 timeout", done.stdout)
        self.assertLessEqual(daemon.metrics().sum("weir_backend_connects_total"), 8)

    def test_a_killed_backend_and_an_ending_daemon(self):
        gate = threading.Event()
        origin = self.h2(lambda r: (gate.wait(60), r.answer(b"late")) if r.header(":path") == "/wait" else r.answer(b"ok"), threads=True)
        other = self.h2(lambda r: r.answer(b"ok"))
        daemon = self.serve([origin, other])
        with daemon.client() as client:
            for _ in range(10):
                self.assertEqual(client.get("/").text, "ok")
            other.close()
            for _ in range(20):
                self.assertEqual(client.get("/").text, "ok")
        waiting = self.client(daemon)
        waiting.send(request(target="/wait"))
        wait_until(lambda: "/wait" in origin.paths(), what="the request")
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("draining")
        gate.set()
        self.assertEqual(waiting.read().text, "late")
        daemon.wait_exit()


def listening_port(pid):
    """Where the process listens on 127.0.0.1, by what the kernel says of its sockets."""
    inodes = set(re.findall(r"socket:\[(\d+)\]", "\n".join(open_files(pid))))
    with open("/proc/net/tcp") as table:
        for line in table.readlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                return int(words[1].split(":")[1], 16)
    return None
