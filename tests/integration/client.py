"""A client over a raw socket: any bytes in any pieces, half-close, reset, one strictly read answer after the other."""
import socket
import struct
import time

from wire import Incomplete, Reader, request

TIMEOUT = 30.0  # generous: only a hanging daemon ever reaches it


def open_socket(address, timeout=TIMEOUT, receive_buffer=None, source=None):
    """`address`: "127.0.0.1:80", "[::1]:80" or "unix:/path"."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        target = address[5:]
    else:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        target = (host, int(port))
    try:
        sock.settimeout(timeout)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if not address.startswith("unix:"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            sock.bind((source, 0))
        sock.connect(target)
    except BaseException:
        sock.close()
        raise
    return sock


class Client:
    def __init__(self, address, timeout=TIMEOUT, receive_buffer=None, source=None):
        self.sock = open_socket(address, timeout, receive_buffer, source)
        self.reader = Reader(lambda: self.sock.recv(262144))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def send_pieces(self, data, size=1, pause=0.0):
        """Each piece in a segment of its own (TCP_NODELAY)."""
        for i in range(0, len(data), size):
            self.sock.sendall(data[i:i + size])
            if pause:
                time.sleep(pause)
        return self

    def send_all_possible(self, data):
        """Sends until the peer no longer takes it; how much went out."""
        sent = 0
        try:
            while sent < len(data):
                sent += self.sock.send(data[sent:sent + 65536])
        except (ConnectionResetError, BrokenPipeError):
            pass
        return sent

    def request(self, method="GET", target="/", headers=(), body=None, host="test.example", version="1.1"):
        """Sends one request and reads its answer."""
        self.send(request(method, target, headers, body, host, version))
        return self.read(method)

    def get(self, target="/", headers=(), **more):
        return self.request("GET", target, headers, **more)

    def read(self, method="GET", interim=True, body=True):
        return self.reader.read_response(method, interim, body)

    def read_exactly(self, count):
        while len(self.reader.buffer) < count:
            if not self.reader.fill():
                raise Incomplete(f"{count} bytes wanted", self.reader.buffer, self.reader.ended == "reset")
        return self.reader.take(count)

    def read_to_end(self):
        """All bytes until the peer closes; self.reader.ended tells how ("eof" or "reset")."""
        while self.reader.fill():
            pass
        return self.reader.take(len(self.reader.buffer))

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        """Ends with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


def fetch(address, method="GET", target="/", headers=(), body=None, **more):
    """One request on a connection of its own."""
    with Client(address) as client:
        return client.request(method, target, headers, body, **more)


def exchange(address, data, half_close=False):
    """Sends bytes, gives everything that comes until the peer closes, and how it closed ("eof" or "reset")."""
    with Client(address) as client:
        client.send_all_possible(data)
        if half_close:
            client.half_close()
        answer = client.read_to_end()
        return answer, client.reader.ended
