"""A receiver of OTLP/HTTP in JSON that takes nothing on trust: what it is sent is read by the protocol's rules, and a breach is an error.

The rules: opentelemetry-proto, docs/specification.md (JSON protobuf encoding): trace ids of 16 and span ids of 8 bytes in hexadecimal, 64-bit
integers as decimal strings, enumerations as numbers, names in lowerCamelCase; unknown fields are refused here, though a receiver may ignore them.
"""
import http.server
import json
import re
import threading
import time

SERVER, CLIENT = 2, 3
MESSAGES = {
    "request": {"resourceSpans"},
    "resourceSpans": {"resource", "scopeSpans", "schemaUrl"},
    "resource": {"attributes", "droppedAttributesCount"},
    "scopeSpans": {"scope", "spans", "schemaUrl"},
    "scope": {"name", "version", "attributes"},
    "span": {"traceId", "spanId", "traceState", "parentSpanId", "flags", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes",
             "droppedAttributesCount", "events", "droppedEventsCount", "links", "droppedLinksCount", "status"},
    "status": {"message", "code"},
}


class Breach(AssertionError):
    pass


def need(condition, what):
    if not condition:
        raise Breach(what)


def message(value, kind):
    need(isinstance(value, dict), f"{kind}: {value!r} is no object")
    need(set(value) <= MESSAGES[kind], f"{kind}: unknown fields {set(value) - MESSAGES[kind]}")
    return value


def attributes(value):
    found = {}
    for entry in value:
        need(set(entry) == {"key", "value"} and isinstance(entry["key"], str) and entry["key"], f"attribute {entry!r}")
        need(entry["key"] not in found, f"attribute {entry['key']} stands twice")
        (kind, content), = entry["value"].items()
        if kind == "stringValue":
            need(isinstance(content, str), f"{entry!r}")
        elif kind == "intValue":
            need(isinstance(content, str) and re.fullmatch(r"-?\d{1,19}", content), f"{entry!r}: 64-bit integers are strings")
            content = int(content)
        elif kind == "boolValue":
            need(isinstance(content, bool), f"{entry!r}")
        else:
            raise Breach(f"{entry!r}: a value of another kind")
        found[entry["key"]] = content
    return found


class Span:
    def __init__(self, value, resource):
        message(value, "span")
        self.resource = resource
        self.trace, self.id, self.parent = value["traceId"], value["spanId"], value.get("parentSpanId", "")
        need(re.fullmatch(r"[0-9a-f]{32}", self.trace) and self.trace.strip("0"), f"traceId {self.trace!r}")
        need(re.fullmatch(r"[0-9a-f]{16}", self.id) and self.id.strip("0"), f"spanId {self.id!r}")
        need(re.fullmatch(r"([0-9a-f]{16})?", self.parent), f"parentSpanId {self.parent!r}")
        self.state, self.flags = value.get("traceState", ""), value["flags"]
        need(isinstance(self.flags, int) and 0 <= self.flags < 1 << 32, f"flags {self.flags!r}")
        self.name, self.kind = value["name"], value["kind"]
        need(isinstance(self.name, str) and self.name, "a span without a name")
        need(self.kind in (1, 2, 3, 4, 5) and not isinstance(self.kind, bool), f"kind {self.kind!r}")
        for field in ("startTimeUnixNano", "endTimeUnixNano"):
            need(isinstance(value[field], str) and re.fullmatch(r"\d{1,20}", value[field]), f"{field}: {value[field]!r}")
        self.start, self.end = int(value["startTimeUnixNano"]), int(value["endTimeUnixNano"])
        need(self.start <= self.end, "it ends before it starts")
        need(abs(self.start / 1e9 - time.time()) < 3600, "the time is no nanoseconds of now")
        self.attributes = attributes(value.get("attributes", []))
        status = message(value.get("status", {}), "status")
        self.status = status.get("code", 0)
        need(self.status in (0, 1, 2) and not isinstance(self.status, bool), f"status {self.status!r}")

    def __getitem__(self, key):
        return self.attributes.get(key)

    def __repr__(self):
        return f"<{self.name} {self.trace} {self.id} ← {self.parent} {self.attributes}>"


def spans_of(body):
    found = []
    for group in message(json.loads(body.decode("utf-8")), "request")["resourceSpans"]:
        resource = attributes(message(message(group, "resourceSpans")["resource"], "resource").get("attributes", []))
        need(resource.get("service.name"), "no service.name")
        for scope in group["scopeSpans"]:
            message(message(scope, "scopeSpans")["scope"], "scope")
            need(scope["spans"], "a batch without spans")
            found += [Span(span, resource) for span in scope["spans"]]
    return found


class Receiver:
    """`answers`: for the next POSTs in turn, (status, headers, body), a number of seconds to wait, or bytes to send as they are; then 200."""

    def __init__(self, answers=()):
        self.answers, self.spans, self.posts, self.breaches = list(answers), [], [], []
        self.lock = threading.Lock()
        self.ending = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.take(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server.server_address[1]

    def take(self, handler):
        body = handler.rfile.read(int(handler.headers["content-length"]))
        with self.lock:
            answer = self.answers.pop(0) if self.answers else (200, {}, b"{}")
            self.posts.append((time.monotonic(), handler.path, answer))
            try:
                need(handler.headers["content-type"] == "application/json", handler.headers["content-type"])
                spans = spans_of(body)
                if isinstance(answer, tuple) and answer[0] == 200:
                    self.spans += spans
            except Exception as error:  # shown by the test
                self.breaches.append(error)
        if isinstance(answer, bytes):
            handler.wfile.write(answer)
            handler.close_connection = True
            return
        if not isinstance(answer, tuple):
            self.ending.wait(answer)
            handler.close_connection = True
            return
        status, headers, content = answer
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def of(self, trace):
        with self.lock:
            return sorted((s for s in self.spans if s.trace == trace), key=lambda s: (s.kind, s.start))

    def count(self):
        with self.lock:
            return len(self.spans)

    def close(self):
        self.ending.set()
        self.server.shutdown()
        self.server.server_close()
        if self.breaches:
            raise self.breaches[0]
