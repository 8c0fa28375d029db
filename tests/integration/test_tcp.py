"""Mode tcp: bytes both ways, ends and breaks, time-outs, limits, metrics and the line of a session in the log."""
import hashlib
import os
import socket
import threading
import time
from random import Random

from harness import BlackHole, WeirTest, wait_until
from tcp import Server, attempt, connect, echo, named, read_all, read_exactly, reset, tcp_config


class Sessions(WeirTest):
    timeout = 120

    def serve(self, serve=echo, **more):
        self.server = Server(self, serve)
        self.daemon = self.weir(tcp_config([self.server], **more))
        return self.daemon

    def line(self, **wanted):
        return self.daemon.wait_log(lambda r: all(r[k] == v for k, v in wanted.items()))

    def test_echo(self):
        self.serve()
        with connect(self.daemon) as client:
            for size in (1, 100, 5000, 300_000):
                data = os.urandom(size)
                client.sendall(data)
                self.assertEqual(read_exactly(client, size), data)
            metrics = self.daemon.metrics()
            self.assertEqual(metrics.sum("weir_tcp_sessions_open", listener="db"), 1)
            self.assertEqual(metrics.sum("weir_backend_inflight", backend="b1"), 1)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), (b"", "eof"))
        line = self.line(cause="none")
        self.assertEqual((line["listener"], line["pool"], line["backend"], line["client"], line["status"], line["protocol"], line["attempts"]),
                         ("db", "app", "b1", "127.0.0.1", 0, "TCP", 1))
        self.assertEqual((line["bytes_in"], line["bytes_out"]), (305_101, 305_101))
        self.assertGreater(line["upstream_ms"], 0)
        metrics = self.daemon.metrics()
        for name, value in (("weir_tcp_sessions_total", 1), ("weir_tcp_sessions_open", 0), ("weir_tcp_received_bytes_total", 305_101),
                            ("weir_tcp_sent_bytes_total", 305_101)):
            self.assertEqual(metrics.sum(name, listener="db"), value, name)
        self.assertEqual(metrics.sum("weir_tcp_session_ends_total", listener="db", cause="none"), 1)
        self.assertEqual(metrics.sum("weir_backend_sent_bytes_total", backend="b1"), 305_101)
        self.assertEqual(metrics.sum("weir_connections_open"), 0)

    def test_the_server_speaks_first(self):
        """And soon: nothing waits for the client's first byte."""
        self.serve(named("220 ready"))
        took = []
        for _ in range(4):
            begin = time.monotonic()
            with connect(self.daemon) as client:
                self.assertEqual(read_exactly(client, 10), b"220 ready\n")
                took.append(time.monotonic() - begin)
        self.assertLess(min(took), 0.9, "deferred accept takes a second")

    def test_half_close_of_the_client(self):
        def serve(sock):
            data, ended = read_all(sock)
            sock.sendall(b"%d bytes, %s" % (len(data), ended.encode()))
        self.serve(serve)
        with connect(self.daemon) as client:
            client.sendall(b"x" * 100_000)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(client), (b"100000 bytes, eof", "eof"))
        self.line(cause="none")

    def test_half_close_of_the_server(self):
        got = []
        def serve(sock):
            sock.sendall(b"bye")
            sock.shutdown(socket.SHUT_WR)
            got.append(read_all(sock))
        self.serve(serve)
        with connect(self.daemon) as client:
            self.assertEqual(read_all(client), (b"bye", "eof"))
            client.sendall(b"still here")
            time.sleep(0.05)
            client.sendall(b", and here")
            client.shutdown(socket.SHUT_WR)
            wait_until(lambda: got == [(b"still here, and here", "eof")], what=lambda: got)
        self.line(cause="none")

    def test_a_reset_of_the_server_is_one_for_the_client(self):
        def serve(sock):
            sock.recv(1)
            sock.sendall(b"half an ans")
            time.sleep(0.1)
            reset(sock)
        self.serve(serve)
        with connect(self.daemon) as client:
            client.sendall(b"x")
            self.assertEqual(read_all(client), (b"half an ans", "reset"))
        self.line(cause="upstream_reset")

    def test_a_reset_of_the_client_is_one_for_the_server(self):
        ends = []
        self.serve(lambda sock: ends.append(read_all(sock)[1]))
        client = connect(self.daemon)
        client.sendall(b"x")
        wait_until(lambda: self.server.count() == 1)
        reset(client)
        wait_until(lambda: ends == ["reset"], what=lambda: ends)
        self.line(cause="client_gone")

    def test_a_reset_while_the_other_side_reads_nothing(self):
        """It is noticed although nothing is read of that side."""
        self.serve(lambda sock: time.sleep(30))
        client = connect(self.daemon)
        client.setblocking(False)
        wait_until(lambda: self.fill(client))
        client.setblocking(True)
        reset(client)
        self.line(cause="client_gone")

    def fill(self, sock):
        """Sends until nothing more is taken for a while."""
        try:
            while sock.send(b"x" * 65536):
                pass
        except BlockingIOError:
            before = getattr(self, "stuck", 0)
            self.stuck = before + 1
            return self.stuck > 5

    def test_nothing_is_buffered_beyond_a_bound(self):
        """A server that sends without end to a client that reads nothing: it is stopped, and memory stays."""
        sent = [0]
        def serve(sock):
            while True:
                sent[0] += sock.send(b"x" * 262144)
        self.serve(serve)
        client = connect(self.daemon)
        def stopped():
            before = sent[0]
            time.sleep(0.3)
            return before == sent[0] > 0
        wait_until(stopped)
        self.assertLess(self.daemon.metrics().sum("weir_memory_buffer_bytes"), 600_000)
        got = len(read_exactly(client, 30_000_000))
        self.assertEqual(got, 30_000_000)
        client.close()

    def test_both_directions_at_once_bytes_exact(self):
        """100 MB each way at the same time, in pieces of many sizes."""
        size = 100_000_000
        seeds = [os.urandom(1 << 20) for _ in range(2)]
        results = {}
        def send(sock, seed):
            block, done, at = seed * 2, 0, 0
            digest = hashlib.blake2b()
            sizes = [1, 100, 4096, 70_000, 1 << 20]
            while done < size:
                piece = block[at:at + min(sizes[done % 5], size - done)]
                sock.sendall(piece)
                digest.update(piece)
                done += len(piece)
                at = (at + len(piece)) % (1 << 20)
            sock.shutdown(socket.SHUT_WR)
            return digest.hexdigest()
        def take(sock):
            digest, total = hashlib.blake2b(), 0
            while data := sock.recv(1 << 18):
                digest.update(data)
                total += len(data)
            return digest.hexdigest(), total
        def both(sock, name, seed):
            sender = threading.Thread(target=lambda: results.__setitem__(name + " sent", send(sock, seed)))
            sender.start()
            results[name + " got"] = take(sock)
            sender.join()
        self.serve(lambda sock: both(sock, "server", seeds[0]))
        with connect(self.daemon, timeout=100) as client:
            both(client, "client", seeds[1])
        wait_until(lambda: len(results) == 4)
        self.assertEqual(results["client got"], (results["server sent"], size))
        self.assertEqual(results["server got"], (results["client sent"], size))
        line = self.line(cause="none")
        self.assertEqual((line["bytes_in"], line["bytes_out"]), (size, size))

    def test_a_thousand_sessions(self):
        self.serve(workers=2)
        clients = [connect(self.daemon) for _ in range(1000)]
        for i, client in enumerate(clients):
            client.sendall(b"%04d" % i)
        for i, client in enumerate(clients):
            self.assertEqual(read_exactly(client, 4), b"%04d" % i)
        self.assertEqual(self.daemon.metrics().sum("weir_tcp_sessions_open"), 1000)
        for client in clients:
            client.close()
        wait_until(lambda: self.daemon.metrics().sum("weir_tcp_sessions_open") == 0)
        self.assertEqual(self.daemon.metrics().sum("weir_upstream_connections_open"), 0)
        self.assertEqual(self.daemon.metrics().sum("weir_tcp_session_ends_total", cause="none"), 1000)


class Chance(WeirTest):
    timeout = 120

    def test_sessions_that_end_in_every_way(self):
        """Clients and servers that send, read, pause, end and break off by chance: each session ends, nothing is left, no byte is invented."""
        seed = 20260131
        def act(sock, random):
            for _ in range(random.randrange(1, 6)):
                choice = random.random()
                if choice < 0.5:
                    sock.sendall(bytes([random.randrange(256)]) * random.choice((1, 100, 3000, 70_000, 300_000)))
                elif choice < 0.8:
                    sock.settimeout(0.02)
                    try:
                        sock.recv(random.choice((10, 5000, 200_000)))
                    except TimeoutError:
                        pass
                    sock.settimeout(5)
                elif choice < 0.9:
                    sock.shutdown(socket.SHUT_WR)
                    return read_all(sock)
                else:
                    time.sleep(random.random() / 50)
            return reset(sock) if random.random() < 0.3 else None
        count = [0]
        def serve(sock):
            sock.settimeout(5)
            count[0] += 1
            act(sock, Random(seed + count[0]))
        server = Server(self, serve)
        daemon = self.weir(tcp_config([server], workers=2))
        def client(number):
            for i in range(60):
                try:
                    with connect(daemon, timeout=5) as sock:
                        act(sock, Random(f"{number} {i}"))
                except OSError:
                    pass
        threads = [threading.Thread(target=client, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: daemon.metrics().sum("weir_tcp_sessions_open") == 0, 30)
        metrics = daemon.metrics()
        self.assertEqual(metrics.sum("weir_tcp_sessions_total"), metrics.sum("weir_tcp_session_ends_total"))
        for name in ("weir_backend_inflight", "weir_pool_inflight", "weir_connections_open", "weir_upstream_connections_open", "weir_memory_buffer_bytes"):
            wait_until(lambda: daemon.metrics().sum(name) == 0, what=name)  # noqa: B023
        self.assertGreater(metrics.sum("weir_tcp_session_ends_total", cause="upstream_reset"), 0)
        self.assertGreater(metrics.sum("weir_tcp_session_ends_total", cause="client_gone"), 0)

    def test_a_client_that_goes_while_a_backend_is_being_connected(self):
        hole = BlackHole()
        self.addCleanup(hole.close)
        daemon = self.weir(tcp_config([hole]))
        client = connect(daemon)
        wait_until(lambda: daemon.metrics().sum("weir_backend_inflight") == 1)
        reset(client)
        daemon.wait_log(lambda r: r["cause"] == "client_gone")
        wait_until(lambda: daemon.metrics().sum("weir_upstream_connections_open") == 0)


class Time(WeirTest):
    def serve(self, serve, listener=None, **pool):
        self.server = Server(self, serve)
        self.daemon = self.weir(tcp_config([self.server], listener=listener, pool=pool))

    def test_silence(self):
        self.serve(echo, timeout={"tunnel": "1s"})
        begin = time.monotonic()
        with connect(self.daemon) as client:
            for _ in range(4):
                client.sendall(b"x")
                self.assertEqual(client.recv(1), b"x")
                time.sleep(0.4)
            self.assertEqual(read_all(client), (b"", "eof"))
        self.assertGreater(time.monotonic() - begin, 2.2)
        self.daemon.wait_log(lambda r: r["cause"] == "tunnel_timeout")

    def test_bytes_that_nobody_takes(self):
        """The other direction is busy all the time: that does not help."""
        def serve(sock):
            while True:
                sock.sendall(b"tick")
                time.sleep(0.1)
        self.serve(serve, timeout={"tunnel": "1s"})
        with connect(self.daemon) as client:
            ended = []
            reader = threading.Thread(target=lambda: ended.append(read_all(client)[1]))
            reader.start()
            try:
                while True:
                    client.sendall(b"x" * 65536)
            except OSError:
                pass
            reader.join(20)
        self.daemon.wait_log(lambda r: r["cause"] == "tunnel_timeout")

    def test_a_client_that_reads_nothing(self):
        def serve(sock):
            while True:
                sock.sendall(b"x" * 65536)
        self.serve(serve, listener={"timeout": {"send_stall": "1s"}})
        with connect(self.daemon) as client:
            client.recv(1)
            self.daemon.wait_log(lambda r: r["cause"] == "client_too_slow")

    def test_a_backend_that_does_not_accept(self):
        hole = BlackHole()
        self.addCleanup(hole.close)
        self.daemon = self.weir(tcp_config([hole], pool={"timeout": {"connect": "300ms"}, "retry": False}))
        self.assertEqual(attempt(self.daemon), (b"", "reset"))
        self.daemon.wait_log(lambda r: r["cause"] == "connect_timeout" and r["attempts"] == 1)
        self.assertEqual(self.daemon.metrics().sum("weir_tcp_connect_failures_total", pool="app", cause="connect_timeout"), 1)


class Limits(WeirTest):
    def test_sessions_of_a_listener(self):
        server = Server(self, echo)
        daemon = self.weir(tcp_config([server], listener={"max_sessions": 2}))
        first, second = connect(daemon), connect(daemon)
        for client in (first, second):
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
        self.assertEqual(attempt(daemon), (b"", "reset"))
        daemon.wait_log(lambda r: r["cause"] == "listener_limit")
        first.close()
        wait_until(lambda: daemon.metrics().sum("weir_tcp_sessions_open") == 1)
        with connect(daemon) as fourth:
            fourth.sendall(b"x")
            self.assertEqual(fourth.recv(1), b"x")
        second.close()

    def test_the_queue(self):
        """Beyond limits.per_backend sessions wait; the first who waits has the place that comes free."""
        server = Server(self, named("hello"))
        daemon = self.weir(tcp_config([server], pool={"limits": {"per_backend": 1, "queue": 1, "queue_timeout": "20s"}}))
        first = connect(daemon)
        self.assertEqual(read_exactly(first, 6), b"hello\n")
        second = connect(daemon)
        wait_until(lambda: daemon.metrics().sum("weir_pool_waiting") == 1)
        self.assertEqual(attempt(daemon), (b"", "reset"))
        daemon.wait_log(lambda r: r["cause"] == "queue_full")
        self.assertEqual(server.count(), 1)
        first.close()
        self.assertEqual(read_exactly(second, 6), b"hello\n")
        second.close()
        wait_until(lambda: daemon.metrics().sum("weir_pool_inflight") == 0)

    def test_who_waits_and_goes(self):
        server = Server(self, named("hello"))
        daemon = self.weir(tcp_config([server], pool={"limits": {"inflight": 1, "queue": 10, "queue_timeout": "1s"}}))
        first = connect(daemon)
        read_exactly(first, 6)
        gone, late = connect(daemon), connect(daemon)
        wait_until(lambda: daemon.metrics().sum("weir_pool_waiting") == 2)
        reset(gone)
        daemon.wait_log(lambda r: r["cause"] == "client_gone")
        self.assertEqual(read_all(late), (b"", "reset"))
        daemon.wait_log(lambda r: r["cause"] == "queue_timeout")
        first.close()
        wait_until(lambda: daemon.metrics().sum("weir_pool_inflight") == 0)
        with connect(daemon) as again:
            self.assertEqual(read_exactly(again, 6), b"hello\n")

    def test_connections_of_the_process(self):
        server = Server(self, echo)
        daemon = self.weir(tcp_config([server], limits={"connections": 16}))
        clients = [connect(daemon) for _ in range(16)]
        wait_until(lambda: daemon.metrics().sum("weir_tcp_sessions_open") == 16)
        self.assertEqual(attempt(daemon), (b"", "reset"))
        daemon.wait_log(lambda r: r["cause"] == "overload_connections")
        self.assertEqual(daemon.metrics().sum("weir_connections_refused_total"), 1)
        for client in clients:
            client.close()
