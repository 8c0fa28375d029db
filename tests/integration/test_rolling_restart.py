"""Every backend is drained, restarted and enabled, one after the other, under load and with WebSockets open: nothing fails, and each WebSocket
stays or is told goodbye (close 1001) by the application that ends."""
import base64
import os
import selectors
import socket
import subprocess
import threading
import time

from harness import WeirTest, binary, config, load, wait_until

LONG = bool(os.environ.get("WEIR_FULL"))
WEBSOCKETS = 500 if LONG else 60


class WebSockets:
    """Many of them, in one thread: each echoes a number again and again; what became of each that ended is in `ended`."""

    def __init__(self, address):
        self.address = address
        self.selector = selectors.DefaultSelector()
        self.echoes, self.ended, self.faults = 0, [], []
        self.ending = threading.Event()
        self.lock = threading.Lock()

    def open(self, count):
        for _ in range(count):
            sock = socket.create_connection(self.address, timeout=30)
            key = base64.b64encode(os.urandom(16)).decode()
            sock.sendall(f"GET /ws HTTP/1.1\r\nHost: rolling\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         f"Sec-WebSocket-Key: {key}\r\n\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head:
                part = sock.recv(4096)
                if not part:
                    raise OSError(f"closed during the handshake: {head!r}")
                head += part
            if not head.startswith(b"HTTP/1.1 101 "):
                raise OSError(f"no 101: {head[:80]!r}")
            sock.setblocking(False)
            self.ping(sock)
            self.selector.register(sock, selectors.EVENT_READ, bytearray())

    def ping(self, sock):
        mask = b"\0\0\0\0"
        sock.sendall(b"\x81\x82" + mask + b"ok")

    def run(self):
        while not self.ending.is_set():
            for key, _ in self.selector.select(0.1):
                self.read(key.fileobj, key.data)

    def read(self, sock, buffer):
        try:
            part = sock.recv(4096)
        except BlockingIOError:
            return
        except OSError as error:
            return self.end(sock, f"reset: {error}")
        if not part:
            return self.end(sock, "closed without a word")
        buffer += part
        while len(buffer) >= 2 and len(buffer) >= 2 + buffer[1]:
            opcode, payload = buffer[0] & 15, bytes(buffer[2:2 + buffer[1]])
            del buffer[:2 + buffer[1]]
            if opcode == 8:
                code = int.from_bytes(payload[:2], "big")
                try:
                    sock.sendall(b"\x88\x82\0\0\0\0" + payload[:2])
                except OSError:
                    pass
                return self.end(sock, code)
            if payload != b"ok":
                return self.end(sock, f"not the echo: {payload!r}")
            self.echoes += 1
            time.sleep(0.0005)  # bounded in rate: this is about lives, not speed
            try:
                self.ping(sock)
            except OSError:
                pass  # the next read tells
        return None

    def end(self, sock, why):
        self.selector.unregister(sock)
        sock.close()
        with self.lock:
            (self.ended if why == 1001 else self.faults).append(why)

    def close(self):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()


class Backend:
    def __init__(self, name):
        self.name = name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    def start(self):
        self.process = subprocess.Popen([binary(), "demo-backend", "--bind", f"127.0.0.1:{self.port}", "--name", self.name],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def listens():
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            except OSError:
                return False
        wait_until(listens, what=f"{self.name} listens again")

    def restart(self):
        self.process.terminate()
        self.process.wait(30)
        self.start()

    def end(self):
        self.process.kill()
        self.process.wait()


class RollingRestart(WeirTest):
    timeout = 300

    def test_no_request_fails_and_websockets_are_told(self):
        backends = [Backend(f"b{i}") for i in range(3)]
        for backend in backends:
            self.addCleanup(backend.end)
        daemon = self.weir(config({b.name: f"http://127.0.0.1:{b.port}" for b in backends}, workers=2,
                                  pool={"health": {"path": "/healthz", "interval": "500ms", "timeout": "400ms"}}), access_log=False)
        host, port = daemon.address().rsplit(":", 1)
        sockets = WebSockets((host, int(port)))
        self.addCleanup(sockets.close)
        sockets.open(WEBSOCKETS)
        talking = threading.Thread(target=sockets.run, daemon=True)
        talking.start()
        kept, new = load(daemon.address(), clients=6), load(daemon.address(), clients=2, keep_alive=False)
        wait_until(lambda: kept.done > 200 and new.done > 20 and sockets.echoes > WEBSOCKETS)
        began = {b.name: daemon.backend(b.name)["inflight"] for b in backends}
        self.assertGreater(min(began.values()), WEBSOCKETS // 6)
        for backend in backends:
            code, out, err = daemon.command("drain", f"app/{backend.name}", "--timeout", "1s")
            self.assertEqual(code, 1, out + err)  # the WebSockets are still there: nothing is cut
            before = len(sockets.ended)
            open_here = daemon.backend(backend.name)["inflight"]
            backend.restart()
            wait_until(lambda: len(sockets.ended) - before >= open_here, what=lambda: f"{open_here} goodbyes, not {len(sockets.ended) - before}; {sockets.faults[:3]}")
            self.assertEqual(daemon.command("enable", f"app/{backend.name}")[0], 0)
            wait_until(lambda: daemon.backend(backend.name)["status"] == "up")
        done = kept.done + new.done
        wait_until(lambda: kept.done + new.done > done + 200)
        kept.stop(), new.stop()
        sockets.ending.set()
        talking.join(10)
        self.assert_no_errors(kept.errors + new.errors)
        self.assertEqual(sockets.faults, [])
        self.assertEqual(len(sockets.ended), WEBSOCKETS)  # each stood on a backend that was restarted
        print(f"rolling restart: {kept.done + new.done} requests, 0 failed; {WEBSOCKETS} WebSockets, {sockets.echoes} echoes, {len(sockets.ended)} ended with 1001, 0 otherwise")
