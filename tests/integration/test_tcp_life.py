"""Mode tcp: sessions at the end of the process and over upgrades, and a server that everybody knows behind it."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from harness import WeirTest, wait_until
from tcp import Server, connect, echo, named, read_all, read_exactly, tcp_config
from upgradable import Upgradable


class Ending(WeirTest):
    timeout = 90

    def test_sessions_go_on_until_they_end(self):
        server = Server(self, echo)
        daemon = self.weir(tcp_config([server], workers=2, drain_timeout="30s"))
        clients = [connect(daemon) for _ in range(4)]
        for client in clients:
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("draining")
        time.sleep(1.5)  # longer than idle connections of HTTP get
        for client in clients:
            client.sendall(b"still here")
            self.assertEqual(read_exactly(client, 10), b"still here")
            client.close()
        self.assertEqual(daemon.wait_exit(), 0)
        self.assertEqual({r["cause"] for r in daemon.access_log()}, {"none"})

    def test_then_they_are_cut(self):
        server = Server(self, echo)
        daemon = self.weir(tcp_config([server], drain_timeout="500ms"))
        client = connect(daemon)
        client.sendall(b"x")
        self.assertEqual(client.recv(1), b"x")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(read_all(client), (b"", "reset"))
        self.assertEqual(daemon.wait_exit(), 0)
        self.assertEqual([r["cause"] for r in daemon.access_log()], ["draining"])

    def test_an_upgrade_keeps_them(self):
        server = Server(self, named("hi"))
        daemon = Upgradable(tcp_config([server], workers=2))
        self.addCleanup(daemon.stop)
        old = connect(daemon)
        self.assertEqual(read_exactly(old, 3), b"hi\n")
        stop, errors, done = threading.Event(), [], []
        def load():
            while not stop.is_set():
                try:
                    with connect(daemon) as client:
                        read_exactly(client, 3)
                        client.sendall(b"x")
                        read_exactly(client, 1)
                    done.append(1)
                except Exception as error:  # noqa: BLE001
                    errors.append(repr(error))
        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                before = len(done)
                daemon.upgrade()
                wait_until(lambda: len(done) > before + 50)
                old.sendall(b"on")
                self.assertEqual(read_exactly(old, 2), b"on")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assert_no_errors(errors)
        old.shutdown(socket.SHUT_WR)
        self.assertEqual(read_all(old), (b"", "eof"))


@unittest.skipUnless(shutil.which("redis-server"), "redis-server is not installed")
class Redis(WeirTest):
    timeout = 120

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="weir-redis-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.servers = [self.start(i) for i in range(2)]

    def start(self, number):
        """A server on a port that is free, on a loopback address of its own; another one is tried if it isn't any more."""
        for _ in range(10):
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            process = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.folder,
                                        "--logfile", os.path.join(self.folder, f"{number}.log")], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            self.addCleanup(process.wait, 20)
            self.addCleanup(process.terminate)
            for _ in range(400):
                if process.poll() is not None:
                    break
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    return f"tcp://127.0.0.1:{port}"
                except OSError:
                    time.sleep(0.05)
        self.fail("redis-server does not start")

    def ask(self, client, *words):
        """One command, and its answer; bulk strings and the rest of what is used here."""
        data = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
        client.sendall(data)
        with client.makefile("rb", buffering=0) as file:
            return self.answer(file)

    def answer(self, file):
        line = file.readline()
        if line[:1] == b"$":
            size = int(line[1:])
            data = b""
            while len(data) < size + 2:
                data += file.read(size + 2 - len(data))
            return data[:-2]
        return line[1:-2]

    def test_through_weir(self):
        daemon = self.weir(tcp_config({"r1": self.servers[0]}, pool={"health": {"type": "tcp"}}))
        with connect(daemon) as client:
            self.assertEqual(self.ask(client, b"PING"), b"PONG")
            value = os.urandom(4_000_000)
            self.assertEqual(self.ask(client, b"SET", b"key", value), b"OK")
            self.assertEqual(self.ask(client, b"GET", b"key"), value)
            pipeline = b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n" * 5000
            sender = threading.Thread(target=client.sendall, args=(pipeline,))
            sender.start()
            file = client.makefile("rb")
            self.assertEqual([int(file.readline()[1:]) for _ in range(5000)], list(range(1, 5001)))
            sender.join()
            file.close()
            self.assertEqual(self.ask(client, b"QUIT"), b"OK")
            self.assertEqual(read_all(client)[0], b"")
        daemon.wait_log(lambda r: r["bytes_in"] > 4_000_000 and r["bytes_out"] > 4_000_000)

    def test_publishers_and_subscribers(self):
        """The server speaks when it wants to."""
        daemon = self.weir(tcp_config({"r1": self.servers[0]}))
        with connect(daemon) as listener, connect(daemon) as speaker:
            listener.sendall(b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n")
            file = listener.makefile("rb")
            while b":1" not in file.readline():
                pass
            for i in range(100):
                self.assertEqual(self.ask(speaker, b"PUBLISH", b"news", b"%03d" % i), b"1")
                while file.readline() != b"%03d\r\n" % i:
                    pass

    def test_a_killed_server(self):
        """New sessions go to the other one."""
        daemon = self.weir(tcp_config({"r1": self.servers[0], "r2": self.servers[1]}, pool={"balance": "least_connections"}))
        first = connect(daemon)
        self.assertEqual(self.ask(first, b"PING"), b"PONG")
        with connect(daemon) as other:
            self.assertEqual(self.ask(other, b"SHUTDOWN", b"NOSAVE"), b"")
        ended = []
        for _ in range(10):
            with connect(daemon) as client:
                ended.append(self.ask(client, b"PING"))
        self.assertEqual(ended, [b"PONG"] * 10)
        first.close()
