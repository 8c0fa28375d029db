"""What backends that speak HTTP/2 do not take: a request that is refused goes again whole, or not at all; others go over more connections."""
import itertools
import struct
import threading

import h2origin
from h2origin import frame
from harness import chunked, request, wait_until
from test_http2_backends import Http2Test

BODY = b"".join(b"%09d\n" % i for i in range(20_000))  # 200,000 bytes, no part of which looks like another


class Refusing:
    """A handler (`early`) that refuses the first request when `after` bytes of its body have come, and stores the bodies of the others."""

    def __init__(self, how, after):
        self.how, self.after = how, after
        self.first, self.stored = None, []

    def __call__(self, r):
        if self.first is None:
            self.first = r
            wait_until(lambda: len(r.body) >= self.after, what="a part of the body")
            if self.how == "goaway":
                r.connection.goaway(r.stream - 2 if r.stream > 1 else 0)
            else:
                r.rst(h2origin.REFUSED)
            return
        wait_until(lambda: r.complete, what="the rest of the body")
        self.stored.append(bytes(r.body))
        r.answer(b"stored")


class Refused(Http2Test):
    def refusing(self, how, after, **more):
        handler = Refusing(how, after)
        origin = self.h2(handler, early=True, threads=True, **more)
        return handler, self.serve([origin], pool={"retry": {"attempts": 3}})

    def send_slowly(self, client, handler, head):
        """100,000 bytes in chunks; each is sent when the backend has the one before it."""
        client.send(head)
        for at in range(0, 100_000, 20_000):
            client.send(chunked(BODY[at:at + 20_000], last=False))
            wait_until(lambda at=at: handler.first and len(handler.first.body) >= at + 20_000, what="the piece at the backend")

    def test_what_is_no_longer_held_is_not_sent_again(self):
        for how, method, after, length in itertools.product(("goaway", "refused"), ("POST", "PUT"), (100_000, len(BODY)), (True, False)):
            with self.subTest(how, method=method, after=after, length=length):
                handler, daemon = self.refusing(how, after)
                client = self.client(daemon)
                if length:
                    client.send(request(method, "/", [("Content-Length", str(len(BODY)))]) + BODY)
                else:
                    client.send(request(method, "/", [("Transfer-Encoding", "chunked")]) + chunked(*(BODY[i:i + 7001] for i in range(0, len(BODY), 7001))))
                self.assertEqual(client.read(method).status, 502)
                line = daemon.wait_log(lambda r: r["status"] == 502)
                self.assertEqual((line["cause"], line["attempts"]), ("upstream_reset", 1))
                self.assertEqual(handler.stored, [])

    def test_a_slow_upload_that_is_refused_halfway(self):
        for how in ("goaway", "refused"):
            with self.subTest(how):
                handler, daemon = self.refusing(how, 100_000)
                client = self.client(daemon)
                self.send_slowly(client, handler, request("POST", "/", [("Transfer-Encoding", "chunked")]))
                self.assertEqual(client.read("POST").status, 502)
                self.assertEqual(handler.stored, [])

    def test_calls_of_grpc(self):
        for how in ("goaway", "refused"):
            with self.subTest(how):
                handler, daemon = self.refusing(how, 100_000)
                client = self.client(daemon)
                head = request("POST", "/a.B/C", [("Content-Type", "application/grpc"), ("TE", "trailers"), ("Transfer-Encoding", "chunked")])
                self.send_slowly(client, handler, head)
                self.assertEqual(client.read("POST").header("grpc-status"), "14")  # UNAVAILABLE
                self.assertEqual(daemon.wait_log(lambda r: r["target"] == "/a.B/C")["cause"], "upstream_reset")
                self.assertEqual(handler.stored, [])

    def test_what_is_held_goes_again_whole(self):
        for how, after, length in itertools.product(("goaway", "refused"), (0, 1, 60_000), (True, False)):
            with self.subTest(how, after=after, length=length):
                handler, daemon = self.refusing(how, after)
                client = self.client(daemon)
                body = BODY[:60_000]
                if length:
                    client.send(request("POST", "/", [("Content-Length", "60000")]) + body)
                else:
                    client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]) + chunked(body[:30_000], body[30_000:]))
                self.assertEqual(client.read("POST").status, 200)
                self.assertEqual(handler.stored, [body])

    def test_a_large_one_that_has_not_begun_to_go_out(self):
        """The backend gives no window for the first request: all that has come of the body, more than is kept, still waits here."""
        for how in ("goaway", "refused"):
            with self.subTest(how):
                handler = Refusing(how, 0)

                def first_waits(r, handler=handler):
                    if handler.first is None:
                        wait_until(lambda: daemon.metrics().sum("weir_memory_buffer_bytes") > 70_000, what="a body that waits")
                    else:
                        r.connection.send(frame(h2origin.WINDOW, 0, r.stream, struct.pack(">I", len(BODY))))
                    handler(r)
                origin = self.h2(first_waits, early=True, threads=True, settings={h2origin.INITIAL_WINDOW: 0})
                daemon = self.serve([origin])
                client = self.client(daemon)
                client.send(request("POST", "/", [("Content-Length", str(len(BODY)))]) + BODY)
                self.assertEqual(client.read("POST").status, 200)
                self.assertEqual(handler.first.body, b"")
                self.assertEqual(handler.stored, [BODY])

    def test_a_large_one_that_waits_for_100_continue(self):
        for how in ("goaway", "refused"):
            with self.subTest(how):
                handler, daemon = self.refusing(how, 0)
                client = self.client(daemon)
                client.send(request("POST", "/", [("Content-Length", str(len(BODY))), ("Expect", "100-continue")]))
                wait_until(lambda: handler.first, what="the request")
                client.send(BODY)
                self.assertEqual(client.read("POST").status, 200)
                self.assertEqual(handler.stored, [BODY])


class Ejection(Http2Test):
    """Uploads that are too large to be sent again, and refused: what that says of the backend."""

    REFUSE = {"goaway": lambda r: r.connection.goaway(0), "refused": lambda r: r.rst(h2origin.REFUSED)}

    def upload(self, daemon, path="/"):
        client = self.client(daemon)
        client.send(request("POST", path, [("Content-Length", str(len(BODY)))]) + BODY[:100_000])
        return client

    def failures(self, daemon):
        return daemon.metrics().sum("weir_backend_failures_total")

    def test_a_backend_that_restarts(self):
        """It refuses all that is under way, and whoever serves in its place answers."""
        for how, refuse in self.REFUSE.items():
            with self.subTest(how):
                all_here = threading.Event()

                def handler(r, refuse=refuse, all_here=all_here):
                    if r.header(":path") != "/under-way":
                        return r.answer(b"ok")
                    all_here.wait(30)
                    refuse(r)
                origin = self.h2(handler, early=True, threads=True)
                daemon = self.serve([origin], pool={"eject": {"after": 1, "at_most": "100%"}})
                for _ in range(2):
                    clients = [self.upload(daemon, "/under-way") for _ in range(10)]
                    wait_until(lambda: sum(len(r.body) == 100_000 for r in origin.requests) == 10, what="the uploads")
                    all_here.set()
                    for client in clients:
                        self.assertEqual(client.read("POST").status, 502)
                    all_here.clear()
                    origin.requests.clear()
                    self.assertEqual(daemon.get("/").text, "ok")
                self.assertEqual(self.failures(daemon), 0)
                self.assertEqual(daemon.backend("b1")["ejections"], 0)

    def test_a_backend_that_refuses_everything(self):
        for how, refuse in self.REFUSE.items():
            with self.subTest(how):
                def handler(r, refuse=refuse):
                    wait_until(lambda: len(r.body) == 100_000, what="a part of the upload")
                    refuse(r)
                daemon = self.serve([self.h2(handler, early=True, threads=True)], pool={"eject": {"after": 3, "at_most": "100%"}})
                for count in range(4):
                    self.assertEqual(self.upload(daemon).read("POST").status, 502)
                    self.assertEqual(self.failures(daemon), count)  # the first of them is none
                daemon.wait_event("backend_ejected", backend="b1")

    def test_a_request_that_is_refused_twice(self):
        """Whatever it answers to others between."""
        refused = []

        def handler(r):
            if r.header(":path") == "/":
                return r.answer(b"ok")
            refused.append(r)
            if len(refused) == 2:
                self.assertEqual(daemon.get("/").text, "ok")
            r.rst(h2origin.REFUSED)
        daemon = self.serve([self.h2(handler, threads=True)])
        self.assertEqual(daemon.get("/refused").status, 502)
        self.assertEqual(len(refused), 2)
        self.assertEqual(self.failures(daemon), 1)


class Stalls(Http2Test):
    """A backend that gives back the window of what it reads, and never reads what comes for /stuck."""

    def serve_stuck(self):
        def handler(r):
            seen = 0
            while not r.complete:
                if r.header(":path") != "/stuck" and len(r.body) > seen:
                    update = struct.pack(">I", len(r.body) - seen)
                    seen = len(r.body)
                    r.connection.send(frame(h2origin.WINDOW, 0, 0, update) + frame(h2origin.WINDOW, 0, r.stream, update))
                if r.connection.ended.wait(0.002):
                    return
            r.answer(b"%d" % len(r.body))
        origin = self.h2(handler, early=True, threads=True, open_windows=False, settings={h2origin.INITIAL_WINDOW: 1 << 20})
        return origin, self.serve([origin], pool={"retry": False})

    def send_stuck(self, daemon, origin, size):
        client = self.client(daemon)
        count = len(origin.requests) + 1
        client.send(request("POST", "/stuck", [("Content-Length", "1000000")]) + bytes(size))
        wait_until(lambda: len(origin.requests) == count, what="the upload")
        return origin.requests[-1]

    def test_an_upload_that_is_not_read_stalls_no_other(self):
        for size in (80_000, 50_000):  # all of the connection's 65,535 bytes, and most of them
            with self.subTest(size):
                origin, daemon = self.serve_stuck()
                stuck = self.send_stuck(daemon, origin, size)
                wait_until(lambda: len(stuck.body) == min(size, 65_535), what="as much as the window takes")
                for length in (20_000, 200_000):
                    self.assertEqual(daemon.fetch("/", "POST", body=bytes(length)).body, b"%d" % length)
                self.assertEqual(len(origin.connections), 2)
                self.assertEqual(daemon.get("/").text, "0")
                self.assertIs(origin.requests[-1].connection, origin.connections[0])  # without a body there is nothing to wait for

    def test_there_is_a_bound_on_connections_that_are_passed_over(self):
        origin, daemon = self.serve_stuck()
        for i in range(12):
            stuck = self.send_stuck(daemon, origin, 80_000)
            if i < 8:
                wait_until(lambda stuck=stuck: len(stuck.body) == 65_535, what="as much as the window takes")
        self.assertEqual(len(origin.connections), 8)
        self.assertEqual(daemon.get("/").text, "0")


class Limits(Http2Test):
    def test_requests_that_wait_for_a_greeting_know_the_last_limit(self):
        """All wait on the first connection, which then takes one: each of the others gets a connection of its own at once."""
        count = 20
        all_wait = threading.Event()

        def greet(connection):
            if connection is origin.connections[0]:
                all_wait.wait(30)
            else:
                wait_until(lambda: len(origin.connections) == count, what="a connection for each request")
            connection.greet({h2origin.MAX_STREAMS: 1})
        origin = self.h2(lambda r: r.answer(b"ok"), greet=greet)
        daemon = self.serve([origin], pool={"retry": False})
        clients = [self.client(daemon) for _ in range(count)]
        for client in clients:
            client.send(request())
        wait_until(lambda: daemon.metrics().sum("weir_pool_inflight") == count, what="all requests to wait")
        wait_until(lambda: origin.connections, what="the connection on which they wait")
        self.assertEqual(len(origin.connections), 1)
        all_wait.set()
        for client in clients:
            self.assertEqual(client.read().status, 200)

    def test_connections_that_take_no_more_requests_end(self):
        def handler(r):
            r.connection.greet({h2origin.MAX_STREAMS: 0})
            r.answer(b"ok")
        origin = self.h2(handler)
        daemon = self.serve([origin])
        with daemon.client() as client:
            for _ in range(5):
                self.assertEqual(client.get("/").text, "ok")
        wait_until(lambda: all(c.ended.is_set() for c in origin.connections), what="the connections to end")
        self.assertEqual(len(origin.connections), 5)

    def test_a_limit_that_rises_again(self):
        origin = self.h2(lambda r: r.answer(b"ok"), greet=lambda c: c.greet({h2origin.MAX_STREAMS: 1 if len(origin.connections) == 1 else 50}))
        daemon = self.serve([origin])
        with daemon.client() as client:
            self.assertEqual(client.get("/").text, "ok")
            origin.connections[0].goaway(1)
            wait_until(lambda: origin.connections[0].ended.is_set(), what="the first connection to end")
            self.assertEqual(client.get("/").text, "ok")
        gate = threading.Event()
        origin.handler = lambda r: (gate.wait(60), r.answer(b"ok"))
        origin.threads = True
        clients = [self.client(daemon) for _ in range(40)]
        for client in clients:
            client.send(request())
        wait_until(lambda: len(origin.requests) == 42, what="all requests")
        self.assertEqual(len(origin.connections), 2)
        gate.set()
        for client in clients:
            self.assertEqual(client.read().status, 200)
