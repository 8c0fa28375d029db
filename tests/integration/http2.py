"""A client of HTTP/2 at the level of frames: whatever a test wants to say, right or wrong, and everything that comes."""
import struct
import sys
import time

from client import open_socket

sys.path.append("/usr/lib/python3/dist-packages")  # where Debian has hpack, which any Python 3 can run
import hpack  # noqa: E402

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = 7, 8, 9, 10, 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INITIAL_WINDOW = 4
TIMEOUT = 30.0


class Answer:
    def __init__(self):
        self.interim, self.headers, self.trailers = [], None, None
        self.received = bytearray()
        self.ended, self.reset = False, None

    @property
    def body(self):
        return bytes(self.received)

    @property
    def status(self):
        return int(self.header(":status")) if self.headers else None

    def header(self, name):
        return next((value for key, value in self.headers or [] if key == name.lower()), None)

    @property
    def text(self):
        return self.body.decode("latin-1")

    def __repr__(self):
        return f"<{self.headers} {len(self.received)} bytes ended={self.ended} reset={self.reset}>"


class Http2Client:
    """`window`: SETTINGS_INITIAL_WINDOW_SIZE; `grow`: windows are given back for what has come."""

    def __init__(self, address, context=None, server_name="a.test", window=1 << 20, grow=True, start=True, before=b"", timeout=TIMEOUT):
        self.sock = open_socket(address, timeout)
        if before:
            self.sock.sendall(before)
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname=server_name)
        self.timeout = timeout
        self.buffer = bytearray()
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.decoder.max_allowed_table_size = 65536
        self.answers, self.frames, self.goaways, self.pongs = {}, [], [], []
        self.settings, self.settings_acks = {}, 0
        self.grow, self.next_id, self.closed = grow, 1, None
        self.block = None
        self.windows = {0: 65535}
        if start:
            self.sock.sendall(PREFACE)
            self.frame(SETTINGS, 0, 0, struct.pack("!HI", INITIAL_WINDOW, window))
            if grow:
                self.frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", (1 << 30)))
            self.wait(lambda: self.settings, "the settings")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    # ---- sending ----

    def frame(self, kind, flags=0, stream=0, payload=b""):
        self.sock.sendall(self.packed(kind, flags, stream, payload))

    @staticmethod
    def packed(kind, flags=0, stream=0, payload=b""):
        return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload

    @staticmethod
    def fields(method="GET", path="/", authority="a.test", headers=(), scheme="https"):
        return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority), *headers]

    @staticmethod
    def literal(fields):
        """A field block of literals that nothing normalises: what is wrong stays so."""
        def text(value):
            value = value if isinstance(value, bytes) else value.encode("latin-1")
            out = bytearray()
            if len(value) < 127:
                out.append(len(value))
            else:
                out.append(127)
                rest = len(value) - 127
                while rest >= 128:
                    out.append(rest % 128 + 128)
                    rest //= 128
                out.append(rest)
            return bytes(out) + value
        return b"".join(b"\0" + text(name) + text(value) for name, value in fields)

    def open(self, fields=None, end=True, literal=False, body=None, **how):
        """Sends HEADERS, with `body` as one DATA frame in the very same segment; gives the stream's id."""
        stream = self.next_id
        self.next_id += 2
        fields = self.fields(**how) if fields is None else fields
        block = self.literal(fields) if literal else self.encoder.encode(fields)
        pieces = [block[i:i + 16384] for i in range(0, len(block), 16384)] or [b""]
        frames = bytearray()
        for i, piece in enumerate(pieces):
            last = END_HEADERS if i == len(pieces) - 1 else 0
            ends = END_STREAM if end and body is None and not i else 0
            frames += self.packed(CONTINUATION if i else HEADERS, last | ends, stream, piece)
        if body is not None:
            frames += self.packed(DATA, END_STREAM, stream, body)
        self.sock.sendall(frames)
        self.answers[stream] = Answer()
        self.windows.setdefault(stream, self.settings.get(INITIAL_WINDOW, 65535))
        return stream

    def data(self, stream, data=b"", end=False):
        """As the windows allow."""
        sent = 0
        while True:
            room = min(self.windows[0], self.windows[stream], 16384)
            piece = data[sent:sent + room] if room > 0 else b""
            if sent < len(data) and not piece:
                self.wait(lambda: min(self.windows[0], self.windows[stream]) > 0 or self.over(stream), "a window")
                if self.over(stream):
                    return sent
                continue
            sent += len(piece)
            self.windows[0] -= len(piece)
            self.windows[stream] -= len(piece)
            last = sent == len(data)
            self.frame(DATA, END_STREAM if end and last else 0, stream, piece)
            if last:
                return sent

    def over(self, stream):
        answer = self.answers[stream]
        return answer.reset is not None or answer.ended or self.closed

    def reset(self, stream, code=CANCEL):
        self.frame(RST_STREAM, 0, stream, struct.pack("!I", code))

    def more(self, stream, size):
        self.frame(WINDOW_UPDATE, 0, stream, struct.pack("!I", size))

    def ping(self, data=b"12345678"):
        self.frame(PING, 0, 0, data)

    # ---- receiving ----

    def fill(self, timeout):
        self.sock.settimeout(max(timeout, 0.01))
        try:
            data = self.sock.recv(262144)
        except TimeoutError:
            return
        except OSError:
            self.closed = "reset"
            return
        if not data:
            self.closed = "eof"
        self.buffer += data

    def wait(self, condition, what="a frame", timeout=None):
        """Reads until the condition holds; None is a connection that has ended before."""
        end = time.monotonic() + (timeout or self.timeout)
        while not condition():
            if self.closed:
                raise AssertionError(f"the connection ended ({self.closed}) before {what}; goaways {self.goaways}")
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no {what} within the time; frames {self.frames[-5:]}")
            self.fill(left)
            self.take_frames()
        return True

    def take_frames(self):
        at = 0
        while len(self.buffer) - at >= 9:
            size = int.from_bytes(self.buffer[at:at + 3], "big")
            if len(self.buffer) - at < 9 + size:
                break
            kind, flags = self.buffer[at + 3], self.buffer[at + 4]
            stream = int.from_bytes(self.buffer[at + 5:at + 9], "big") & 0x7FFFFFFF
            payload = bytes(self.buffer[at + 9:at + 9 + size])
            at += 9 + size
            self.frames.append((kind, flags, stream, len(payload)))
            self.on_frame(kind, flags, stream, payload)
        del self.buffer[:at]

    def on_frame(self, kind, flags, stream, payload):
        answer = self.answers.get(stream)
        if kind == SETTINGS:
            if flags & ACK:
                self.settings_acks += 1
                return
            for at in range(0, len(payload), 6):
                key, value = struct.unpack("!HI", payload[at:at + 6])
                if key == INITIAL_WINDOW:
                    for open_stream in self.answers:
                        self.windows[open_stream] += value - self.settings.get(INITIAL_WINDOW, 65535)
                self.settings[key] = value
            self.try_frame(SETTINGS, ACK)
        elif kind in (HEADERS, CONTINUATION):
            self.block = payload if kind == HEADERS else self.block + payload
            if kind == HEADERS:
                self.block_ends = bool(flags & END_STREAM)
            if flags & END_HEADERS:
                self.on_fields(answer, self.decoder.decode(self.block))
        elif kind == DATA:
            answer.received += payload
            answer.ended = answer.ended or bool(flags & END_STREAM)
            if self.grow and payload and not answer.ended:
                self.try_frame(WINDOW_UPDATE, 0, stream, struct.pack("!I", len(payload)))
        elif kind == RST_STREAM and answer:
            answer.reset = struct.unpack("!I", payload)[0]
        elif kind == GOAWAY:
            self.goaways.append(struct.unpack("!II", payload[:8]))
        elif kind == PING:
            if flags & ACK:
                self.pongs.append(payload)
            else:
                self.try_frame(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            self.windows[stream] = self.windows.get(stream, 65535) + struct.unpack("!I", payload)[0]

    def try_frame(self, *frame):
        try:
            self.frame(*frame)
        except OSError:
            pass

    def on_fields(self, answer, fields):
        fields = [(name, value) for name, value in fields]
        if answer.headers is not None:
            answer.trailers = fields
        elif fields[0][1].startswith("1"):
            answer.interim.append(fields)
            return
        else:
            answer.headers = fields
        answer.ended = answer.ended or self.block_ends

    def answer(self, stream):
        """Waits until the answer is whole, or the stream was reset."""
        answer = self.answers[stream]
        self.wait(lambda: answer.ended or answer.reset is not None, f"the answer on stream {stream}: {answer}")
        return answer

    def request(self, method="GET", path="/", body=None, **how):
        stream = self.open(method=method, path=path, end=body is None, **how)
        if body is not None:
            self.data(stream, body, end=True)
        return self.answer(stream)

    def get(self, path="/", **how):
        return self.request("GET", path, **how)

    def wait_end(self, timeout=None):
        """Until the connection ends; "eof" or "reset"."""
        end = time.monotonic() + (timeout or self.timeout)
        while not self.closed:
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(f"the connection goes on; frames {self.frames[-5:]}")
            self.fill(left)
            self.take_frames()
        return self.closed
