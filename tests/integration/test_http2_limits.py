"""What a client of HTTP/2 may not do: malformed messages (security-rules E9), and too much of what is allowed (E1–E7)."""
import struct
import threading
import time

import http2
from harness import response
from http2 import ENHANCE_YOUR_CALM, PROTOCOL_ERROR, Http2Client
from test_http2 import Http2Test, body_of, sized
from test_http2_ends import CONNECT, switching


class Malformed(Http2Test):
    """Each is one stream's end; the backend sees none of it, and the connection goes on."""

    def setUp(self):
        super().setUp()
        self.seen = self.origin(sized)
        self.daemon = self.serve([self.seen])

    def assert_reset(self, fields, body=None, code=PROTOCOL_ERROR):
        client = Http2Client(self.daemon.address())
        with client:
            stream = client.open(fields, literal=True, body=body)
            answer = client.answer(stream)
            self.assertEqual((answer.reset, answer.headers), (code, None), fields)
            self.assertEqual(client.get("/3").body, body_of(3))
        self.assertEqual({m.target for m in self.seen.requests}, {"/3"})

    def plain(self, *more, **how):
        return [*Http2Client.fields(**how), *more]

    def test_bytes_that_would_end_a_line(self):
        for value in ("a\r\nx: y", "a\nb", "a\0b", "a\rb"):
            self.assert_reset(self.plain(("x-a", value)))
        for name in ("x\r\ny", "x:y", "x y", "X-Upper", "x\0", ""):
            self.assert_reset(self.plain((name, "v")))
        for path in ("/a b", "/a\r\nHost: b", "/a\0"):
            self.assert_reset(self.plain(path=path))
        self.assert_reset(self.plain(method="GET /x HTTP/1.1\r\n"))
        self.assert_reset(self.plain(authority="a.test\r\nx: y"))

    def test_connection_specific_fields(self):
        for name, value in (("connection", "close"), ("keep-alive", "1"), ("proxy-connection", "close"), ("transfer-encoding", "chunked"),
                            ("upgrade", "websocket"), ("te", "gzip"), ("http2-settings", "AAMAAABkAAQAAP__")):
            self.assert_reset(self.plain((name, value)))

    def test_pseudo_fields(self):
        fields = self.plain()
        self.assert_reset(fields + [(":path", "/b")])
        self.assert_reset([fields[0], fields[1], ("x", "y"), fields[2], fields[3]])
        self.assert_reset(fields + [(":status", "200")])
        self.assert_reset(fields[1:])
        self.assert_reset([f for f in fields if f[0] != ":path"])
        self.assert_reset([f for f in fields if f[0] != ":scheme"])
        self.assert_reset(self.plain(path="relative"))
        self.assert_reset(self.plain(path="http://b.test/"))

    def test_another_host(self):
        self.assert_reset(self.plain(("host", "b.test")))

    def test_another_length(self):
        for length, body in (("4", b"abc"), ("2", b"abc"), ("0", b"abc")):
            client = self.http2(self.daemon)
            # At once: a head that comes alone goes on to the backend before the body shows what it is worth.
            stream = client.open(self.plain(("content-length", length), method="POST", path="/length"), literal=True, body=body)
            self.assertEqual(client.answer(stream).reset, PROTOCOL_ERROR)
        self.assert_reset(self.plain(("content-length", "5"), method="POST"))
        for line in self.seen.requests:
            self.assertEqual(line.target, "/3")

    def test_what_http1_refuses_is_refused(self):
        client = self.http2(self.daemon)
        self.assertEqual(client.answer(client.open(self.plain(authority="a b.test".replace(" ", ",")), literal=True)).status, 400)
        self.assertEqual(client.answer(client.open([(":method", "CONNECT"), (":authority", "a.test:443")], end=False)).status, 405)
        self.assert_reset(self.plain()[:3])  # no host at all


class Limits(Http2Test):
    def ended_for(self, client, daemon, kind):
        self.assertEqual(client.wait_end(), "eof")
        self.assertEqual([code for _, code in client.goaways], [ENHANCE_YOUR_CALM])
        self.assertEqual(daemon.metrics().sum("weir_http2_floods_total", kind=kind), 1)
        self.assertEqual(daemon.wait_event("http2_connection_ended").reason, kind)
        self.assertEqual(self.http2(daemon).get("/5").body, body_of(5), "another connection goes on")

    def small(self, **limits):
        return self.serve(limits={"http2": limits})

    def send(self, client, data):
        try:
            client.sock.sendall(data)
        except OSError:
            pass  # it has ended already

    def test_resets(self):
        daemon = self.small(resets=20, resets_per_minute=1)
        client = self.http2(daemon)
        block = client.literal(client.fields(path="/5"))
        reset = struct.pack("!I", http2.CANCEL)
        self.send(client, b"".join(client.packed(http2.HEADERS, 5, i, block) + client.packed(http2.RST_STREAM, 0, i, reset) for i in range(1, 61, 2)))
        self.ended_for(client, daemon, "resets")

    def test_rapid_resets_cost_no_request(self):
        origin = self.origin(sized)
        daemon = self.serve([origin])
        client = self.http2(daemon)
        block = client.literal(client.fields(path="/9"))
        reset = struct.pack("!I", http2.CANCEL)
        client.sock.sendall(b"".join(client.packed(http2.HEADERS, 5, i, block) + client.packed(http2.RST_STREAM, 0, i, reset) for i in range(1, 1601, 2)))
        client.next_id = 1601
        self.assertEqual(client.get("/5").body, body_of(5))
        self.assertLess(origin.count(), 400)

    def test_who_resets_and_comes_again_leaves_nothing(self):
        # ASan keeps what was freed in quarantine.
        daemon = self.serve(environment={"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:quarantine_size_mb=1"})
        other = self.http2(daemon)
        other.get("/5")
        before = daemon.rss()
        block = other.literal(other.fields(path="/9"))
        reset = struct.pack("!I", http2.CANCEL)
        flood = b"".join(other.packed(http2.HEADERS, 5, i, block) + other.packed(http2.RST_STREAM, 0, i, reset) for i in range(1, 4001, 2))
        for _ in range(200):
            client = Http2Client(daemon.address())
            self.send(client, flood)
            client.wait_end()
            client.close()
            self.assertEqual(other.get("/5").body, body_of(5))
        self.assertLess(daemon.rss() - before, 16 << 20)
        self.assertEqual(daemon.metrics().sum("weir_http2_floods_total", kind="resets"), 200)

    def test_errors(self):
        daemon = self.small(errors=10, errors_per_minute=1)
        client = self.http2(daemon)
        block = client.literal([*client.fields(), ("connection", "close")])
        self.send(client, b"".join(client.packed(http2.HEADERS, 5, i, block) for i in range(1, 101, 2)))
        self.ended_for(client, daemon, "errors")

    def test_made_to_reset(self):
        """CVE-2025-8671: frames that break the rules of a stream make the server reset it."""
        daemon = self.small(errors=10, errors_per_minute=1)
        client = self.http2(daemon)
        block = client.literal(client.fields(path="/5"))
        self.send(client, b"".join(client.packed(http2.HEADERS, 5, i, block) + client.packed(http2.WINDOW_UPDATE, 0, i, b"\x7f\xff\xff\xff") for i in range(1, 101, 2)))
        self.ended_for(client, daemon, "errors")

    def test_settings(self):
        daemon = self.small(settings_per_minute=20)
        client = self.http2(daemon)
        self.send(client, client.packed(http2.SETTINGS) * 40)
        self.ended_for(client, daemon, "settings")

    def test_pings(self):
        daemon = self.small(pings_per_minute=20)
        client = self.http2(daemon)
        for _ in range(3):
            for _ in range(15):
                client.ping()
            self.assertEqual(client.get("/5").status, 200)
        client.wait(lambda: len(client.pongs) == 45, "all pongs")
        self.send(client, client.packed(http2.PING, 0, 0, b"12345678") * 40)
        self.ended_for(client, daemon, "pings")

    def test_priorities(self):
        daemon = self.small(priorities=20)
        client = self.http2(daemon)
        self.send(client, client.packed(http2.PRIORITY, 0, 1, b"\0\0\0\0\x10") * 40)
        self.ended_for(client, daemon, "priorities")

    def test_empty_data(self):
        daemon = self.small(empty_data=20)
        client = self.http2(daemon)
        stream = client.open(method="POST", end=False)
        self.send(client, client.packed(http2.DATA, 0, stream) * 40)
        self.ended_for(client, daemon, "empty_data")

    def test_continuations(self):
        daemon = self.small()
        client = self.http2(daemon)
        block = client.literal([*client.fields(), *[(f"x-{i}", "v") for i in range(50)]])
        pieces = [block[i:i + 10] for i in range(0, len(block), 10)]
        self.send(client, client.packed(http2.HEADERS, 1, 1, pieces[0]) + b"".join(client.packed(http2.CONTINUATION, 0, 1, p) for p in pieces[1:30]))
        self.ended_for(client, daemon, "continuations")

    def test_acks_that_nobody_reads(self):
        daemon = self.small(acks=100, pings_per_minute=1_000_000)
        client = self.http2(daemon)
        self.send(client, client.packed(http2.PING, 0, 0, b"12345678") * 60_000)
        try:
            client.wait_end()
        except AssertionError:
            self.fail("it goes on")
        self.assertEqual(daemon.metrics().sum("weir_http2_floods_total", kind="acks"), 1)

    def test_fields(self):
        origin = self.origin(sized)
        daemon = self.serve([origin], limits={"http2": {"fields": 20, "field_bytes": "4KiB"}})
        client = self.http2(daemon)
        self.assertEqual(client.get("/5", headers=[("cookie", f"a{i}=1") for i in range(16)]).status, 200)
        self.assertEqual(client.get("/5", headers=[("cookie", f"a{i}=1") for i in range(17)]).status, 431)
        self.assertEqual(client.get("/5", headers=[("x", "v" * 4000)]).status, 431)
        self.assertEqual(client.get("/5").status, 200)
        self.assertEqual(origin.count(), 2)
        self.assertEqual(daemon.wait_log(lambda line: line["status"] == 431)["cause"], "header_too_large")

    def test_a_small_head_that_decodes_to_much(self):
        """An HPACK bomb: one field in the table, named thousands of times."""
        daemon = self.serve()
        client = self.http2(daemon)
        self.assertEqual(client.get("/5", headers=[("x-bomb", "v" * 3500)]).status, 200)
        before = daemon.rss()
        for _ in range(20):
            stream = client.next_id
            client.next_id += 2
            client.answers[stream] = http2.Answer()
            block = client.encoder.encode(client.fields())
            client.frame(http2.HEADERS, 5, stream, block + b"\xbe" * 16000)
            answer = client.answer(stream)
            self.assertEqual(answer.status or answer.reset, 431)
        self.assertLess(daemon.rss() - before, 8 << 20)

    def test_streams(self):
        go = threading.Event()
        self.addCleanup(go.set)

        def reply(message, _connection):
            go.wait(30)
            return response(200, b"x")
        daemon = self.serve([self.origin(reply)], limits={"http2": {"streams": 5}})
        client = self.http2(daemon)
        self.assertEqual(client.settings[3], 5)
        client.wait(lambda: client.settings_acks, "the acknowledgement")
        streams = [client.open() for _ in range(5)]
        client.ping()
        client.wait(lambda: client.pongs, "a pong")
        go.set()
        for stream in streams:
            self.assertEqual(client.answer(stream).status, 200)
        go.clear()
        for _ in range(6):  # and it knew
            client.open()
        client.wait_end()
        self.assertEqual(client.goaways[0][1], PROTOCOL_ERROR)

    def test_a_stream_that_takes_nothing(self):
        daemon = self.serve(listener={"timeout": {"send_stall": "1s"}})
        client = self.http2(daemon, window=1000, grow=False)
        client.more(0, 1 << 20)
        stream = client.open(path="/1000000")
        client.wait(lambda: client.answers[stream].reset is not None, "its reset")
        self.assertEqual(daemon.wait_log(lambda line: line["target"] == "/1000000")["cause"], "client_too_slow")
        self.assertEqual(client.get("/5").status, 200)

    def test_a_connection_that_takes_nothing(self):
        daemon = self.serve(listener={"timeout": {"send_stall": "1s"}})
        client = self.http2(daemon, window=1 << 20, grow=False)
        client.open(path="/1000000")
        self.assertEqual(client.wait_end(), "eof")
        self.assertEqual([code for _, code in client.goaways], [ENHANCE_YOUR_CALM])
        self.assertEqual(daemon.metrics().sum("weir_http2_floods_total", kind="stalled"), 1)
        self.assertEqual(daemon.wait_log(lambda line: line["target"] == "/1000000")["cause"], "http2_flood")

    def wait_resets(self, client, streams):
        client.wait(lambda: all(client.answers[stream].reset is not None for stream in streams), "their resets")

    def test_streams_that_take_nothing_beside_one_that_waits(self):
        """A request that waits for its answer, or a WebSocket in which nobody says anything, is no progress of the others."""
        go = threading.Event()
        self.addCleanup(go.set)

        def reply(message, connection):
            if message.target != "/wait":
                return sized(message, connection)
            go.wait(30)
            return response(200, b"late")

        def talk(connection):
            message = connection.read_request()
            while message and not message.has("upgrade"):
                connection.send(reply(message, connection))
                message = connection.read_request()
            if message:
                connection.send(switching(message))
                connection.stall()
        for waits in ("request", "websocket"):
            with self.subTest(waits):
                daemon = self.serve([self.origin(handler=talk)], listener={"timeout": {"send_stall": "1s"}})
                client = self.http2(daemon, window=1 << 20, grow=False)
                waiting = client.open(path="/wait") if waits == "request" else client.open(CONNECT, end=False)
                if waits == "websocket":
                    client.wait(lambda: client.answers[waiting].headers, "its answer")
                self.wait_resets(client, [client.open(path="/1000000") for _ in range(5)])
                self.assertEqual(daemon.wait_log(lambda line: line["target"] == "/1000000")["cause"], "client_too_slow")
                client.more(0, 1 << 20)
                self.assertEqual(client.get("/5").body, body_of(5))
                self.assertEqual((client.answers[waiting].reset, client.goaways), (None, []))
                if waits == "request":
                    go.set()
                    self.assertEqual(client.answer(waiting).body, b"late")
                self.assertEqual(daemon.metrics().sum("weir_http2_floods_total"), 0)

    def test_a_stream_whose_turn_does_not_come(self):
        """Others take what the connection may send: that is not its fault."""
        daemon = self.serve(listener={"timeout": {"send_stall": "2s"}})
        client = self.http2(daemon, window=1 << 20, grow=False)
        streams = [client.open(path="/100000") for _ in range(3)]
        end = time.monotonic() + 4
        while time.monotonic() < end:
            client.more(0, 500)
            client.fill(0.1)
            client.take_frames()
        client.more(0, 1 << 20)
        for stream in streams:
            self.assertEqual(client.answer(stream).body, body_of(100000))

    def test_who_has_used_its_own_window_goes_first(self):
        daemon = self.serve(listener={"timeout": {"send_stall": "1s"}})
        client = self.http2(daemon, window=40_000, grow=False)
        first = client.open(path="/1000000")
        client.wait(lambda: len(client.answers[first].received) == 40_000, "its window")
        second = client.open(path="/30000")  # of the connection's window 25,535 are left
        client.wait(lambda: len(client.answers[second].received) == 25_535, "the rest of the connection's window")
        self.wait_resets(client, [first])
        client.more(0, 40_000)
        self.assertEqual(client.answer(second).body, body_of(30_000))

    def test_a_head_that_never_ends(self):
        daemon = self.serve(listener={"timeout": {"header": "1s"}})
        client = self.http2(daemon)
        client.get("/5")
        client.frame(http2.HEADERS, 1, client.next_id, client.literal(client.fields())[:10])
        self.assertEqual(client.wait_end(), "eof")

    def test_idle_connections(self):
        daemon = self.serve(listener={"timeout": {"header": "1s", "keep_alive": "2s"}})
        silent = self.http2(daemon)
        self.assertEqual(silent.wait_end(), "eof")
        client = self.http2(daemon)
        client.get("/5")
        self.assertEqual(client.wait_end(), "eof")
        self.assertEqual([code for _, code in client.goaways], [http2.NO_ERROR])

    def test_a_body_that_comes_too_slowly(self):
        daemon = self.serve()
        client = self.http2(daemon)
        stream = client.open(method="POST", end=False)
        client.frame(http2.DATA, 0, stream, b"a")
        answer = client.answer(stream)
        self.assertEqual(answer.status, 408)
        self.assertEqual(daemon.wait_log(lambda line: line["status"] == 408)["cause"], "body_too_slow")

    def test_nobody_gets_time_by_saying_grpc_to_a_pool_that_speaks_none(self):
        daemon = self.serve()
        client = self.http2(daemon)
        stream = client.open(method="POST", headers=[("content-type", "application/grpc")], end=False)
        client.frame(http2.DATA, 0, stream, b"a")
        self.assertEqual(dict(client.answer(stream).headers)["grpc-status"], "14")
        self.assertEqual(daemon.wait_log(lambda line: line["method"] == "POST")["cause"], "body_too_slow")

    def test_not_http2_at_all(self):
        daemon = self.serve()
        for data in (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n"):
            client = self.http2(daemon, start=False)
            client.sock.sendall(data)
            client.wait_end()
        self.assertEqual(self.http2(daemon).get("/5").status, 200)
