"""HTTP/2 towards clients, before backends of HTTP/1.1."""
import gzip
import hashlib
import os
import subprocess
import threading
import time

from harness import config, response, wait_until
from http2 import INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR, Http2Client
from tls import CertifiedTest


def body_of(size):
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def sized(message, _connection):
    """/SIZE is answered with so many bytes, a body with itself."""
    if message.body:
        return response(200, message.body)
    return response(200, body_of(int(message.target.strip("/").split("?")[0] or 0)))


class Http2Test(CertifiedTest):
    timeout = 120

    def setUp(self):
        super().setUp()
        self.certificate = self.ca.issue("a", ["DNS:a.test", "DNS:localhost", "IP:127.0.0.1"])

    def serve(self, backends=None, listener=None, environment=None, **more):
        backends = backends if backends is not None else [self.origin(sized)]
        plain = {"bind": "127.0.0.1:0", **(listener or {})}
        tls = {**plain, "tls": {"certificate": self.certificate[0], "key": self.certificate[1]}}
        return self.weir(config(backends, listeners={"web": plain, "tls": tls}, **more), environment=environment)

    def http2(self, daemon, listener="web", **how):
        if listener == "tls":
            how["context"] = self.ca.client_context(alpn=["h2"])
        client = Http2Client(daemon.address(listener), **how)
        self.addCleanup(client.close)
        return client


class Tools(Http2Test):
    """What people use."""

    def curl(self, *arguments):
        done = subprocess.run(["curl", "-sS", "--max-time", "30", "--cacert", self.ca.pem, "-w", "\n%{http_version} %{http_code}", *arguments],
                              capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.rpartition(b"\n")

    def test_curl(self):
        daemon = self.serve()
        port = daemon.address("tls").rpartition(":")[2]
        for arguments in (["--http2-prior-knowledge", f"http://{daemon.address()}/70000"], ["--http2", f"https://localhost:{port}/70000"]):
            body, _, outcome = self.curl(*arguments)
            self.assertEqual((outcome, body), (b"2 200", body_of(70000)))
        out = daemon.command("status")[1]
        self.assertRegex(out, r", 2 requests \(2 by HTTP/2\), ")
        self.assertRegex(out, r"\nlistener tls at \S+ \(https\)\nlistener web at \S+ \(http\)\n")
        self.assertEqual(self.curl("--http1.1", f"https://localhost:{port}/10")[2], b"1.1 200")
        upload = os.path.join(self.folder, "upload")
        with open(upload, "wb") as file:
            file.write(os.urandom(3_000_000))
        for how in (["--data-binary", "@" + upload], ["-X", "POST", "-T", "-"]):  # with a length, and without
            with open(upload, "rb") as file:
                done = subprocess.run(["curl", "-sS", "--max-time", "30", "--cacert", self.ca.pem, "--http2", *how, f"https://localhost:{port}/x"],
                                      stdin=file, capture_output=True, timeout=60)
            with open(upload, "rb") as file:
                self.assertEqual(hashlib.sha256(done.stdout).digest(), hashlib.sha256(file.read()).digest())
        line = daemon.wait_log(lambda line: line["target"] == "/70000")
        self.assertEqual(line["protocol"], "HTTP/2.0")

    def test_nghttp_and_h2load(self):
        daemon = self.serve()
        done = subprocess.run(["nghttp", "-v", f"http://{daemon.address()}/10"], capture_output=True, text=True, timeout=60)
        self.assertIn(":status: 200", done.stdout)
        self.assertIn("END_STREAM", done.stdout)
        port = daemon.address("tls").rpartition(":")[2]
        for url in (f"http://{daemon.address()}/100", f"https://localhost:{port}/100"):
            done = subprocess.run(["h2load", "-n", "2000", "-c", "4", "-m", "20", url], capture_output=True, text=True, timeout=100)
            self.assertIn("2000 succeeded, 0 failed, 0 errored", done.stdout)

    def test_python_h2(self):
        daemon = self.serve()
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "h2_client.py")
        done = subprocess.run(["/usr/bin/python3", script, daemon.address(), "20"], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (0, "20 answers of 20000 bytes\n"), done.stderr)


class Requests(Http2Test):
    def test_what_the_backend_sees(self):
        origin = self.origin(lambda m, c: response(200, b"hello", headers=[("X-Seen", "Yes"), ("Connection", "keep-alive")]))
        daemon = self.serve([origin])
        client = self.http2(daemon, "tls")
        answer = client.get("/a/../b?x=1", headers=[("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("te", "trailers")])
        self.assertEqual((answer.status, answer.body, answer.header("x-seen")), (200, b"hello", "Yes"))
        self.assertIsNone(answer.header("connection"))
        seen = origin.requests[0]
        self.assertEqual((seen.method, seen.target, seen.header("Host")), ("GET", "/b?x=1", "a.test"))
        self.assertEqual(seen.all("Cookie"), ["a=1; b=2"])
        self.assertEqual(seen.header("Via"), "2.0 weir")
        self.assertEqual(seen.header("X-Forwarded-Proto"), "https")
        self.assertFalse(seen.has("TE"))
        self.assertFalse(seen.has("Transfer-Encoding"))

    def test_answers_without_body_end_with_their_head(self):
        def reply(message, _connection):
            if message.target == "/204":
                return b"HTTP/1.1 204 No Content\r\n\r\n"
            if message.target == "/304":
                return b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"
            if message.method == "HEAD":
                return b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
            return response(200, b"")
        daemon = self.serve([self.origin(reply)], routes=[{"match": {"path": "/r"}, "redirect": {"path": "/x"}}, {"pool": "app"}])
        client = self.http2(daemon)
        for method, path, status in (("GET", "/204", 204), ("GET", "/304", 304), ("HEAD", "/", 200), ("GET", "/empty", 200), ("GET", "/r", 302)):
            stream = client.open(method=method, path=path)
            answer = client.answer(stream)
            self.assertEqual((answer.status, answer.body), (status, b""))
            self.assertEqual([kind for kind, _, at, _ in client.frames if at == stream], [1], "HEADERS alone")

    def test_bodies_both_ways(self):
        daemon = self.serve()
        for listener in ("web", "tls"):
            client = self.http2(daemon, listener)
            for size in (1, 1000, 16384, 16385, 65536, 200_000, 3_000_000):
                body = os.urandom(size)
                self.assertEqual(client.request("POST", "/", body=body).body, body)
                declared = client.request("POST", "/", body=body, headers=[("content-length", str(size))])
                self.assertEqual(declared.body, body)
                self.assertEqual(client.get(f"/{size}").body, body_of(size))

    def test_without_length_the_body_is_chunked_and_an_empty_one_is_said(self):
        origin = self.origin(lambda m, c: response(200, b"ok"))
        client = self.http2(self.serve([origin]))
        client.request("POST", "/", body=b"abc")
        client.request("POST", "/", body=b"abc", headers=[("content-length", "3")])
        client.request("POST", "/")
        client.request("GET", "/")
        framing = [(m.header("Transfer-Encoding"), m.header("Content-Length")) for m in origin.requests]
        self.assertEqual(framing, [("chunked", None), (None, "3"), (None, "0"), (None, None)])

    def test_a_hundred_streams_at_once(self):
        daemon = self.serve([self.origin(sized) for _ in range(3)])
        client = self.http2(daemon, "tls")
        sizes = [1 + i * i * 37 % 150_000 for i in range(100)]
        streams = [client.open(path=f"/{size}?{i}") for i, size in enumerate(sizes)]
        for stream, size in zip(streams, sizes):
            self.assertEqual(client.answer(stream).body, body_of(size))
        self.assertEqual(daemon.metrics().sum("weir_http2_streams_total"), 100)

    def test_interim_answers(self):
        def handler(connection):
            connection.read_request(body=False)
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            connection.send(response(200, b"x"))
        client = self.http2(self.serve([self.origin(handler=handler)]))
        answer = client.get("/")
        self.assertEqual((answer.interim, answer.body), ([[(":status", "103"), ("link", "</a>")]], b"x"))

    def test_expect_continue(self):
        def handler(connection):
            connection.read_request(body=False)
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.send(response(200, b"got it"))
        client = self.http2(self.serve([self.origin(handler=handler)]))
        stream = client.open(method="POST", end=False, headers=[("expect", "100-continue"), ("content-length", "4")])
        client.wait(lambda: client.answers[stream].interim, "100")
        client.data(stream, b"body", end=True)
        self.assertEqual(client.answer(stream).text, "got it")

    def test_version_and_log(self):
        daemon = self.serve(listener={"protocols": ["http/1.1"]})
        with daemon.client() as client:
            client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            self.assertEqual(client.read().status, 505)
        context = self.ca.client_context(alpn=["h2", "http/1.1"])
        with context.wrap_socket(daemon.client("tls").sock, server_hostname="a.test") as sock:
            self.assertEqual(sock.selected_alpn_protocol(), "http/1.1")

    def test_a_preface_in_pieces(self):
        daemon = self.serve()
        client = self.http2(daemon, start=False)
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + client.packed(4):
            client.sock.sendall(bytes([byte]))
        client.wait(lambda: client.settings_acks, "an acknowledgement")
        self.assertEqual(client.get("/5").body, body_of(5))


class Flow(Http2Test):
    def test_a_client_that_reads_nothing_stops_the_backend(self):
        sent = []

        def handler(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
            try:
                while sum(sent) < 50_000_000:
                    connection.send(bytes(50_000))
                    sent.append(50_000)
            except OSError:
                pass
        daemon = self.serve([self.origin(handler=handler), ], listener={})
        client = self.http2(daemon, window=30_000, grow=False)
        stream = client.open(path="/")
        client.wait(lambda: len(client.answers[stream].received) == 30_000, "the window's worth")
        last = -1
        while last != sum(sent):
            last = sum(sent)
            time.sleep(0.3)
        self.assertLess(sum(sent), 40_000_000)  # what the kernel's buffers hold, and a little more
        client.grow = True
        client.more(0, 1 << 29)
        client.more(stream, 1 << 29)
        self.assertEqual(len(client.answer(stream).received), 50_000_000)

    def test_a_slow_stream_stops_no_other(self):
        daemon = self.serve()
        client = self.http2(daemon, window=1000, grow=False)
        client.more(0, 1 << 29)
        slow = client.open(path="/1000000")
        for i in range(20):
            self.assertEqual(client.get(f"/{900 + i}").body, body_of(900 + i))
        client.more(slow, 1 << 29)
        self.assertEqual(client.answer(slow).body, body_of(1_000_000))

    def test_a_slow_backend_stops_the_upload(self):
        go = threading.Event()
        self.addCleanup(go.set)

        def handler(connection):
            go.wait(30)
            message = connection.read_request()
            connection.send(response(200, hashlib.sha256(message.body).hexdigest().encode()))
        daemon = self.serve([self.origin(handler=handler)])
        client = self.http2(daemon)
        body = os.urandom(10_000_000)
        stream = client.open(method="POST", end=False)
        sent = 0
        while True:  # until no window comes any more
            room = min(client.windows[0], client.windows[stream], 16384)
            if room <= 0:
                try:
                    client.wait(lambda: min(client.windows[0], client.windows[stream]) > 0, "a window", timeout=1)
                except AssertionError:
                    break
                continue
            client.frame(0, 0, stream, body[sent:sent + room])
            client.windows[0] -= room
            client.windows[stream] -= room
            sent += room
        self.assertLess(sent, 9_000_000)
        go.set()
        client.data(stream, body[sent:], end=True)
        self.assertEqual(client.answer(stream).text, hashlib.sha256(body).hexdigest())

    def test_a_reset_frees_the_backend(self):
        gone = threading.Event()

        def handler(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc")
            if connection.stall():
                gone.set()
        daemon = self.serve([self.origin(handler=handler)])
        client = self.http2(daemon)
        stream = client.open(path="/")
        client.wait(lambda: client.answers[stream].body, "a part of the body")
        client.reset(stream)
        self.assertTrue(gone.wait(30))
        self.assertEqual(daemon.wait_log(lambda line: line["target"] == "/")["cause"], "client_gone")

    def test_a_truncated_answer_resets_its_stream_alone(self):
        daemon = self.serve([self.origin(handler=self.cutting)])
        client = self.http2(daemon)
        cut = client.open(path="/cut")
        self.assertEqual(client.answer(cut).reset, INTERNAL_ERROR)
        self.assertEqual(client.get("/fine").text, "fine")

    @staticmethod
    def cutting(connection):
        while True:
            message = connection.read_request()
            if message.target == "/cut":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
                connection.close()
                return
            connection.send(response(200, b"fine"))

    def test_an_answer_before_the_body_is_whole(self):
        daemon = self.serve(limits={"body_bytes": "1KiB"})
        client = self.http2(daemon)
        stream = client.open(method="POST", end=False)
        client.data(stream, bytes(5000))
        answer = client.answer(stream)
        self.assertEqual((answer.status, answer.reset), (413, None))  # a second later, for those who can't bear it while they send
        client.wait(lambda: answer.reset is not None, "the reset after it")
        self.assertEqual(answer.reset, NO_ERROR)
        self.assertEqual(client.get("/3").body, body_of(3))


class Policy(Http2Test):
    """What is decided about a request of HTTP/1 is decided about one of HTTP/2."""

    def test_errors_and_their_causes(self):
        daemon = self.serve([self.origin(sized)], routes=[{"match": {"path": "/in/*"}, "pool": "app"}])
        client = self.http2(daemon)
        self.assertEqual(client.get("/out").status, 404)
        self.assertEqual(client.get("/in/%00").status, 400)
        self.assertEqual(client.request("TRACE", "/in/x").status, 405)
        self.assertEqual(client.get("/in/a\\b").status, 400)
        self.assertEqual(client.get("/" + "x" * 9000).status, 414)
        wait_until(lambda: len(daemon.access_log()) == 5)
        self.assertEqual([line["cause"] for line in daemon.access_log()], ["no_route", "bad_request", "method_not_allowed", "bad_request", "uri_too_long"])

    def test_retries_and_time_outs(self):
        def hang(connection):
            connection.read_request()
            connection.stall()
        dead = self.origin(sized)
        dead.kill()
        daemon = self.serve([dead, self.origin(sized)], routes=[{"match": {"path": "/7"}, "pool": "app"}, {"pool": "slow"}],
                            pools={"app": {"backends": {"a": dead.url, "b": self.origin(sized).url}, "health": False},
                                   "slow": {"backends": {"a": self.origin(handler=hang).url}, "health": False, "timeout": {"response": "200ms"}}})
        client = self.http2(daemon)
        for _ in range(4):
            self.assertEqual(client.get("/7").body, body_of(7))
        self.assertEqual(client.get("/slow").status, 504)
        self.assertEqual(client.get("/7").status, 200)

    def test_misdirected(self):
        other = self.ca.issue("b", ["DNS:b.test"])
        daemon = self.weir(config([self.origin(sized)], listener={"tls": {"certificate": [self.certificate[0], other[0]],
                                                                          "key": [self.certificate[1], other[1]]}}))
        client = Http2Client(daemon.address(), self.ca.client_context(alpn=["h2"]))
        self.addCleanup(client.close)
        self.assertEqual(client.get("/1").status, 200)
        self.assertEqual(client.get("/1", authority="b.test").status, 421)
        self.assertEqual(client.get("/1").status, 200)

    def test_behind_a_proxy_header(self):
        origin = self.origin(lambda m, c: response(200, b"x"))
        daemon = self.serve([origin], listener={"proxy_protocol": True}, trusted_proxies=["127.0.0.0/8"])
        client = self.http2(daemon, before=b"PROXY TCP4 192.0.2.9 127.0.0.1 999 80\r\n")
        self.assertEqual(client.get("/").status, 200)
        self.assertEqual(origin.requests[0].header("X-Real-IP"), "192.0.2.9")

    def test_sessions_stay(self):
        secret = os.path.join(self.folder, "secret")
        with open(secret, "w") as file:
            file.write("YS1zZWNyZXQtdGhhdC1pcy1sb25nLWVub3VnaC0xMjM0\n")
        origins = [self.origin(name=f"o{i}") for i in range(3)]
        client = self.http2(self.serve(origins, pool={"affinity": {}}, secret=secret), "tls")
        first = client.get("/")
        cookie = first.header("set-cookie")
        self.assertIn("Secure", cookie)
        pair = cookie.partition(";")[0]
        for _ in range(6):
            again = client.get("/", headers=[("cookie", "x=1"), ("cookie", pair)])
            self.assertEqual((again.text, again.header("set-cookie")), (first.text, None))

    def test_compression(self):
        text = b"all work and no play " * 5000
        origin = self.origin(lambda m, c: response(200, text, headers=[("Content-Type", "text/plain")]))
        client = self.http2(self.serve([origin], routes=[{"pool": "app", "compress": True}], compress={"cpu": "100%"}))
        answer = client.get("/", headers=[("accept-encoding", "gzip")])
        self.assertEqual(answer.header("content-encoding"), "gzip")
        self.assertIsNone(answer.header("content-length"))
        self.assertEqual(gzip.decompress(answer.body), text)

    def test_a_service_that_decides(self):
        def verify(message, _connection):
            return response(200 if message.header("Authorization") == "Bearer right" else 401, b"", headers=[("X-User", "ann")])
        app = self.origin(lambda m, c: response(200, (m.header("X-User") or "-").encode()))
        daemon = self.serve(None, pools={"app": {"backends": {"a": app.url}, "health": False}, "sso": {"backends": {"a": self.origin(verify).url}, "health": False}},
                            routes=[{"pool": "app", "auth": {"forward": {"pool": "sso", "path": "/verify", "response_headers": ["X-User"]}}}])
        client = self.http2(daemon)
        self.assertEqual(client.get("/").status, 401)
        body = os.urandom(200_000)
        answer = client.request("POST", "/", body=body, headers=[("authorization", "Bearer right")])
        self.assertEqual((answer.status, answer.text), (200, "ann"))
        self.assertEqual(app.requests[-1].body, body)

    def test_a_queue(self):
        go = threading.Event()
        self.addCleanup(go.set)

        def reply(message, _connection):
            go.wait(30)
            return response(200, message.target.encode())
        origin = self.origin(reply)
        client = self.http2(self.serve([origin], pool={"limits": {"inflight": 2, "queue": 10, "queue_timeout": "30s"}}))
        streams = [client.open(path=f"/{i}") for i in range(8)]
        wait_until(lambda: origin.inflight == 2)
        client.reset(streams.pop(4))
        go.set()
        for stream in streams:
            self.assertEqual(client.answer(stream).text, f"/{(stream - 1) // 2}")
        self.assertLessEqual(origin.max_inflight, 2)


class Trailers(Http2Test):
    def test_of_requests_and_answers(self):
        """What the other side can't take is dropped: backends of HTTP/1.1 get no trailers here."""
        origin = self.origin(lambda m, c: response(200, m.body))
        client = self.http2(self.serve([origin]))
        stream = client.open(method="POST", end=False)
        client.data(stream, b"abc")
        client.frame(1, 5, stream, client.encoder.encode([("x-sum", "1")]))
        self.assertEqual(client.answer(stream).body, b"abc")
        self.assertFalse(origin.requests[0].has("X-Sum"))
        stream = client.open(method="POST", end=False)
        client.data(stream, b"abc")
        client.frame(1, 5, stream, client.literal([("x-sum", "1\r\ny: z")]))
        self.assertEqual(client.answer(stream).reset, PROTOCOL_ERROR)
