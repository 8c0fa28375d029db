"""Fake origins: real sockets in threads, scripted answers, and the exact bytes of each connection kept for the test."""
import os
import socket
import struct
import tempfile
import threading
import time

from wire import Incomplete, ProtocolError, Reader, response


class Connection:
    """One accepted connection. `received` holds every byte that came; `ended` how the peer ended it (None: it hasn't)."""

    def __init__(self, origin, sock, number):
        self.origin, self.sock, self.number = origin, sock, number
        self.received = bytearray()
        self.requests = []
        self.error = None
        self.closed = threading.Event()
        self.reader = Reader(self._receive)

    def _receive(self):
        data = self.sock.recv(self.origin.read_size)
        if self.origin.record:
            self.received += data
        with self.origin.lock:
            self.origin.bytes_received += len(data)
        return data

    @property
    def ended(self):
        return self.reader.ended

    def read_request(self, body=True):
        message = self.reader.read_request(body)
        if message is not None:
            self.requests.append(message)
            with self.origin.lock:
                self.origin.requests.append(message)
        return message

    def send(self, data):
        self.sock.sendall(data)

    def send_pieces(self, data, size=1, pause=0.0):
        for i in range(0, len(data), size):
            self.sock.sendall(data[i:i + size])
            if pause:
                time.sleep(pause)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        """FIN now, also when bytes are unread (shutdown first, so that the FIN isn't overtaken by a reset)."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self.sock.close()

    def stall(self, timeout=60.0):
        """Holds the connection until the peer ends it or the origin stops; True if the peer ended it."""
        self.sock.settimeout(0.2)
        until = time.monotonic() + timeout
        while time.monotonic() < until and not self.origin.stopped:
            try:
                if not self.reader.fill():
                    return True
            except TimeoutError:
                pass
            except OSError:
                return True
        return False


class Origin:
    """Serves `reply(request, connection)` for each request, or `handler(connection)` for each connection.

    reply returns bytes to send (the connection is closed after them unless the message keeps it alive), or None when it
    has done everything by itself and the connection shall end. `kind`: ipv4, ipv6, unix.
    """

    def __init__(self, reply=None, handler=None, kind="ipv4", name="origin", read_size=262144, backlog=1024, record=True,
                 receive_buffer=None, start=True, place=None):
        self.reply = reply or (lambda request, connection: response(200, name.encode()))
        self.handler = handler or self._serve
        self.kind, self.name, self.read_size, self.backlog, self.record = kind, name, read_size, backlog, record
        self.receive_buffer = receive_buffer
        self.lock = threading.Lock()
        self.connections, self.requests = [], []
        self.bytes_received = 0
        self.inflight = self.max_inflight = 0
        self.stopped = False
        self.listening = None
        self.directory = None
        if kind == "unix":
            self.directory = tempfile.mkdtemp(prefix="weir-origin-")
            self.place = os.path.join(self.directory, "o.sock")
        else:
            self.place = place or ("::1" if kind == "ipv6" else "127.0.0.1", 0)
        self.socket = self._bind()
        if start:
            self.start()

    # -- addresses
    @property
    def address(self):
        if self.kind == "unix":
            return "unix:" + self.place
        return f"[{self.place[0]}]:{self.place[1]}" if self.kind == "ipv6" else f"{self.place[0]}:{self.place[1]}"

    @property
    def url(self):
        return self.address if self.kind == "unix" else "http://" + self.address

    def _bind(self):
        family = {"unix": socket.AF_UNIX, "ipv6": socket.AF_INET6, "ipv4": socket.AF_INET}[self.kind]
        sock = socket.socket(family, socket.SOCK_STREAM)
        if self.kind != "unix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        if self.kind == "unix" and os.path.exists(self.place):
            os.unlink(self.place)
        sock.bind(self.place)
        if self.kind != "unix":
            self.place = sock.getsockname()[:2]
        return sock

    # -- life
    def start(self):
        """Begins to accept; before it (and after kill) connections are refused, while the port stays ours."""
        self.stopped = False
        self.socket.listen(self.backlog)
        self.listening = threading.Thread(target=self._accept, args=(self.socket,), daemon=True)
        self.listening.start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if listener is not self.socket:
                sock.close()
                return
            if self.kind != "unix":
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                connection = Connection(self, sock, len(self.connections))
                self.connections.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            self.handler(connection)
        except (Incomplete, ProtocolError) as error:
            connection.error = error
        except OSError as error:
            connection.error = error
        finally:
            connection.close()
            connection.closed.set()

    def _serve(self, connection):
        while True:
            request = connection.read_request()
            if request is None:
                return
            with self.lock:
                self.inflight += 1
                self.max_inflight = max(self.max_inflight, self.inflight)
            try:
                answer = self.reply(request, connection)
            finally:
                with self.lock:
                    self.inflight -= 1
            if answer is None:
                return
            connection.send(answer)
            if not request.keep_alive() or b"connection: close" in answer.partition(b"\r\n\r\n")[0].lower():
                return

    def kill(self):
        """As kill -9 of a server: all connections are reset, new ones refused; start() brings it back on the same port."""
        self.stopped = True
        old, place = self.socket, self.place
        try:
            old.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        except OSError:
            pass
        old.close()
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            try:
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sock.shutdown(socket.SHUT_RD)  # wakes a thread that reads; close() alone would not
                connection.sock.close()
            except OSError:
                pass
        if self.listening:
            self.listening.join(5)
        self.place = place
        self.socket = self._bind()

    def close(self):
        self.stopped = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if self.directory:
            try:
                os.unlink(self.place)
                os.rmdir(self.directory)
            except OSError:
                pass

    # -- what came
    def raw(self):
        """All bytes of all connections."""
        with self.lock:
            return b"|".join(bytes(c.received) for c in self.connections)

    def targets(self):
        with self.lock:
            return [r.target for r in self.requests]

    def count(self):
        with self.lock:
            return len(self.requests)

    def open_connections(self):
        with self.lock:
            return sum(1 for c in self.connections if not c.closed.is_set())


def echo(request, connection):
    """A reply: what the origin saw, as text (the request line, then a field a line), and the body after an empty line."""
    lines = [f"{request.method} {request.target} HTTP/{request.version}"] + [f"{n}: {v}" for n, v in request.fields]
    return response(200, "\n".join(lines).encode("latin-1") + b"\n\n" + request.body)


class BlackHole:
    """Accepts nothing: the queue of its listening socket is full, so that connecting to it stands still."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(0)
        self.address = "%s:%d" % self.socket.getsockname()
        self.url = "http://" + self.address
        self.fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            try:
                filler.connect(self.socket.getsockname())
            except BlockingIOError:
                pass
            self.fillers.append(filler)

    def close(self):
        for sock in [*self.fillers, self.socket]:
            sock.close()
