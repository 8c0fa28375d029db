"""`compress`: who gets what compressed, what the head says then, and bodies that come out byte for byte as they went in."""
import gzip
import os
import threading
import time

import codings
from h2origin import Http2Origin
from harness import Incomplete, WeirTest, chunked, config, request, response, wait_until

TEXT = ("".join(f"{i}: the quick brown fox jumps over the lazy dog {i * i % 977}\n" for i in range(40_000))).encode()
BOTH = {"Accept-Encoding": "gzip, deflate, br"}


def decode(answer):
    return codings.decode(answer.header("content-encoding"), answer.body)


def next_chunk(client, message):
    """The data of the next chunk, empty for the last one."""
    size = int(client.reader.line("inside a chunk size", message), 16)
    return client.reader.need(size + 2, "inside a chunk", message)[:-2]


ALL_OF_IT = {"cpu": "100%"}  # on a slow machine, too, nothing is left alone for lack of time


def compressing(origin, how=True, compress=ALL_OF_IT, **more):
    return config([origin], routes=[{"pool": "app", "compress": how}], compress=compress, **more)


def nothing_is_held(daemon):
    wait_until(lambda: daemon.metrics().sum("weir_compression_memory_bytes") == 0, what="the end of all encoders")


def text(body=TEXT, headers=(), status=200, kind="text/plain"):
    return lambda message, connection: response(status, body, [("Content-Type", kind), *headers])


class Trailers(WeirTest):
    def test_those_that_are_lost_do_not_stand_behind_another_answer(self):
        def handler(r):
            if r.header(":path") == "/text":
                r.answer(TEXT[:50_000], headers=[("content-type", "text/plain")], trailers=[("x-first", "of another client")])
            else:
                r.answer(b"plain")
        origin = Http2Origin(handler)
        self.addCleanup(origin.close)
        daemon = self.weir(config([origin], pool={"protocol": "h2c"}, routes=[{"pool": "app", "compress": True}], compress=ALL_OF_IT))
        for _ in range(5):
            answer = daemon.get("/text", headers=BOTH)
            self.assertEqual(decode(answer), TEXT[:50_000])
            client = self.client(daemon)
            client.send(request("GET", "/plain", [("TE", "trailers"), ("Connection", "TE, close")]))
            self.assertTrue(client.read_to_end().endswith(b"\r\n\r\n5\r\nplain\r\n0\r\n\r\n"))


class Negotiation(WeirTest):
    def test_by_quality(self):
        origin = self.origin(text())
        daemon = self.weir(compressing(origin))
        for accepted, coding in [("gzip", "gzip"), ("br", "br"), ("gzip, br", "br"), ("GZIP", "gzip"), ("gzip, br;q=0.9", "gzip"),
                                 ("*", "br"), ("*;q=0", None), ("br;q=0, gzip", "gzip"), ("gzip;q=0", None), ("identity", None),
                                 ("identity, gzip;q=0.5", None), ("identity;q=0.5, gzip;q=0.5", "gzip"), ("deflate", None),
                                 ("", None), ("gzip;q=x", None), ("br;q=0, *;q=0.1", "gzip")]:
            with self.subTest(accepted=accepted):
                answer = daemon.get(headers={"Accept-Encoding": accepted})
                self.assertEqual(answer.header("content-encoding"), coding)
                self.assertEqual(decode(answer), TEXT)
                self.assertEqual(answer.header("vary"), "Accept-Encoding")
                self.assertEqual(origin.requests[-1].header("accept-encoding"), accepted)
        self.assertIsNone(daemon.get().header("content-encoding"))
        two = daemon.get(headers=[("Accept-Encoding", "br;q=0.5"), ("Accept-Encoding", "gzip")])
        self.assertEqual(two.header("content-encoding"), "gzip")
        metrics = daemon.metrics()
        self.assertEqual(metrics.sum("weir_compressed_responses_total", encoding="br"), 3)
        self.assertGreater(metrics.sum("weir_compression_in_bytes_total"), 5 * metrics.sum("weir_compression_out_bytes_total"))
        self.assertGreater(metrics.sum("weir_compression_seconds_total"), 0)
        nothing_is_held(daemon)

    def test_access_log_has_the_bytes_that_were_sent(self):
        daemon = self.weir(compressing(self.origin(text())))
        with daemon.client() as client:
            client.send(request(headers={**BOTH, "Connection": "close"}))
            sent = len(client.read_to_end())
        line = daemon.wait_log(lambda line: line["status"] == 200)
        self.assertEqual(line["bytes_out"], sent)
        self.assertLess(sent, len(TEXT) / 5)

    def test_algorithms_types_size_and_level(self):
        bodies = {"/html": ("text/html; charset=utf-8", b"x" * 2000), "/small": ("text/html", b"x" * 99), "/json": ("application/problem+json", b"x" * 2000),
                  "/png": ("image/png", b"x" * 2000), "/none": (None, b"x" * 2000), "/csv": ("TEXT/CSV", b"x" * 2000)}
        def reply(message, connection):
            kind, body = bodies[message.target]
            return response(200, body, [("Content-Type", kind)] if kind else [])
        how = {"algorithms": ["gzip", "br"], "types": ["text/*", "*+json"], "min_size": "100B", "level": 1}
        daemon = self.weir(compressing(self.origin(reply), how))
        got = {target: daemon.get(target, headers=BOTH) for target in bodies}
        self.assertEqual({t for t, a in got.items() if a.header("content-encoding") == "gzip"}, {"/html", "/json", "/csv"})
        self.assertEqual({t for t, a in got.items() if a.has("vary")}, {"/html", "/json", "/csv"})
        for target, answer in got.items():
            self.assertEqual(decode(answer), bodies[target][1])
        metrics = daemon.metrics()
        self.assertEqual(metrics.sum("weir_compression_skipped_total", reason="type"), 2)
        self.assertEqual(metrics.sum("weir_compression_skipped_total", reason="size"), 1)

    def test_off_on_other_routes(self):
        origin = self.origin(text(headers=[("ETag", '"a"')]))
        daemon = self.weir(config([origin], routes=[{"match": {"path": "/on"}, "pool": "app", "compress": True},
                                                    {"match": {"path": "/off"}, "pool": "app", "compress": False}, {"pool": "app"}], compress=ALL_OF_IT))
        self.assertEqual(daemon.get("/on", headers=BOTH).header("content-encoding"), "br")
        for target in ("/off", "/"):
            answer = daemon.get(target, headers=BOTH)
            self.assertEqual((answer.header("content-encoding"), answer.header("vary"), answer.header("etag")), (None, None, '"a"'))
            self.assertEqual(answer.body, TEXT)


class Never(WeirTest):
    def test_what_stays_as_it_is(self):
        packed = gzip.compress(TEXT)
        cases = {
            "/encoded": response(200, packed, [("Content-Type", "text/plain"), ("Content-Encoding", "gzip"), ("ETag", '"e"')]),
            "/no-transform": response(200, TEXT, [("Content-Type", "text/plain"), ("Cache-Control", "public, No-Transform")]),
            "/partial": response(206, TEXT, [("Content-Type", "text/plain"), ("Content-Range", f"bytes 0-{len(TEXT) - 1}/{len(TEXT)}"), ("Accept-Ranges", "bytes")]),
            "/range": response(416, TEXT, [("Content-Type", "text/plain"), ("Content-Range", "bytes */7")]),
            "/grpc": response(200, TEXT, [("Content-Type", "application/grpc+proto")]),
            "/none": b"HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n",
            "/empty": response(200, b"", [("Content-Type", "text/plain")]),
        }
        how = {"types": ["text/*", "application/*"], "min_size": "off"}
        daemon = self.weir(compressing(self.origin(lambda message, connection: cases[message.target]), how))
        for target, sent in cases.items():
            with self.subTest(target=target):
                answer = daemon.get(target, headers=BOTH)
                self.assertEqual(answer.header("content-encoding"), "gzip" if target == "/encoded" else None)
                self.assertFalse(answer.has("vary"))
                self.assertEqual(answer.body, sent.partition(b"\r\n\r\n")[2])
        self.assertEqual(daemon.get("/encoded", headers=BOTH).header("etag"), '"e"')
        self.assertEqual(daemon.get("/partial", headers=BOTH).header("accept-ranges"), "bytes")

    def test_the_client_forbids_it(self):
        daemon = self.weir(compressing(self.origin(text())))
        self.assertIsNone(daemon.get(headers={**BOTH, "Cache-Control": "no-cache, no-transform"}).header("content-encoding"))
        self.assertEqual(daemon.metrics().sum("weir_compression_skipped_total", reason="no_transform"), 1)

    def test_header_rules_count(self):
        routes = [{"match": {"path": "/kept"}, "pool": "app", "compress": True, "response_headers": {"set": {"Cache-Control": "no-transform"}}},
                  {"match": {"path": "/vary"}, "pool": "app", "compress": True, "response_headers": {"set": {"Vary": "Cookie"}}}]
        daemon = self.weir(config([self.origin(text(headers=[("Vary", "Origin")]))], routes=routes, compress=ALL_OF_IT))
        self.assertIsNone(daemon.get("/kept", headers=BOTH).header("content-encoding"))
        self.assertEqual(daemon.get("/vary", headers=BOTH).all("vary"), ["Cookie"])


class Heads(WeirTest):
    def test_what_the_head_says(self):
        headers = [("ETag", '"v1"'), ("Accept-Ranges", "bytes"), ("Content-MD5", "Q2hlY2s="), ("Digest", "md5=Q2hlY2s="),
                   ("Repr-Digest", "sha-256=:AA==:"), ("Content-Digest", "sha-256=:AA==:"), ("Vary", "Origin"), ("Vary", "Cookie"), ("X-Other", "1")]
        daemon = self.weir(compressing(self.origin(text(headers=headers))))
        answer = daemon.get(headers=BOTH)
        self.assertEqual(decode(answer), TEXT)
        self.assertEqual(answer.header("etag"), 'W/"v1"')
        self.assertEqual(answer.all("vary"), ["Origin, Cookie, Accept-Encoding"])
        self.assertEqual(answer.framing, "chunked")
        for name in ("content-length", "accept-ranges", "content-md5", "digest", "repr-digest", "content-digest"):
            self.assertFalse(answer.has(name), name)
        self.assertEqual(answer.header("x-other"), "1")
        plain = daemon.get()
        self.assertEqual(plain.all("vary"), ["Origin, Cookie, Accept-Encoding"])
        self.assertEqual((plain.header("etag"), plain.header("accept-ranges"), plain.header("content-md5")), ('"v1"', "bytes", "Q2hlY2s="))
        self.assertEqual(plain.header("content-length"), str(len(TEXT)))

    def test_vary_is_not_said_twice(self):
        for value in ("Accept-Encoding", "Cookie, accept-encoding", "*"):
            daemon = self.weir(compressing(self.origin(text(headers=[("Vary", value), ("ETag", 'W/"w"')]))))
            answer = daemon.get(headers=BOTH)
            self.assertEqual(answer.all("vary"), [value])
            self.assertEqual((answer.header("content-encoding"), answer.all("etag")), ("br", ['W/"w"']))

    def test_head_says_what_get_says(self):
        def reply(message, connection):
            whole = text(headers=[("ETag", '"v1"')])(message, connection)
            return whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if message.method == "HEAD" else whole
        daemon = self.weir(compressing(self.origin(reply)))
        with daemon.client() as client:
            client.send(request("HEAD", headers=BOTH))
            head = client.read("HEAD")
            client.send(request("GET", headers=BOTH))
            got = client.read()
            for name in ("content-encoding", "etag", "vary", "content-type", "content-length"):
                self.assertEqual(head.header(name), got.header(name), name)
            client.send(request("HEAD"))
            self.assertEqual(client.read("HEAD").header("content-length"), str(len(TEXT)))

    def test_revalidation(self):
        """A weak tag goes to the backend as it is; the 304 confirms the form that the client has."""
        def reply(message, connection):
            if '"v1"' in (message.header("if-none-match") or ""):
                return b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\nVary: Origin\r\n\r\n'
            return text(headers=[("ETag", '"v1"')])(message, connection)
        origin = self.origin(reply)
        daemon = self.weir(compressing(origin))
        tag = daemon.get(headers=BOTH).header("etag")
        again = daemon.get(headers={**BOTH, "If-None-Match": f'"x", {tag}'})
        self.assertEqual(origin.requests[-1].header("if-none-match"), '"x", W/"v1"')
        self.assertEqual((again.status, again.all("etag"), again.all("vary")), (304, ['W/"v1"'], ["Origin, Accept-Encoding"]))
        plain = daemon.get(headers={"If-None-Match": daemon.get().header("etag")})
        self.assertEqual((plain.status, plain.all("etag"), plain.all("vary")), (304, ['"v1"'], ["Origin, Accept-Encoding"]))


class Bodies(WeirTest):
    def test_every_framing_comes_out_whole(self):
        pieces = [TEXT[i:i + 70_001] for i in range(0, len(TEXT), 70_001)]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
        def reply(message, connection):
            if message.target == "/length":
                return response(200, TEXT, [("Content-Type", "text/plain")])
            if message.target == "/chunked":
                return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(*pieces)
            if message.target == "/little":
                return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"x")
            if message.target == "/nothing":
                return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked()
            connection.send(head + b"\r\n" + TEXT)
            return None
        daemon = self.weir(compressing(self.origin(reply)))
        bodies = {"/little": b"x", "/nothing": b""}
        for target in ("/length", "/chunked", "/close", "/little", "/nothing"):
            for coding in ("gzip", "br"):
                with self.subTest(target=target, coding=coding), daemon.client() as client:
                    for _ in range(2):  # the connection lives on
                        client.send(request("GET", target, {"Accept-Encoding": coding}))
                        answer = client.read()
                        self.assertEqual((answer.header("content-encoding"), answer.framing), (coding, "chunked"))
                        self.assertTrue(decode(answer) == bodies.get(target, TEXT))
                with self.subTest(target=target, coding=coding, version="1.0"), daemon.client() as client:
                    client.send(request("GET", target, {"Accept-Encoding": coding, "Connection": "keep-alive"}, version="1.0"))
                    answer = client.read()
                    self.assertEqual((answer.header("content-encoding"), answer.framing), (coding, "close"))
                    self.assertTrue(decode(answer) == bodies.get(target, TEXT))
        nothing_is_held(daemon)

    def test_slow_in_odd_pieces(self):
        body = TEXT[:5000]
        def reply(message, connection):
            whole = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body[:1], body[1:999], body[999:])
            connection.send_pieces(whole, 7)
            return b""
        daemon = self.weir(compressing(self.origin(reply)))
        for coding in ("gzip", "br"):
            self.assertEqual(decode(daemon.get(headers={"Accept-Encoding": coding})), body)

    def test_large_and_a_slow_client(self):
        """64 MiB through a client that reads late: the backend waits meanwhile, and memory stays small."""
        piece = os.urandom(64 << 10)  # repeated beyond gzip's window: the client is the bottleneck
        total, sent = 64 << 20, []
        def reply(message, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % total)
            for _ in range(total // len(piece)):
                connection.send(piece)
                sent.append(len(piece))
            return b""
        daemon = self.weir(compressing(self.origin(reply), {"level": 1}))
        before = daemon.rss()
        with daemon.client(receive_buffer=16 << 10) as client:
            client.send(request(headers={"Accept-Encoding": "gzip"}))
            head = client.read(body=False)
            time.sleep(0.5)
            self.assertLess(sum(sent), total // 2, "the backend was not stopped")
            decoder, length = codings.Gzip(), 0
            while data := next_chunk(client, head):
                length += len(decoder.decode(data))
        self.assertEqual(length, total)
        self.assertTrue(decoder.complete)
        self.assertLess(daemon.rss() - before, 16 << 20)

    def test_broken_off_does_not_look_complete(self):
        for framing, rest in (("Content-Length: 100000", b""), ("Transfer-Encoding: chunked", b"zz")):
            def reply(message, connection):
                connection.send(f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{framing}\r\n\r\n".encode())
                connection.send(b"4000\r\n" + TEXT[:0x4000] + b"\r\n" + rest if "chunked" in framing else TEXT[:0x4000])
                connection.close()
                return None
            daemon = self.weir(compressing(self.origin(reply)))
            for version in ("1.1", "1.0"):
                with self.subTest(framing=framing, version=version), daemon.client() as client:
                    client.send(request(headers=BOTH, version=version))
                    try:
                        answer = client.read()
                        self.assertEqual(answer.status, 502)  # nothing was sent yet
                    except Incomplete as error:
                        self.assertTrue(error.reset)
        nothing_is_held(daemon)

    def test_client_goes_away(self):
        going = threading.Event()
        def reply(message, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(TEXT, last=False))
            going.wait(20)
            return None
        daemon = self.weir(compressing(self.origin(reply)))
        with daemon.client() as client:
            client.send(request(headers=BOTH))
            client.read(body=False)
            self.assertGreater(daemon.metrics().sum("weir_compression_memory_bytes"), 0)
        nothing_is_held(daemon)
        going.set()


class Streams(WeirTest):
    def stream(self, kind, coding, chosen, pieces=10):
        seen = threading.Semaphore(0)
        def reply(message, connection):
            connection.send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            for i in range(pieces):
                connection.send(chunked(b"data: %d\n\n" % i, last=False))
                if not seen.acquire(timeout=20):
                    return None
            return b"0\r\n\r\n"
        daemon = self.weir(compressing(self.origin(reply)))
        with daemon.client() as client:
            client.send(request("GET", "/events", {"Accept-Encoding": coding}))
            head = client.read(body=False)
            self.assertEqual(head.header("content-encoding"), chosen)
            decoder, plain = codings.DECODERS[chosen](), b""
            for i in range(pieces):
                while b"data: %d\n\n" % i not in plain:
                    plain += decoder.decode(next_chunk(client, head))
                seen.release()

    def test_events_arrive_one_by_one(self):
        self.stream("text/event-stream", "gzip, br", "gzip")  # the small encoder, for what lasts
        self.stream("text/event-stream;charset=utf-8", "br", "br")

    def test_other_streams_are_not_held_back_for_long(self):
        self.stream("application/x-ndjson", "br, gzip", "br", 4)
        self.stream("text/html", "gzip", "gzip", 4)


class Bounds(WeirTest):
    def test_memory(self):
        """4 MiB hold one encoder for brotli, and one for gzip; then nothing more is compressed."""
        going = threading.Event()
        def reply(message, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 100, last=False))
            going.wait(30)
            return b"0\r\n\r\n"
        daemon = self.weir(compressing(self.origin(reply), compress={"cpu": "100%", "memory": "4MiB"}))
        clients = [self.client(daemon) for _ in range(4)]
        got = []
        for client in clients:
            client.send(request(headers=BOTH))
            got.append(client.read(body=False).header("content-encoding"))
        self.assertEqual(got, ["br", "gzip", None, None])
        metrics = daemon.metrics()
        self.assertLessEqual(metrics.sum("weir_compression_memory_bytes"), 4 << 20)
        self.assertEqual(metrics.sum("weir_compression_skipped_total", reason="memory"), 2)
        going.set()

    def test_cpu(self):
        """With 1 % of a worker's time, most of many responses go out as they are; all are right."""
        body = TEXT[:200_000]
        daemon = self.weir(compressing(self.origin(text(body)), {"level": 6}, compress={"cpu": "1%"}))
        codings_seen = []
        with daemon.client() as client:
            for _ in range(12):
                client.send(request(headers=BOTH))
                answer = client.read()
                codings_seen.append(answer.header("content-encoding"))
                self.assertEqual(answer.header("vary"), "Accept-Encoding")
                self.assertTrue(decode(answer) == body)
        self.assertEqual(codings_seen[0], "br")
        self.assertGreater(codings_seen.count(None), 0)
        self.assertEqual(codings_seen.count(None), daemon.metrics().sum("weir_compression_skipped_total", reason="cpu"))

    def test_long_responses_share_the_time(self):
        """Those under way wait for their share, one after the other, and end whole."""
        daemon = self.weir(compressing(self.origin(text()), compress={"cpu": "10%"}))
        clients = [self.client(daemon) for _ in range(3)]
        began = time.monotonic()
        for client in clients:
            client.send(request(headers=BOTH))
        for client in clients:
            self.assertTrue(decode(client.read()) == TEXT)
        took = time.monotonic() - began
        self.assertLess(daemon.metrics().sum("weir_compression_seconds_total"), took / 3)

    def test_reload(self):
        origin = self.origin(text())
        daemon = self.weir(compressing(origin))
        self.assertEqual(daemon.get(headers=BOTH).header("content-encoding"), "br")
        daemon.reload(compressing(origin, {"algorithms": "gzip"}))
        self.assertEqual(daemon.get(headers=BOTH).header("content-encoding"), "gzip")
        daemon.reload(compressing(origin, False))
        self.assertIsNone(daemon.get(headers=BOTH).header("content-encoding"))
