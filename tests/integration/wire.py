"""HTTP/1.1 messages as bytes: a strict reader that both the test client and the fake origins use.

It refuses whatever RFC 9112 refuses, so that a sloppy answer of the daemon (or a sloppy request to an origin) fails a test
instead of being repaired on the way.
"""
import re

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-5][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)\Z")
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/(1\.[01])\Z")
VALUE = re.compile(rb"[\t \x21-\x7e\x80-\xff]*\Z")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})\Z")


class ProtocolError(AssertionError):
    """The peer sent something that RFC 9112 does not allow."""


class Incomplete(Exception):
    """The connection ended inside a message. `reset`: by RST; `got`: what had come of the message, `body` of its body."""

    def __init__(self, what, got=b"", reset=False, body=b"", head=None):
        super().__init__(f"{what} ({'reset' if reset else 'closed'}) after {bytes(got[-200:])!r}")
        self.got, self.reset, self.body, self.head = bytes(got), reset, bytes(body), head


class Message:
    """A request or a response; `fields` in the order of the wire, names as sent."""

    def __init__(self):
        self.version = "1.1"
        self.fields = []
        self.body = b""
        self.framing = "none"  # none | length | chunked | close
        self.chunks = []       # sizes as framed
        self.trailers = []
        self.raw_head = b""
        self.interim = []      # responses: the 1xx before it
        self.method = self.target = None
        self.status = self.reason = None

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def header(self, name):
        """All values joined by ", ", or None."""
        values = self.all(name)
        return ", ".join(values) if values else None

    def has(self, name):
        return bool(self.all(name))

    def names(self):
        return [n.lower() for n, _ in self.fields]

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def keep_alive(self):
        tokens = [t.strip().lower() for t in (self.header("connection") or "").split(",")]
        if self.framing == "close" or "close" in tokens:
            return False
        return self.version == "1.1" or "keep-alive" in tokens

    def __repr__(self):
        return f"<Message {self.raw_head!r} body={len(self.body)} framing={self.framing}>"


def parse_fields(lines):
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        if not colon or not TOKEN.match(name) or not VALUE.match(value):
            raise ProtocolError(f"bad field line {line!r}")
        fields.append((name.decode("latin-1"), value.decode("latin-1")))
    return fields


class Reader:
    """Reads messages from `receive()`, which gives bytes, b"" at the end, or raises ConnectionResetError."""

    def __init__(self, receive):
        self.receive = receive
        self.buffer = bytearray()
        self.ended = None  # None | "eof" | "reset"

    def fill(self):
        """More bytes into the buffer; False at the end."""
        if self.ended:
            return False
        try:
            data = self.receive()
        except (ConnectionResetError, BrokenPipeError, ConnectionAbortedError):
            self.ended = "reset"
            return False
        if not data:
            self.ended = "eof"
            return False
        self.buffer += data
        return True

    def take(self, count):
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def need(self, count, what, message):
        while len(self.buffer) < count:
            if not self.fill():
                raise Incomplete(what, self.buffer, self.ended == "reset", message.body + bytes(self.buffer), message)
        return self.take(count)

    def line(self, what, message):
        while True:
            end = self.buffer.find(b"\n")
            if end >= 0:
                line = self.take(end + 1)
                if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
                    raise ProtocolError(f"bare CR or LF in {line!r}")
                return line[:-2]
            if not self.fill():
                raise Incomplete(what, self.buffer, self.ended == "reset", message.body, message)

    def read_head(self):
        """The lines of a head and its raw bytes; None at a clean end before its first byte."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.fill():
                if not self.buffer and self.ended == "eof":
                    return None
                raise Incomplete("no complete head", self.buffer, self.ended == "reset")
        raw = self.take(self.buffer.find(b"\r\n\r\n") + 4)
        lines = raw[:-4].split(b"\r\n")
        if any(b"\n" in line or b"\r" in line for line in lines):
            raise ProtocolError(f"bare CR or LF in head {raw!r}")
        return raw, lines

    def framing_of(self, message):
        lengths, codings = message.all("content-length"), message.all("transfer-encoding")
        if lengths and codings:
            raise ProtocolError(f"Content-Length and Transfer-Encoding in {message.raw_head!r}")
        if codings:
            if [c.lower() for c in codings] != ["chunked"] or message.version == "1.0":
                raise ProtocolError(f"Transfer-Encoding in {message.raw_head!r}")
            return "chunked", 0
        if lengths:
            if len(lengths) != 1 or not re.fullmatch("[0-9]{1,19}", lengths[0]):
                raise ProtocolError(f"Content-Length in {message.raw_head!r}")
            return "length", int(lengths[0])
        return None, 0

    def read_chunked(self, message):
        while True:
            size_line = self.line("inside a chunk size", message)
            match = CHUNK_SIZE.match(size_line)
            if not match:
                raise ProtocolError(f"chunk size {size_line!r}")
            size = int(match[1], 16)
            if size == 0:
                break
            message.body += self.need(size, "inside a chunk", message)
            message.chunks.append(size)
            if self.need(2, "after a chunk", message) != b"\r\n":
                raise ProtocolError("no CRLF after a chunk")
        lines = []
        while line := self.line("inside trailers", message):
            lines.append(line)
        message.trailers = parse_fields(lines)

    def read_body(self, message, length):
        if message.framing == "length":
            parts, left = [], length
            while left:  # in pieces: a long body must not be copied again and again
                if not self.buffer and not self.fill():
                    message.body = b"".join(parts)
                    raise Incomplete(f"{left} bytes short", b"", self.ended == "reset", message.body, message)
                parts.append(self.take(min(left, len(self.buffer))))
                left -= len(parts[-1])
            message.body = b"".join(parts)
        elif message.framing == "chunked":
            self.read_chunked(message)
        elif message.framing == "close":
            while self.fill():
                pass
            message.body = self.take(len(self.buffer))
            if self.ended == "reset":
                raise Incomplete("reset inside an until-close body", message.body, True, message.body, message)

    def read_request(self, body=True):
        """The next request, or None at a clean end."""
        head = self.read_head()
        if head is None:
            return None
        message = Message()
        message.raw_head, lines = head
        match = REQUEST_LINE.match(lines[0])
        if not match:
            raise ProtocolError(f"request line {lines[0]!r}")
        message.method, message.target, message.version = (match[i].decode() for i in (1, 2, 3))
        message.fields = parse_fields(lines[1:])
        framing, length = self.framing_of(message)
        message.framing = framing or "none"
        if body:
            self.read_body(message, length)
        return message

    def read_response(self, method="GET", interim=True, body=True):
        """The next final response (1xx before it in .interim), or with interim=False the next of any kind."""
        seen = []
        while True:
            message = self.read_one_response(method, body)
            if not interim or message.status >= 200 or message.status == 101:
                message.interim = seen
                return message
            seen.append(message)

    def read_one_response(self, method, body):
        head = self.read_head()
        if head is None:
            raise Incomplete("no answer", b"", False)
        message = Message()
        message.raw_head, lines = head
        match = STATUS_LINE.match(lines[0])
        if not match:
            raise ProtocolError(f"status line {lines[0]!r}")
        message.version, message.status, message.reason = match[1].decode(), int(match[2]), match[3].decode("latin-1")
        message.fields = parse_fields(lines[1:])
        framing, length = self.framing_of(message)
        if message.status < 200 or message.status == 204:
            if framing:
                raise ProtocolError(f"{message.status} with a length in {message.raw_head!r}")
            return message
        if method == "HEAD" or message.status == 304:
            return message
        message.framing = framing or "close"
        if body:
            self.read_body(message, length)
        return message


def chunked(*pieces, extension=b"", trailers=b"", last=True):
    """The chunked form of `pieces`."""
    out = b"".join(b"%x%s\r\n%s\r\n" % (len(p), extension, p) for p in pieces)
    return out + (b"0\r\n" + trailers + b"\r\n" if last else b"")


def request(method="GET", target="/", headers=(), body=None, host="test.example", version="1.1"):
    """The bytes of a request. `headers`: a dict or pairs; a Content-Length is added for a body unless framed in headers."""
    pairs = list(headers.items() if isinstance(headers, dict) else headers)
    names = [n.lower() for n, _ in pairs]
    if host is not None and "host" not in names:
        pairs.insert(0, ("Host", host))
    if body is not None and "content-length" not in names and "transfer-encoding" not in names:
        pairs.append(("Content-Length", str(len(body))))
    head = f"{method} {target} HTTP/{version}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in pairs) + "\r\n"
    return head.encode("latin-1") + (body or b"")


def response(status=200, body=b"", headers=(), reason="Whatever", length=True, version="1.1"):
    """The bytes of a response with its Content-Length (unless length=False or headers frame it)."""
    pairs = list(headers.items() if isinstance(headers, dict) else headers)
    names = [n.lower() for n, _ in pairs]
    if length and "content-length" not in names and "transfer-encoding" not in names and status >= 200 and status not in (204, 304):
        pairs.append(("Content-Length", str(len(body))))
    head = f"HTTP/{version} {status} {reason}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in pairs) + "\r\n"
    return head.encode("latin-1") + body
