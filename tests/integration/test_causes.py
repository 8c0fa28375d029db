"""Over twenty-five kinds of fault, each injected through the real daemon: the same cause stands in the access log, in the metric, in Proxy-Status
and in `weir why`; none is unknown, and no cause is counted that nobody injected."""
import base64
import json

from harness import BlackHole, SharedTest, Daemon, Origin, config, echo, request, response, wait_until

# bcrypt of "wonderland", cost 4
USERS = "alice:$2b$04$abcdefghijklmnopqrstuujZkTwHUiJ9XdZPwKfcfDo7dMp5DjlTu\n"


def backend(message, connection):
    """What a faulty backend does, by the last segment of the path."""
    kind = message.target.rpartition("/")[2]
    if kind == "close":
        return connection.close()
    if kind == "reset":
        return connection.reset()
    if kind == "garbage":
        return connection.send(b"HELLO\r\n\r\n")
    if kind == "wide":
        return connection.send(b"HTTP/1.1 200 OK\r\n" + b"X-Wide: " + b"w" * 70000 + b"\r\n\r\n")
    if kind == "two-lengths":
        return connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
    if kind == "half-chunk":
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc")
        return connection.reset()
    if kind == "half":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        return connection.close()
    if kind == "stands":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        return connection.stall(30) and None
    if kind in ("silent", "total", "gone", "held"):
        return connection.stall(30) and None
    return echo(message, connection)


class Fault:
    """`send(client)` provokes it on a connection of its own; `status` is the answer's (None: there is none, or only its beginning), `shown` the
    error type of Proxy-Status."""

    def __init__(self, cause, status, shown, send, logged=None, close=None):
        self.cause, self.status, self.shown, self.send, self.close = cause, status, shown, send, close
        self.logged = logged or status


def get(target, method="GET", headers=(), body=None, host="test.example"):
    return lambda client: client.send(request(method, target, headers, body, host))


def raw(data):
    return lambda client: client.send_all_possible(data)


def basic(password):
    return {"Authorization": "Basic " + base64.b64encode(f"alice:{password}".encode()).decode()}


BAD = "http_request_error"
LOST = "connection_terminated"
SLOW = "http_response_timeout"
FAULTS = {
    "two hosts": Fault("bad_request", 400, BAD, raw(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")),
    "a space before the colon": Fault("bad_request", 400, BAD, raw(b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n")),
    "two lengths": Fault("bad_framing", 400, BAD, raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")),
    "length and chunked": Fault("bad_framing", 400, BAD, raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")),
    "gzip as transfer coding": Fault("unsupported_transfer_coding", 501, BAD, raw(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")),
    "HTTP/3.0": Fault("version_not_supported", 505, BAD, raw(b"GET / HTTP/3.0\r\nHost: a\r\n\r\n")),
    "a long method": Fault("method_not_implemented", 501, BAD, raw(b"A" * 40 + b" / HTTP/1.1\r\nHost: a\r\n\r\n")),
    "a long target": Fault("uri_too_long", 414, BAD, raw(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")),
    "a wide head": Fault("header_too_large", 431, BAD, get("/", headers={"X-Wide": "w" * 20000})),
    "a head of many fields": Fault("header_too_large", 431, BAD, get("/", headers=[(f"X-{i}", "a") for i in range(60)])),
    "a large body": Fault("body_too_large", 413, BAD, get("/", "POST", body=b"x" * 70000)),
    "a head that does not end": Fault("header_timeout", 408, BAD, raw(b"GET / HTTP/1.1\r\nHo")),
    "expect": Fault("expectation_failed", 417, BAD, get("/", "POST", {"Expect": "200-ok"}, b"x")),
    "connect": Fault("method_not_allowed", 405, "http_request_denied", raw(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")),
    "trace": Fault("method_not_allowed", 405, "http_request_denied", get("/", "TRACE")),
    "a client that goes": Fault("client_gone", None, None, get("/faulty/gone"), 499, lambda client: client.reset()),
    "nowhere": Fault("no_route", 404, "destination_not_found", get("/", host="elsewhere.example")),
    "a stranger": Fault("address_denied", 403, "http_request_denied", get("/denied")),
    "too often": Fault("rate_limited", 429, "http_request_denied", lambda client: (client.get("/often"), client.send(request("GET", "/often")))),
    "no password": Fault("credentials_missing", 401, "http_request_denied", get("/users")),
    "a wrong password": Fault("credentials_wrong", 401, "http_request_denied", get("/users", headers=basic("wrong"))),
    "no answer of the auth service": Fault("auth_unavailable", 503, "destination_unavailable", get("/asked")),
    "a no of the auth service": Fault("auth_refused", 403, None, get("/refused")),
    "all disabled": Fault("no_backend", 503, "destination_unavailable", get("/empty")),
    "refused": Fault("connect_refused", 502, "connection_refused", get("/closed")),
    "a full accept queue": Fault("connect_timeout", 504, "connection_timeout", get("/hole")),
    "no such socket": Fault("connect_refused", 502, "connection_refused", get("/nosocket")),
    "no route there": Fault("connect_failed", 502, "destination_ip_unroutable", get("/unroutable")),
    "closed": Fault("upstream_closed", 502, LOST, get("/faulty/close")),
    "reset": Fault("upstream_reset", 502, LOST, get("/faulty/reset")),
    "garbage": Fault("upstream_bad_response", 502, "http_protocol_error", get("/faulty/garbage")),
    "an answer of two lengths": Fault("upstream_bad_response", 502, "http_protocol_error", get("/faulty/two-lengths")),
    "a wide answer": Fault("upstream_header_too_large", 502, "http_response_header_section_size", get("/faulty/wide")),
    "silence": Fault("response_timeout", 504, SLOW, get("/faulty/silent")),
    "a body that stands": Fault("idle_timeout", None, None, get("/faulty/stands"), 200),
    "more than total": Fault("total_timeout", 504, SLOW, get("/brief/total")),
    "half an answer": Fault("upstream_truncated", None, None, get("/faulty/half"), 200),
    "half a chunk": Fault("upstream_truncated", None, None, get("/faulty/half-chunk"), 200),
}


class Causes(SharedTest):
    timeout = 300

    @classmethod
    def setUpClass(cls):
        cls.faulty, cls.hole, cls.closed = Origin(backend), BlackHole(), Origin(start=False)
        cls.no, cls.broken = Origin(lambda m, c: response(403, b"no")), Origin(lambda m, c: response(500, b"x"))
        for origin in (cls.faulty, cls.hole, cls.closed, cls.no, cls.broken):
            cls.addClassCleanup(origin.close)
        one = {"retry": False, "eject": False, "health": False}
        def pool(url, **more):
            return {**one, "backends": {"b": url}, **more}
        def route(path, to, **more):
            return {"name": path.strip("/*"), "match": {"host": "test.example", "path": path}, "pool": to, **more}
        pools = {"faulty": pool(cls.faulty.url, timeout={"response": "600ms", "idle": "600ms"}), "brief": pool(cls.faulty.url, timeout={"connect": "400ms", "total": "500ms"}),
                 "closed": pool(cls.closed.url), "hole": pool(cls.hole.url, timeout={"connect": "500ms"}), "nosocket": pool("unix:/nonexistent/weir-test.sock"),
                 "unroutable": pool("http://224.0.0.1:9"),  # TCP to a multicast address: the kernel sends nothing
                 "empty": pool(cls.faulty.url), "no": pool(cls.no.url), "broken": pool(cls.broken.url)}
        cls.daemon = Daemon(config(pools=pools, routes=[
            route("/faulty/*", "faulty"), route("/brief/*", "brief"), route("/closed", "closed"), route("/hole", "hole"), route("/nosocket", "nosocket"), route("/unroutable", "unroutable"),
            route("/empty", "empty"), route("/denied", "faulty", deny=["127.0.0.0/8"]), route("/often", "faulty", rate_limit={"key": "client", "rate": "1/h", "burst": 1}),
            route("/users", "faulty", auth={"basic": "users"}), route("/asked", "faulty", auth={"forward": {"pool": "broken", "path": "/"}}),
            route("/refused", "faulty", auth={"forward": {"pool": "no", "path": "/"}}), route("/*", "faulty", name="rest")],
            limits={"header_bytes": "16KiB", "header_count": 50, "body_bytes": "64KiB"}, listener={"timeout": {"header": "500ms"}}), files={"users": USERS})
        cls.addClassCleanup(cls.daemon.stop)
        assert cls.daemon.command("disable", "empty/b")[0] == 0

    def counted(self):
        """Errors by cause."""
        found = {}
        for name, labels, value in self.daemon.metrics().samples:
            if name == "weir_request_errors_total" and value:
                found[labels["cause"]] = found.get(labels["cause"], 0) + int(value)
        return found

    def told(self, number):
        return json.loads(self.daemon.command("why", number, "--json")[1])["requests"]

    def provoke(self, fault):
        """The record that the fault left in the access log, and the answer if there was one."""
        before = len(self.daemon.access_log())
        with self.daemon.client() as client:
            fault.send(client)
            answer = None
            if fault.close:
                wait_until(lambda: sum(b["inflight"] for p in self.daemon.pools()["pools"] for b in p["backends"]))
                fault.close(client)
            elif fault.status:
                answer = client.read()
            else:
                client.read_to_end()
            record = wait_until(lambda: [r for r in self.daemon.access_log()[before:] if r["status"] >= 400 or r["cause"] != "none"], what="an access-log record")[-1]
        return record, answer

    def test_each_fault_has_its_cause_everywhere(self):
        self.assertGreaterEqual(len(FAULTS), 25)
        for name, fault in FAULTS.items():
            with self.subTest(name):
                expected = self.counted()
                expected[fault.cause] = expected.get(fault.cause, 0) + 1
                record, answer = self.provoke(fault)
                self.assertEqual((record["cause"], record["status"]), (fault.cause, fault.logged))
                wait_until(lambda: self.counted() == expected, what=lambda: f"{expected}, not {self.counted()}", timeout=10)
                found = self.told(record["request_id"])
                self.assertEqual([(r["cause"], r["status"]) for r in found], [(fault.cause, fault.logged)])
                if answer:
                    self.assertEqual(answer.status, fault.status)
                    shown = answer.header("proxy-status") or ""
                    if fault.shown:
                        self.assertIn(f"error={fault.shown}", shown)
                        self.assertIn(f'details="{fault.cause}"', shown)
                        self.assertEqual(answer.header("x-request-id"), record["request_id"])
        listed = {c["name"] for c in json.loads(self.daemon.admin("/api/v1/causes").text)["causes"]}
        self.assertLessEqual({f.cause for f in FAULTS.values()}, listed)
