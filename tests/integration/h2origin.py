"""A backend that speaks HTTP/2 without TLS, frame by frame: it answers as told, and breaks the protocol as told. hpack and hyperframe are pure
Python and come with Debian's python3-h2; whichever python3 runs the tests reads them from there."""
import socket
import ssl
import struct
import sys
import threading

sys.path.append("/usr/lib/python3/dist-packages")
import hpack  # noqa: E402

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED, CANCEL, CALM = 0, 1, 2, 7, 8, 11
MAX_STREAMS, INITIAL_WINDOW, CONNECT_PROTOCOL = 3, 4, 8


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Request:
    def __init__(self, connection, stream, headers):
        self.connection, self.stream, self.headers = connection, stream, headers
        self.body, self.trailers, self.complete = bytearray(), [], False
        self.reset = None  # the code of the client's RST_STREAM

    def header(self, name):
        return next((v for n, v in self.headers if n == name), None)

    def head(self, status=200, headers=(), end=False):
        self.connection.headers(self.stream, [(":status", str(status)), *headers], end)

    def data(self, body, end=False):
        self.connection.data(self.stream, body, end)

    def trailer(self, headers):
        self.connection.headers(self.stream, list(headers), True)

    def answer(self, body=b"", status=200, headers=(), trailers=None):
        self.head(status, headers, end=not body and not trailers)
        if body:
            self.data(body, end=not trailers)
        if trailers:
            self.trailer(trailers)

    def rst(self, code):
        self.connection.send(frame(RST, 0, self.stream, struct.pack(">I", code)))


class Http2Connection:
    """One connection. The handler is called when a request is complete, in the connection's thread; with `early`, at its head."""

    def __init__(self, origin, sock):
        self.origin, self.sock = origin, sock
        self.lock = threading.Lock()
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.requests, self.frames = {}, []
        self.windows = {0: 65535}
        self.initial_window = 65535
        self.room = threading.Condition()
        self.goaway_seen, self.ended = None, threading.Event()

    def send(self, data):
        with self.lock:
            self.sock.sendall(data)

    def headers(self, stream, headers, end=False):
        with self.lock:
            block = self.encoder.encode(headers)
            self.sock.sendall(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block))

    def data(self, stream, body, end=False):
        """Within the windows of the client."""
        at = 0
        while at < len(body):
            with self.room:
                while min(self.windows[0], self.windows.get(stream, 0)) <= 0:
                    if not self.room.wait(30):
                        raise TimeoutError("no window")
                size = min(len(body) - at, 16384, self.windows[0], self.windows[stream])
                self.windows[0] -= size
                self.windows[stream] -= size
            at += size
            self.send(frame(DATA, END_STREAM if end and at == len(body) else 0, stream, body[at - size:at]))
        if end and not body:
            self.send(frame(DATA, END_STREAM, stream))

    def goaway(self, last, code=NO_ERROR):
        self.send(frame(GOAWAY, 0, 0, struct.pack(">II", last, code)))

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.sock.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def read_frame(self):
        head = self._exactly(9)
        size = int.from_bytes(head[:3], "big")
        return head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, self._exactly(size)

    def run(self):
        try:
            if self._exactly(len(PREFACE)) != PREFACE:
                raise ConnectionError("no preface")
            if self.origin.greet:
                self.origin.greet(self)
            else:
                self.greet(self.origin.settings)
            while True:
                self._take(*self.read_frame())
        except (EOFError, OSError, hpack.HPACKError):
            pass
        finally:
            self.ended.set()
            with self.room:
                self.windows = dict.fromkeys(self.windows, 1 << 30)
                self.room.notify_all()
            try:
                self.sock.close()
            except OSError:
                pass

    def greet(self, settings=None):
        self.send(frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in (settings or {}).items())))

    def _take(self, kind, flags, stream, payload):
        self.frames.append((kind, flags, stream, len(payload)))
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK))
            for at in range(0, len(payload), 6):
                key, value = struct.unpack(">HI", payload[at:at + 6])
                if key == INITIAL_WINDOW:
                    self.initial_window = value
        elif kind == PING and not flags & ACK:
            if not self.origin.deaf:
                self.send(frame(PING, ACK, 0, payload))
        elif kind == WINDOW:
            with self.room:
                if stream == 0 or stream in self.windows:
                    self.windows[stream] += int.from_bytes(payload, "big")
                self.room.notify_all()
        elif kind == HEADERS:
            while not flags & END_HEADERS:
                _, more, _, rest = self.read_frame()
                payload, flags = payload + rest, flags | (more & END_HEADERS)
            headers = self.decoder.decode(payload)
            if stream in self.requests:
                self.requests[stream].trailers = headers
            else:
                self._begin(Request(self, stream, headers))
            if flags & END_STREAM:
                self._complete(self.requests[stream])
        elif kind == DATA:
            request = self.requests[stream]
            request.body += payload
            if payload and self.origin.open_windows:
                update = struct.pack(">I", len(payload))
                self.send(frame(WINDOW, 0, 0, update) + frame(WINDOW, 0, stream, update))
            if flags & END_STREAM:
                self._complete(request)
        elif kind == RST and stream in self.requests:
            self.requests[stream].reset = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            self.goaway_seen = struct.unpack(">II", payload[:8])

    def _begin(self, request):
        with self.room:
            self.windows[request.stream] = self.initial_window
        self.requests[request.stream] = request
        with self.origin.lock:
            self.origin.requests.append(request)
        if self.origin.early:
            self._handle(request)

    def _complete(self, request):
        request.complete = True
        if not self.origin.early:
            self._handle(request)

    def _handle(self, request):
        if self.origin.threads:
            threading.Thread(target=self._call, args=(request,), daemon=True).start()
        else:
            self._call(request)

    def _call(self, request):
        try:
            self.origin.handler(request)
        except (OSError, TimeoutError, ValueError):
            pass


class Http2Origin:
    """`greet(connection)` in place of the SETTINGS frame with `settings`. `early`: the handler doesn't wait for the body. `threads`: each
    request has one. `certificate`: speaks TLS, and `alpn` is what it offers."""

    def __init__(self, handler=None, *, settings=None, greet=None, early=False, threads=False, open_windows=True, deaf=False, certificate=None,
                 alpn=("h2",)):
        self.handler = handler or (lambda request: request.answer(b"hello from h2"))
        self.settings, self.greet, self.early, self.threads = settings or {}, greet, early, threads
        self.open_windows, self.deaf = open_windows, deaf
        if certificate and threads:
            raise ValueError("TLS sockets of Python bear one thread")
        self.lock = threading.Lock()
        self.requests, self.connections = [], []
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
            if alpn:
                self.context.set_alpn_protocols(list(alpn))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return ("https://" if self.context else "http://") + self.address

    def paths(self):
        return [r.header(":path") for r in self.requests]

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context:
            try:
                sock = self.context.wrap_socket(sock, server_side=True)
            except OSError:
                sock.close()
                return
        connection = Http2Connection(self, sock)
        with self.lock:
            self.connections.append(connection)
        connection.run()

    def close(self):
        # shutdown wakes the thread in accept(); close alone would leave it there
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
