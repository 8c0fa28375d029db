"""What the tests of mode: tcp share: configurations, servers that speak no HTTP, and clients of plain sockets."""
import select
import socket
import ssl
import threading

from daemon import backend_map


def tcp_config(backends=None, *, pool=None, pools=None, listener=None, listeners=None, workers=1, **top):
    """One listener `db` of mode: tcp and one pool `app`; `backends` as in harness.config, but of tcp."""
    result = {"workers": workers, "admin": {"bind": "127.0.0.1:0"}}
    result["listeners"] = listeners or {"db": {"bind": "127.0.0.1:0", "mode": "tcp", "pool": "app", **(listener or {})}}
    result["pools"] = pools if pools is not None else {"app": tcp_pool(backends, **(pool or {}))}
    return {**result, **top}


def tcp_pool(backends, **more):
    found = backend_map(backends)
    return {"mode": "tcp", "backends": {n: (b.replace("http://", "tcp://") if isinstance(b, str) else b) for n, b in found.items()}, **more}


def connect(daemon, listener="db", timeout=20):
    host, _, port = daemon.address(listener).rpartition(":")
    sock = socket.create_connection((host, int(port)), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def hello_of(context, name):
    """What a client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def read_all(sock):
    """Everything until the end, and how it ended: "eof" or "reset"."""
    data = bytearray()
    while True:
        try:
            piece = sock.recv(1 << 18)
        except ConnectionResetError:
            return bytes(data), "reset"
        if not piece:
            return bytes(data), "eof"
        data += piece


def attempt(daemon, listener="db", first=b""):
    """What comes of a connection, which may be reset before connect() has returned."""
    try:
        with connect(daemon, listener) as sock:
            sock.sendall(first)
            return read_all(sock)
    except (ConnectionResetError, BrokenPipeError):
        return b"", "reset"


def read_exactly(sock, size):
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(min(1 << 18, size - len(data)))
        if not piece:
            raise EOFError(f"{len(data)} of {size} bytes")
        data += piece
    return bytes(data)


def exchange(sock, data):
    """Sends `data` while it reads as many bytes, which it returns. In one thread: Python's TLS sockets bear no second one."""
    view, answer, timeout = memoryview(data), bytearray(), sock.gettimeout()
    sock.setblocking(False)
    try:
        while len(answer) < len(data):
            moved = False
            try:
                sent = sock.send(view[:1 << 16]) if view else 0
                view, moved = view[sent:], sent > 0
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            try:
                piece = sock.recv(min(1 << 18, len(data) - len(answer)))
                if not piece:
                    raise EOFError(f"{len(answer)} of {len(data)} bytes")
                answer, moved = answer + piece, True
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            if not moved and select.select([sock], [sock] if view else [], [], timeout) == ([], [], []):
                raise TimeoutError(f"{len(answer)} of {len(data)} bytes")
    finally:
        sock.settimeout(timeout)
    return bytes(answer)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


class Server:
    """A server that runs `serve(socket)` in a thread for each connection, and closes it then."""

    def __init__(self, test, serve):
        self.serve, self.connections, self.lock = serve, [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.url = f"tcp://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()
        test.addCleanup(self.close)

    def _accept(self):
        while True:
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections.append(sock)
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock):
        try:
            self.serve(sock)
        except OSError:
            pass
        finally:
            sock.close()

    def count(self):
        with self.lock:
            return len(self.connections)

    def stop_listening(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def close(self):
        try:
            self.stop_listening()
        except OSError:
            pass
        with self.lock:
            for sock in self.connections:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def echo(sock):
    while data := sock.recv(1 << 16):
        sock.sendall(data)


def named(name):
    """Says its name first, then echoes."""
    def serve(sock):
        sock.sendall(name.encode() + b"\n")
        echo(sock)
    return serve
