"""Tracing: what the application and a collector of OpenTelemetry get (docs/tracing.md)."""
import re
import signal
import socket
import time

from harness import WeirTest, config, echo, load, request, response, wait_until
from otlp import CLIENT, SERVER, Receiver

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


class TracingTest(WeirTest):
    def receiver(self, answers=()):
        receiver = Receiver(answers)
        self.addCleanup(receiver.close)
        return receiver

    def start(self, origins, receiver=None, *, tracing=None, **more):
        url = receiver.url if receiver else "http://127.0.0.1:9"
        return self.weir(config(origins, tracing={"otlp": url, **(tracing or {})}, **more))

    def spans(self, receiver, trace, count):
        wait_until(lambda: len(receiver.of(trace)) >= count, what=f"{count} spans of {trace}; there are {receiver.spans}")
        found = receiver.of(trace)
        self.assertEqual(len(found), count, found)
        return found

    def parent_seen(self, origin):
        """The traceparent of the origin's last request, taken apart: trace, parent, flags."""
        lines = origin.requests[-1].all("traceparent")
        self.assertEqual(len(lines), 1, origin.requests[-1].raw_head)
        match = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])", lines[0])
        self.assertTrue(match, lines[0])
        return match.groups()

    def count(self, daemon, result):
        return daemon.metrics().sum("weir_tracing_spans_total", result=result)


class Propagation(TracingTest):
    def test_a_trace_that_begins_here(self):
        receiver, origin = self.receiver(), self.origin(echo)
        daemon = self.start([origin], receiver, tracing={"sample": "100%", "service": "shop"})
        self.assertEqual(daemon.get("/cart?id=7", {"User-Agent": "curl/8", "tracestate": "a=b"}, host="www.example.com:8443").status, 200)
        trace, parent, flags = self.parent_seen(origin)
        self.assertEqual(flags, "01")
        self.assertEqual(origin.requests[-1].header("x-request-id"), trace)  # one id for both
        self.assertFalse(origin.requests[-1].has("tracestate"))  # it belongs to no traceparent
        server, client = self.spans(receiver, trace, 2)
        self.assertEqual((server.kind, client.kind), (SERVER, CLIENT))
        self.assertEqual((server.parent, client.parent, client.id), ("", server.id, parent))
        self.assertEqual((server.name, server.status, server.flags), ("GET default", 0, 0x101))
        self.assertEqual(server.resource["service.name"], "shop")
        expected = {"http.request.method": "GET", "url.path": "/cart", "url.scheme": "http", "server.address": "www.example.com", "server.port": 8443,
                    "http.response.status_code": 200, "client.address": "127.0.0.1", "user_agent.original": "curl/8", "weir.pool": "app",
                    "weir.backend": "b1", "weir.route": "default", "weir.listener": "web", "weir.attempts": 1, "weir.cause": None, "error.type": None,
                    "weir.request_id": trace, "network.protocol.version": "1.1", "url.query": None}
        self.assertEqual({key: server[key] for key in expected}, expected)
        expected = {"http.request.method": "GET", "server.address": "127.0.0.1", "server.port": int(origin.address.rpartition(":")[2]),
                    "http.response.status_code": 200, "weir.pool": "app", "weir.backend": "b1", "http.request.resend_count": None}
        self.assertEqual({key: client[key] for key in expected}, expected)
        self.assertLessEqual(server.start, client.start)
        self.assertLessEqual(client.end, server.end)
        record = daemon.wait_log(lambda r: r["target"] == "/cart?id=7")
        self.assertEqual(record["trace_id"], trace)
        wait_until(lambda: self.count(daemon, "exported") == 2)
        self.assertEqual((self.count(daemon, "dropped"), self.count(daemon, "failed")), (0, 0))

    def test_a_trace_that_comes_with_the_request(self):
        receiver, origin = self.receiver(), self.origin(echo)
        daemon = self.start([origin], receiver, tracing={"sample": "0%"})
        state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
        daemon.get("/", {"traceparent": SAMPLED, "tracestate": state})
        trace, parent, flags = self.parent_seen(origin)
        self.assertEqual((trace, flags, origin.requests[-1].all("tracestate")), (TRACE, "01", [state]))
        self.assertNotEqual(parent, PARENT)
        server, client = self.spans(receiver, TRACE, 2)
        self.assertEqual((server.parent, client.parent, client.id), (PARENT, server.id, parent))
        self.assertEqual((server.state, server.flags), (state, 0x301))
        self.assertNotEqual(origin.requests[-1].header("x-request-id"), TRACE)
        # Not sampled by whoever began it: passed on, not recorded.
        daemon.get("/no", {"traceparent": NOT_SAMPLED})
        self.assertEqual(self.parent_seen(origin)[::2], (TRACE, "00"))
        self.assertEqual(daemon.wait_log(lambda r: r["target"] == "/no")["trace_id"], TRACE)
        daemon.get("/none")
        trace, _, flags = self.parent_seen(origin)
        self.assertEqual(flags, "00")
        daemon.get("/last", {"traceparent": SAMPLED})
        self.spans(receiver, TRACE, 4)
        self.assertEqual(receiver.count(), 4)

    def test_what_is_invalid_begins_anew(self):
        origin = self.origin(echo)
        daemon = self.start([origin], tracing={"sample": "0%"})
        for bad in (f"00-{TRACE}-{PARENT}", f"00-{TRACE.upper()}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01",
                    f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{PARENT}-01-more", "", "00-x"):
            daemon.get("/", {"traceparent": bad, "tracestate": "a=b"})
            trace, _, flags = self.parent_seen(origin)
            self.assertNotEqual(trace, TRACE, bad)
            self.assertEqual(flags, "00", bad)
            self.assertFalse(origin.requests[-1].has("tracestate"), bad)
        with daemon.client() as client:
            client.send(request(headers=[("traceparent", SAMPLED), ("traceparent", SAMPLED)]))
            client.read()
        self.assertNotEqual(self.parent_seen(origin)[0], TRACE)
        # The state alone is broken: then only that is dropped.
        daemon.get("/", {"traceparent": NOT_SAMPLED, "tracestate": "foo=1,Bad Key=2"})
        self.assertEqual(self.parent_seen(origin)[0], TRACE)
        self.assertFalse(origin.requests[-1].has("tracestate"))
        daemon.get("/", {"traceparent": f"cc-{TRACE}-{PARENT}-00-what-the-future-brings"})
        self.assertEqual(self.parent_seen(origin)[0], TRACE)

    def test_trusted_proxies_alone(self):
        origin = self.origin(echo)
        stranger = self.start([origin], tracing={"sample": "0%", "trust": "trusted_proxies"})
        stranger.get("/", {"traceparent": SAMPLED, "tracestate": "a=b"})
        trace, _, flags = self.parent_seen(origin)
        self.assertNotEqual(trace, TRACE)
        self.assertEqual(flags, "00")
        self.assertFalse(origin.requests[-1].has("tracestate"))
        peer = self.start([origin], tracing={"sample": "0%", "trust": "trusted_proxies"}, trusted_proxies=["127.0.0.0/8"])
        peer.get("/", {"traceparent": NOT_SAMPLED, "tracestate": "a=b", "X-Request-Id": "theirs"})
        self.assertEqual(self.parent_seen(origin)[0], TRACE)
        self.assertEqual(origin.requests[-1].header("tracestate"), "a=b")
        # A new trace beside somebody else's request id.
        peer.get("/", {"X-Request-Id": "theirs"})
        self.assertNotEqual(self.parent_seen(origin)[0], "theirs")

    def test_without_tracing_the_fields_are_passed_on(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        daemon.get("/", {"traceparent": SAMPLED, "tracestate": "a=b"})
        self.assertEqual((origin.requests[-1].all("traceparent"), origin.requests[-1].all("tracestate")), ([SAMPLED], ["a=b"]))
        self.assertNotIn("trace_id", daemon.wait_log(lambda r: True))

    def test_the_share_that_is_sampled(self):
        origin = self.origin(echo)
        daemon = self.start([origin], tracing={"sample": "25%"})
        with daemon.client() as client:
            for _ in range(2000):
                client.get("/")
        flags = [r.header("traceparent")[-2:] for r in origin.requests]
        sampled = flags.count("01") / len(flags)
        self.assertTrue(0.2 < sampled < 0.3, sampled)  # five standard deviations
        self.assertEqual(len({r.header("traceparent") for r in origin.requests}), 2000)

    def test_a_service_that_is_asked_gets_the_trace(self):
        service, origin = self.origin(lambda m, c: response(200)), self.origin(echo)
        daemon = self.weir(config(pools={"app": {"backends": {"a": origin.url}}, "sso": {"backends": {"s": service.url}}},
                                  routes=[{"pool": "app", "auth": {"forward": {"pool": "sso"}}}], tracing={"otlp": "http://127.0.0.1:9"}))
        daemon.get("/", {"traceparent": SAMPLED, "tracestate": "a=b"})
        asked, seen = self.parent_seen(service), self.parent_seen(origin)
        self.assertEqual((asked[0], seen[0]), (TRACE, TRACE))
        self.assertNotEqual(asked[1], seen[1])
        self.assertEqual(service.requests[-1].header("tracestate"), "a=b")

    def test_rules_of_the_route_stand(self):
        origin = self.origin(echo)
        daemon = self.start([origin], routes=[{"pool": "app", "request_headers": {"remove": ["traceparent"]}}])
        daemon.get("/")
        self.assertFalse(origin.requests[-1].has("traceparent"))


class Spans(TracingTest):
    def test_attempts_are_spans(self):
        receiver = self.receiver()
        down, up = self.origin(start=False), self.origin(echo)
        daemon = self.start([down, up], receiver, tracing={"sample": "100%"}, pool={"balance": "round_robin", "eject": False})
        for i in range(2):
            self.assertEqual(daemon.get(f"/{i}").status, 200)
        record = daemon.wait_log(lambda r: r["attempts"] == 2)
        server, first, second = self.spans(receiver, record["trace_id"], 3)
        self.assertEqual([s["weir.backend"] for s in (server, first, second)], ["b2", "b1", "b2"])
        self.assertEqual((first.status, first["error.type"], first["http.response.status_code"]), (2, "connect_refused", None))
        self.assertEqual((second.status, second["http.response.status_code"], second["http.request.resend_count"]), (0, 200, 1))
        self.assertEqual((server.status, server["weir.attempts"]), (0, 2))
        self.assertEqual({first.parent, second.parent}, {server.id})
        self.assertEqual(self.parent_seen(up)[1] in (first.id, second.id) or up.count() == 2, True)
        seen = next(r for r in up.requests if r.header("traceparent").split("-")[1] == record["trace_id"])
        self.assertEqual(seen.header("traceparent").split("-")[2], second.id)
        code, out, _ = daemon.command("why", record["trace_id"])
        self.assertEqual(code, 0)
        self.assertIn(f"\ntrace {record['trace_id']}\n", out)

    def test_failures_say_why(self):
        receiver = self.receiver()
        daemon = self.start([self.origin(start=False)], receiver, tracing={"sample": "100%"}, pool={"retry": False},
                            routes=[{"match": {"path": "/app"}, "pool": "app"}, {"match": {"path": "/moved"}, "redirect": {"path": "/app"}}])
        expected = {"/app": (502, "connect_refused", 2, "connect_refused", 1), "/none": (404, "no_route", 0, None, 0),
                    "/moved": (302, "redirect", 0, None, 0)}
        for target, (status, cause, state, error, attempts) in expected.items():
            self.assertEqual(daemon.get(target).status, status)
            trace = daemon.wait_log(lambda r, t=target: r["target"] == t)["trace_id"]
            server = self.spans(receiver, trace, 1 + attempts)[0]
            self.assertEqual((server["http.response.status_code"], server["weir.cause"], server.status, server["error.type"], server["weir.attempts"]),
                             (status, cause, state, error, attempts), target)
        with daemon.client() as client:
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            client.read()
        trace = daemon.wait_log(lambda r: r["cause"] == "bad_request")["trace_id"]
        self.assertEqual(self.spans(receiver, trace, 1)[0]["http.response.status_code"], 400)

    def test_a_client_that_does_not_wait(self):
        receiver, origin = self.receiver(), self.origin(lambda m, c: c.stall(20) and None)
        daemon = self.start([origin], receiver, tracing={"sample": "100%"})
        client = daemon.client()
        client.send(request())
        wait_until(lambda: daemon.backend("b1")["inflight"] == 1)
        client.reset()
        trace = daemon.wait_log(lambda r: r["status"] == 499)["trace_id"]
        server, attempt = self.spans(receiver, trace, 2)
        self.assertEqual((server["http.response.status_code"], server["error.type"], server.status), (None, "client_gone", 0))
        self.assertEqual(attempt["error.type"], "client_gone")

    def test_strange_bytes(self):
        receiver = self.receiver()
        daemon = self.start([self.origin(echo)], receiver, tracing={"sample": "100%"})
        with daemon.client() as client:
            client.send(b'BREW /a%22b?secret=1 HTTP/1.1\r\nHost: h\r\nUser-Agent: \x9b\xff"\\\xc3\xa9' + b"x" * 5000 + b"\r\n\r\n")
            self.assertEqual(client.read("BREW").status, 200)
        trace = daemon.wait_log(lambda r: True)["trace_id"]
        server = self.spans(receiver, trace, 2)[0]
        self.assertEqual(server["user_agent.original"], '\\x9b\\xff"\\é' + "x" * (1024 - 6))
        self.assertEqual((server.name, server["http.request.method"], server["http.request.method_original"]), ("HTTP default", "_OTHER", "BREW"))
        self.assertEqual(server["url.path"], "/a%22b")

    def test_many_requests_of_many_workers(self):
        receiver = self.receiver()
        daemon = self.start([self.origin(echo, record=False)], receiver, tracing={"sample": "100%", "queue": 100000}, workers=3)
        with daemon.client() as client:
            for _ in range(1500):
                client.get("/")
        wait_until(lambda: receiver.count() == 3000, timeout=50)
        wait_until(lambda: self.count(daemon, "exported") == 3000)
        self.assertEqual(len({s.trace for s in receiver.spans}), 1500)

    def test_the_end_sends_what_is_there(self):
        receiver = self.receiver()
        daemon = self.start([self.origin(echo)], receiver, tracing={"sample": "100%"})
        for _ in range(5):
            daemon.get("/")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait_exit(), 0)
        self.assertEqual(receiver.count(), 10)

    def test_a_reload_changes_the_collector(self):
        first, second, origin = self.receiver(), self.receiver(), self.origin(echo)
        daemon = self.start([origin], first, tracing={"sample": "100%"})
        daemon.get("/1")
        daemon.reload(config([origin], tracing={"otlp": second.url, "sample": "100%"}))
        wait_until(lambda: first.count() == 2)
        daemon.get("/2")
        wait_until(lambda: second.count() == 2)
        daemon.reload(config([origin]))
        daemon.get("/3", {"traceparent": SAMPLED})
        self.assertEqual(origin.requests[-1].all("traceparent"), [SAMPLED])
        self.assertEqual((first.count(), second.count()), (2, 2))
        wait_until(lambda: self.count(daemon, "exported") == 4)


class Collectors(TracingTest):
    """Whatever the collector does, requests are served."""

    def serve(self, daemon, count=30):
        with daemon.client() as client:
            for _ in range(count):
                self.assertEqual(client.get("/").status, 200)

    def test_dead(self):
        with socket.socket() as reserved:  # bound, not listening: nobody else gets the port
            reserved.bind(("127.0.0.1", 0))
            url = "http://127.0.0.1:%d" % reserved.getsockname()[1]
            daemon = self.weir(config([self.origin(echo)], tracing={"otlp": url, "sample": "100%", "queue": 64}))
            self.serve(daemon, 300)
            event = daemon.wait_event("tracing_export_failed")
            self.assertEqual(event.reason, "Connection refused")
            wait_until(lambda: self.count(daemon, "dropped") > 0)
            wait_until(lambda: self.count(daemon, "failed") > 0)
            self.serve(daemon)
            self.assertEqual(self.count(daemon, "exported"), 0)
            began = time.monotonic()
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait_exit(), 0)
            self.assertLess(time.monotonic() - began, 15)

    def test_slow(self):
        receiver = self.receiver([30])
        daemon = self.start([self.origin(echo)], receiver, tracing={"sample": "100%", "timeout": "300ms"})
        self.serve(daemon)
        event = daemon.wait_event("tracing_export_failed")
        self.assertEqual(event.reason, "no answer in time")
        daemon.wait_event("tracing_export_works")
        wait_until(lambda: self.count(daemon, "exported") == 60)
        self.assertEqual(self.count(daemon, "failed"), 0)

    def test_one_that_never_answers_does_not_delay_the_end(self):
        receiver = self.receiver([60] * 20)
        daemon = self.start([self.origin(echo)], receiver, tracing={"sample": "100%", "timeout": "60s"})
        self.serve(daemon)
        wait_until(lambda: receiver.posts)
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait_exit(), 0)
        self.assertLess(time.monotonic() - began, 20)

    def test_busy_with_retry_after(self):
        for status in (429, 503):
            receiver = self.receiver([(status, {"Retry-After": "1"}, b"busy")])
            daemon = self.start([self.origin(echo)], receiver, tracing={"sample": "100%"})
            self.serve(daemon, 5)
            wait_until(lambda: receiver.count() == 10)
            self.assertGreaterEqual(receiver.posts[1][0] - receiver.posts[0][0], 0.99)
            self.assertEqual(daemon.wait_event("tracing_export_failed").reason, f"status {status}")
            metrics = daemon.metrics()
            self.assertEqual(metrics.sum("weir_tracing_posts_total", result="failed"), 1)
            self.assertEqual(metrics.sum("weir_tracing_spans_total", result="failed"), 0)

    def test_one_that_refuses_is_not_asked_again(self):
        receiver = self.receiver([(400, {}, b"{}")])
        daemon = self.start([self.origin(echo)], receiver, tracing={"sample": "100%"})
        daemon.get("/")
        wait_until(lambda: self.count(daemon, "failed") == 2)
        daemon.get("/")
        wait_until(lambda: receiver.count() == 2)
        self.assertEqual(len(receiver.posts), 2)

    def test_one_that_rejects_some(self):
        receiver = self.receiver([(200, {"Content-Type": "application/json"}, b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"no"}}')])
        daemon = self.start([self.origin(echo)], receiver, tracing={"sample": "100%"})
        daemon.get("/")
        wait_until(lambda: (self.count(daemon, "failed"), self.count(daemon, "exported")) == (1, 1))

    def test_garbage(self):
        receiver = self.receiver([b"HELLO\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", b"\x00" * 1000])
        daemon = self.start([self.origin(echo)], receiver, tracing={"sample": "100%"})
        daemon.get("/")
        self.assertEqual(daemon.wait_event("tracing_export_failed").reason, "the answer is no HTTP/1.1")
        wait_until(lambda: receiver.count() == 2)
        self.assertEqual(len(receiver.posts), 4)
        self.assertEqual(self.count(daemon, "failed"), 0)

    def test_tries_are_bounded(self):
        receiver = self.receiver([(503, {}, b"")] * 5)
        daemon = self.start([self.origin(echo)], receiver, tracing={"sample": "100%"})
        daemon.get("/")
        wait_until(lambda: self.count(daemon, "failed") == 2)
        self.assertEqual(len(receiver.posts), 5)
        daemon.get("/")
        wait_until(lambda: receiver.count() == 2)

    def test_a_slow_collector_does_not_slow_requests(self):
        receiver = self.receiver([30] * 50)
        daemon = self.start([self.origin(echo, record=False)], receiver, tracing={"sample": "100%", "queue": 64, "timeout": "10s"}, workers=2)
        clients = load(daemon.address(), 4)
        wait_until(lambda: clients.done > 2000)
        self.assert_no_errors(clients.stop().errors)
        self.assertGreater(self.count(daemon, "dropped"), 0)
