"""A client that breaks HTTP/2, or floods and hangs up: what the operator is told of it, and what other clients feel."""
import os
import signal
import socket
import struct
import threading
import unittest

import http2
import http2_flood
from harness import request, response, wait_until
from http2 import Http2Client
from test_http2 import Http2Test, body_of, sized

packed = Http2Client.packed
GET = Http2Client.literal(Http2Client.fields())
TOO_MUCH = b"\x7f\xff\xff\xff"
# What is sent on a connection, and the code of RFC 9113 §7 that Weir ends it with.
BROKEN = {
    "DATA on stream 0": (packed(http2.DATA, 0, 0, b"x"), "protocol_error"),
    "SETTINGS of 5 bytes": (packed(http2.SETTINGS, 0, 0, b"12345"), "frame_size_error"),
    "HPACK that is none": (packed(http2.HEADERS, 5, 101, b"\xff\xff\xff\xff\xff\xff"), "compression_error"),
    "a frame of 16 MiB": (b"\xff\xff\xff\0\0" + struct.pack("!I", 101) + bytes(100), "frame_size_error"),
    "the connection's window overflows": (packed(http2.WINDOW_UPDATE, 0, 0, TOO_MUCH) * 2, "flow_control_error"),
    "an even stream": (packed(http2.HEADERS, 5, 102, GET), "protocol_error"),
    "PUSH_PROMISE": (packed(http2.PUSH_PROMISE, 4, 101, b"\0\0\0\2\x88"), "protocol_error"),
    "CONTINUATION without a head": (packed(http2.CONTINUATION, 4, 101, GET), "protocol_error"),
}


class Broken(Http2Test):
    def hold(self):
        """A daemon whose backend answers when the test is over, and a request that is with it."""
        go = threading.Event()
        self.addCleanup(go.set)

        def reply(message, connection):
            if message.target == "/held":
                go.wait(30)
                return response(200, b"late")
            return sized(message, connection)
        daemon = self.serve([self.origin(reply)])
        client = self.http2(daemon)
        client.open(path="/held")
        wait_until(lambda: daemon.metrics().sum("weir_backend_inflight") == 1)
        return daemon, client

    def test_a_connection(self):
        for what, (data, code) in BROKEN.items():
            with self.subTest(what):
                daemon, client = self.hold()
                client.sock.sendall(data)
                client.wait_end()
                event = daemon.wait_event("http2_connection_ended")
                self.assertEqual((event.reason, event.client), ("malformed", "127.0.0.1"))
                self.assertEqual(event.detail.partition(":")[0], code)
                line = daemon.wait_log(lambda line: line["target"] == "/held")
                self.assertEqual((line["cause"], line["protocol"]), ("bad_framing", "HTTP/2.0"))
                self.assertEqual(daemon.metrics().sum("weir_protocol_errors_total"), 1)
                self.assertEqual(daemon.metrics().sum("weir_protocol_errors_total", cause="bad_framing"), 1)
                self.assertEqual(daemon.metrics().sum("weir_http2_floods_total"), 0)
                daemon.stop()

    def test_one_that_does_not_wait_for_the_goaway(self):
        daemon = self.serve()
        daemon.signal(signal.SIGSTOP)
        client = self.http2(daemon, start=False)
        client.sock.sendall(http2.PREFACE + packed(http2.SETTINGS) + packed(http2.DATA, 0, 0, b"x"))
        reset(client)
        daemon.signal(signal.SIGCONT)
        self.assertEqual(daemon.wait_event("http2_connection_ended").reason, "malformed")

    def test_a_request(self):
        """As one of HTTP/1.1 that can't be read: counted, and a line in the access log."""
        daemon = self.serve()
        client = self.http2(daemon)
        for count, field in enumerate((("connection", "close"), ("X-Upper", "1"), ("host", "b.test"), ("x-a", "a\nb")), 1):
            stream = client.open([*client.fields(path="/malformed"), field], literal=True)
            self.assertEqual(client.answer(stream).reset, http2.PROTOCOL_ERROR)
            self.assertEqual(client.get("/5").body, body_of(5))
            wait_until(lambda: sum(line["cause"] == "bad_request" for line in daemon.access_log()) == count)
            self.assertEqual(daemon.metrics().sum("weir_protocol_errors_total", cause="bad_request"), count)
        line = daemon.wait_log(lambda line: line["cause"] == "bad_request")
        self.assertEqual((line["status"], line["protocol"], line["method"], line["target"], line["client"]), (400, "HTTP/2.0", "", "", "127.0.0.1"))
        self.assertEqual(daemon.metrics().sum("weir_requests_in_flight"), 0)

    def test_a_request_that_is_refused_for_what_it_says(self):
        """That of HTTP/1.1 as well: the log and `weir why` have what was sound of it."""
        daemon = self.serve()
        client = self.http2(daemon)
        stream = client.open([*client.fields(path="/refused?a=1"), ("user-agent", "probe"), ("expect", "200-ok")])
        self.assertEqual(client.answer(stream).status, 417)
        line = daemon.wait_log(lambda line: line["cause"] == "expectation_failed")
        self.assertEqual((line["status"], line["protocol"], line["method"], line["target"], line["user_agent"]), (417, "HTTP/2.0", "GET", "/refused?a=1", "probe"))
        self.assertIn("Exactly: an expectation other than 100-continue.", daemon.command("why", line["request_id"])[1])

    def test_a_stream_that_is_under_way(self):
        daemon, client = self.hold()
        client.frame(http2.WINDOW_UPDATE, 0, 1, TOO_MUCH)
        self.assertEqual(client.answer(1).reset, http2.FLOW_CONTROL_ERROR)
        self.assertEqual(daemon.wait_log(lambda line: line["target"] == "/held")["cause"], "bad_framing")
        self.assertEqual(client.get("/5").body, body_of(5))
        self.assertEqual(client.goaways, [])


class CutShort(Http2Test):
    """A body that ends before its Content-Length."""

    def test_after_the_answers_head(self):
        """As curl does, to stop an upload that is answered already: no fault, and no flood however many do it at once."""
        count = 60
        go = threading.Event()
        self.addCleanup(go.set)

        def early(connection):
            while not connection.reader.buffer.count(b"\r\n\r\n"):
                connection.reader.fill()
            connection.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\n")
            go.wait(30)
            connection.send(b"too large")
        daemon = self.serve([self.origin(handler=early)])
        client = self.http2(daemon)
        streams = [client.open(method="POST", path="/early", headers=[("content-length", "1000000")], end=False) for _ in range(count)]
        client.wait(lambda: all(client.answers[s].headers for s in streams), "the heads")
        for stream in streams:
            client.data(stream, b"a part", end=True)
        for stream in streams:
            self.assertEqual((client.answers[stream].status, client.answer(stream).reset), (413, http2.PROTOCOL_ERROR))
        wait_until(lambda: len(daemon.access_log()) == count, what="the lines of the log")
        self.assertEqual({(line["status"], line["cause"]) for line in daemon.access_log()}, {(413, "client_gone")})
        self.assertEqual(daemon.metrics().sum("weir_http2_floods_total"), 0)
        go.set()
        client.ping()
        client.wait(lambda: client.pongs, "the connection to go on")
        self.assertEqual(client.goaways, [])

    def test_before_it(self):
        daemon = self.serve([self.origin(handler=lambda connection: connection.stall())])
        client = self.http2(daemon)
        stream = client.open(method="POST", path="/short", headers=[("content-length", "1000000")], end=False)
        wait_until(lambda: daemon.metrics().sum("weir_backend_inflight") == 1)
        client.data(stream, b"a part", end=True)
        self.assertEqual(client.answer(stream).reset, http2.PROTOCOL_ERROR)
        self.assertEqual(daemon.wait_log(lambda line: line["target"] == "/short")["cause"], "bad_framing")


def reset(client):
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()


def resets(count):
    cancel = struct.pack("!I", http2.CANCEL)
    return b"".join(packed(http2.HEADERS, 5, i, GET) + packed(http2.RST_STREAM, 0, i, cancel) for i in range(101, 101 + 2 * count, 2))


class Floods(Http2Test):
    def test_who_hangs_up_is_told_of(self):
        daemon = self.serve(limits={"http2": {"resets": 20, "resets_per_minute": 1}})
        daemon.signal(signal.SIGSTOP)  # both the flood and the reset are there when a connection is accepted
        for _ in range(5):
            client = self.http2(daemon, start=False)
            client.sock.sendall(http2.PREFACE + packed(http2.SETTINGS) + resets(50))
            reset(client)
        daemon.signal(signal.SIGCONT)
        wait_until(lambda: daemon.metrics().sum("weir_http2_floods_total", kind="resets") == 5)
        self.assertEqual(daemon.wait_event("http2_connection_ended").reason, "resets")

    def test_who_has_hung_up_before_is_told_of_and_costs_little(self):
        daemon = self.serve()
        daemon.signal(signal.SIGSTOP)
        for _ in range(5):
            client = self.http2(daemon, start=False)
            client.sock.sendall(http2.PREFACE + packed(http2.SETTINGS) + resets(600))
            reset(client)
        daemon.signal(signal.SIGCONT)
        wait_until(lambda: daemon.metrics().sum("weir_http2_floods_total", kind="resets") == 5)
        event = daemon.wait_event("http2_connection_ended")
        self.assertEqual((event.reason, event.detail), ("resets", "it has hung up"))
        self.assertLess(daemon.metrics().sum("weir_http2_streams_total"), 5 * 100)

    def test_uploads_that_are_cut_short_again_and_again(self):
        """Whether the client resets a request or has it reset: each is one of `resets`."""
        def handler(connection):
            connection.read_request(body=False)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\na part")
            connection.stall()
        daemon = self.serve([self.origin(handler=handler)], limits={"http2": {"resets": 20, "resets_per_minute": 1}})
        for body in (b"x", b"x" * 200):  # of 100
            client = self.http2(daemon)
            for _ in range(21):
                stream = client.open(method="POST", headers=[("content-length", "100")], end=False)
                client.wait(lambda: client.answers[stream].status == 200 or client.closed, "the head of the answer")
                client.frame(http2.DATA, 1, stream, body)
            self.assertEqual(client.wait_end(), "eof")
            self.assertEqual([code for _, code in client.goaways], [http2.ENHANCE_YOUR_CALM])
        self.assertEqual(daemon.metrics().sum("weir_http2_floods_total", kind="resets"), 2)

    def test_requests_that_were_under_way(self):
        go = threading.Event()
        self.addCleanup(go.set)
        daemon = self.serve([self.origin(lambda *_: go.wait(30) and response(200, b"late"))],
                            limits={"http2": {"resets": 20, "resets_per_minute": 1}})
        client = self.http2(daemon)
        client.open(path="/held")
        wait_until(lambda: daemon.metrics().sum("weir_backend_inflight") == 1)
        client.sock.sendall(resets(50))
        client.wait_end()
        self.assertEqual(daemon.wait_log(lambda line: line["target"] == "/held")["cause"], "http2_flood")

    def test_what_comes_after_the_flood_is_not_decoded(self):
        daemon = self.serve(limits={"http2": {"resets": 20, "resets_per_minute": 1}})
        client = self.http2(daemon)
        client.sock.sendall(resets(150))
        client.wait_end()
        metrics = daemon.metrics()
        self.assertEqual(metrics.sum("weir_http2_resets_total", by="client"), 20)
        self.assertEqual(metrics.sum("weir_http2_streams_total"), 21)
        self.assertEqual(metrics.sum("weir_http2_floods_total", kind="resets"), 1)


class Fairness(Http2Test):
    def test_new_connections_leave_the_others_their_turn(self):
        fixed = {"match": {"path": "/fixed/*"}, "respond": {"status": 200, "body": "x"}}
        daemon = self.serve(routes=[fixed, {"pool": "app"}])
        with daemon.client() as other:
            other.get("/fixed/first")
            daemon.signal(signal.SIGSTOP)  # all are there when it looks again, the new connections before the request
            block = Http2Client.literal(Http2Client.fields(path="/fixed/new"))
            start = http2.PREFACE + packed(http2.SETTINGS) + packed(http2.HEADERS, 5, 1, block) + resets(60)
            for _ in range(60):
                self.http2(daemon, start=False).sock.sendall(start)
            other.send(request("GET", "/fixed/other"))
            daemon.signal(signal.SIGCONT)
            self.assertEqual(other.read().status, 200)
        wait_until(lambda: len(daemon.access_log()) == 62)
        served = [line["target"] for line in daemon.access_log()]
        self.assertLess(served.index("/fixed/other"), 30)

    @unittest.skipUnless(os.environ.get("WEIR_FULL"), "takes half a minute")
    def test_beside_a_flood(self):
        """http2_flood.py says what it really costs; here the machine may be busy."""
        for waits in (False, True):
            daemon, _, stop = http2_flood.start()
            self.addCleanup(stop)
            quiet, beside, connections, growth = http2_flood.measure(daemon, 10, waits)
            self.assertGreater(connections, 100)
            self.assertLess(growth, 16 << 20)
            self.assertLess(http2_flood.share(beside, 0.99), max(10 * http2_flood.share(quiet, 0.99), 50))
