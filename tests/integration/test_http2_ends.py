"""HTTP/2: WebSockets in a stream, and how connections end: drain, reload, upgrade."""
import base64
import hashlib
import signal
import threading
import time

import h2origin
import http2
from harness import config, request, response, wait_until
from h2origin import Http2Origin
from test_http2 import Http2Test, body_of, sized
from upgradable import Upgradable

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONNECT = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/chat"), (":authority", "a.test"),
           ("sec-websocket-version", "13"), ("origin", "https://a.test")]
GOING_AWAY = b"\x88\x02\x03\xe9"


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest())


def switching(message, accept=None):
    return (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
            (accept or accept_of(message.header("Sec-WebSocket-Key"))) + b"\r\n\r\n")


def websocket_echo(connection):
    """Answers each frame with the same bytes, until the client ends its side."""
    message = connection.read_request()
    connection.send(switching(message))
    while True:
        data = connection.reader.take(len(connection.reader.buffer)) or connection._receive()
        if not data:
            break
        connection.send(bytes(data))
    connection.close()


class WebSockets(Http2Test):
    def test_both_ways(self):
        origin = self.origin(handler=websocket_echo)
        daemon = self.serve([origin])
        client = self.http2(daemon, "tls")
        self.assertEqual(client.settings.get(8), 1)
        stream = client.open(CONNECT, end=False)
        answer = client.answers[stream]
        client.wait(lambda: answer.headers, "the answer")
        self.assertEqual(answer.status, 200)
        for name in ("sec-websocket-accept", "upgrade", "connection"):
            self.assertIsNone(answer.header(name))
        seen = origin.requests[0]
        self.assertEqual((seen.method, seen.target, seen.header("Upgrade"), seen.header("Origin")), ("GET", "/chat", "websocket", "https://a.test"))
        self.assertEqual(len(base64.b64decode(seen.header("Sec-WebSocket-Key"))), 16)
        client.data(stream, b"\x81\x85maskhello" + bytes(200_000))
        client.wait(lambda: len(answer.received) == 200_011, "the echo")
        client.data(stream, b"", end=True)
        client.wait(lambda: answer.ended, "the other end")
        wait_until(lambda: daemon.metrics().sum("weir_tunnels_open") == 0)

    def test_data_before_the_answer_waits_for_it(self):
        go = threading.Event()

        def handler(connection):
            message = connection.read_request()
            go.wait(30)
            self.assertEqual(bytes(connection.reader.buffer), b"")
            connection.send(switching(message) + b"first")
            connection.send(bytes(connection._receive()))
            connection.close()
        client = self.http2(self.serve([self.origin(handler=handler)]))
        stream = client.open(CONNECT, end=False)
        client.data(stream, b"early")
        client.ping()
        client.wait(lambda: client.pongs, "a pong")
        go.set()
        client.wait(lambda: client.answers[stream].body == b"firstearly", "both")

    def test_refusals(self):
        def reply(message, _connection):
            return response(403, b"no") if message.target == "/no" else response(200, b"what?")
        client = self.http2(self.serve([self.origin(reply)]))
        no = client.open([(":path", "/no") if f[0] == ":path" else f for f in CONNECT], end=False)
        self.assertEqual((client.answer(no).status, client.answers[no].body), (403, b"no"))
        other = client.open(CONNECT, end=False)
        self.assertEqual(client.answer(other).status, 502)

    def test_through_a_backend_of_http2(self):
        def echo(r):
            r.head(200)
            seen = 0
            while not r.complete or seen < len(r.body):
                time.sleep(0.005)
                piece = bytes(r.body[seen:])
                seen += len(piece)
                if piece:
                    r.data(piece)
            r.data(b"", end=True)
        origin = Http2Origin(echo, settings={h2origin.CONNECT_PROTOCOL: 1}, early=True, threads=True)
        self.addCleanup(origin.close)
        daemon = self.serve([origin], pool={"protocol": "h2c"})
        client = self.http2(daemon)
        stream = client.open(CONNECT, end=False)
        answer = client.answers[stream]
        client.wait(lambda: answer.headers, "the answer")
        self.assertEqual((answer.status, answer.header("sec-websocket-accept")), (200, None))
        seen = origin.requests[0]
        self.assertEqual([seen.header(n) for n in (":method", ":protocol", ":path", "sec-websocket-version", "sec-websocket-key", "origin")],
                         ["CONNECT", "websocket", "/chat", "13", None, "https://a.test"])
        client.data(stream, b"\x81\x85maskhello" + bytes(200_000))
        client.wait(lambda: len(answer.received) == 200_011, "the echo")
        client.data(stream, b"", end=True)
        client.wait(lambda: answer.ended, "the other end")
        wait_until(lambda: daemon.metrics().sum("weir_tunnels_open") == 0)

    def test_a_wrong_proof(self):
        client = self.http2(self.serve([self.origin(handler=lambda c: c.send(switching(c.read_request(), b"AAAA")))]))
        stream = client.open(CONNECT, end=False)
        self.assertEqual(client.answer(stream).status, 502)

    def test_idle(self):
        daemon = self.serve([self.origin(handler=websocket_echo)], pool={"timeout": {"tunnel": "1s"}})
        client = self.http2(daemon)
        stream = client.open(CONNECT, end=False)
        client.wait(lambda: client.answers[stream].ended or client.answers[stream].reset is not None, "its end")
        self.assertEqual(daemon.wait_log(lambda line: line["target"] == "/chat")["cause"], "tunnel_timeout")

    def test_a_drain_says_going_away(self):
        daemon = self.serve([self.origin(handler=websocket_echo)], drain_timeout="2s")
        old = daemon.client()
        self.addCleanup(old.close)
        old.send(request("GET", "/", headers=[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "AAECAwQFBgcICQoLDA0ODw==")]))
        self.assertEqual(old.read().status, 101)
        half = daemon.client()
        self.addCleanup(half.close)
        half.send(request("GET", "/", headers=[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "AAECAwQFBgcICQoLDA0ODw==")]))
        self.assertEqual(half.read().status, 101)
        half.send(b"\x82\x7d123")
        self.assertEqual(half.read_exactly(5), b"\x82\x7d123")
        client = self.http2(daemon)
        stream = client.open(CONNECT, end=False)
        client.wait(lambda: client.answers[stream].headers, "the answer")
        client.data(stream, b"\x81\x03abc")
        client.wait(lambda: client.answers[stream].body == b"\x81\x03abc", "the echo")
        daemon.signal(signal.SIGTERM)
        client.wait(lambda: client.answers[stream].ended, "the end")
        self.assertEqual(client.answers[stream].body, b"\x81\x03abc" + GOING_AWAY)
        self.assertEqual(old.read_to_end(), GOING_AWAY)
        self.assertEqual(half.read_to_end(), b"")
        self.assertEqual(daemon.wait_exit(), 0)


class Ends(Http2Test):
    def slow(self):
        """Answers /slow when it is told to."""
        self.go = threading.Event()
        self.addCleanup(self.go.set)

        def reply(message, connection):
            if message.target.startswith("/slow"):
                self.go.wait(30)
            return response(200, body_of(10))
        return self.origin(reply)

    def assert_two_steps(self, client, stream):
        client.wait(lambda: len(client.goaways) == 1, "the first GOAWAY")
        self.assertEqual(client.goaways[0], (0x7FFFFFFF, http2.NO_ERROR))
        late = client.open(path="/late")
        self.assertEqual(client.answer(late).status, 200)
        client.wait(lambda: len(client.goaways) == 2, "the second GOAWAY")
        self.assertEqual(client.goaways[1], (late, http2.NO_ERROR))
        self.go.set()
        self.assertEqual(client.answer(stream).body, body_of(10))
        self.assertEqual(client.wait_end(), "eof")

    def test_drain(self):
        daemon = self.serve([self.slow()])
        client = self.http2(daemon, "tls")
        stream = client.open(path="/slow")
        idle = self.http2(daemon)
        idle.get("/x")
        wait_until(lambda: daemon.metrics().sum("weir_http2_streams_total") == 2)
        daemon.signal(signal.SIGTERM)
        self.assert_two_steps(client, stream)
        self.assertEqual(idle.wait_end(), "eof")
        self.assertEqual(daemon.wait_exit(), 0)

    def test_drain_timeout(self):
        daemon = self.serve([self.slow()], drain_timeout="2s")
        client = self.http2(daemon)
        stream = client.open(path="/slow")
        client.ping()
        client.wait(lambda: client.pongs, "a pong")
        daemon.signal(signal.SIGTERM)
        answer = client.answer(stream)
        self.assertEqual(answer.status, 503)
        client.wait_end()
        self.assertEqual(daemon.wait_exit(), 0)

    def test_a_reload_that_removes_the_listener(self):
        origin = self.slow()
        daemon = self.weir(config([origin], listeners={"web": {"bind": "127.0.0.1:0"}, "more": {"bind": "127.0.0.1:0"}}))
        client = self.http2(daemon, "more")
        stream = client.open(path="/slow")
        client.ping()
        client.wait(lambda: client.pongs, "a pong")
        daemon.reload(config([origin], listeners={"web": {"bind": "127.0.0.1:0"}}))
        self.assert_two_steps(client, stream)

    def test_streams_go_on_over_a_reload(self):
        origin = self.slow()
        daemon = self.serve([origin])
        client = self.http2(daemon)
        stream = client.open(path="/slow")
        client.ping()
        client.wait(lambda: client.pongs, "a pong")
        daemon.reload()
        self.assertEqual(client.get("/x").status, 200)
        self.go.set()
        self.assertEqual(client.answer(stream).status, 200)
        self.assertEqual(client.goaways, [])

    def test_upgrade(self):
        origin = self.slow()
        daemon = Upgradable(config([origin]))
        self.addCleanup(daemon.stop)
        client = self.http2(daemon)
        stream = client.open(path="/slow")
        client.ping()
        client.wait(lambda: client.pongs, "a pong")
        daemon.upgrade()
        self.assertEqual(self.http2(daemon).get("/x").status, 200)
        self.assert_two_steps(client, stream)
