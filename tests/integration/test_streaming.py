"""Bodies flow: at once, with back-pressure both ways, in bounded memory; and clients that go away take their request with them."""
import socket
import threading
import time

from harness import Client, WeirTest, chunked, config, echo, request, response, wait_until

PIECE = bytes(range(256)) * 256  # 64 KiB


def big_answer(total):
    def reply(message, connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total // len(PIECE)):
            connection.send(PIECE)
        return b""
    return reply


def swallow(connection):
    """A handler: reads a body of any size without keeping it, answers how long it was."""
    while (message := connection.reader.read_request(body=False)) is not None:
        left = length = int(message.header("content-length"))
        while left > 0:
            if not connection.reader.buffer and not connection.reader.fill():
                return
            left -= len(connection.reader.take(min(left, len(connection.reader.buffer))))
        connection.send(response(200, str(length).encode()))


class AtOnce(WeirTest):
    def test_server_sent_events(self):
        """Each event reaches the client before the origin sends the next."""
        seen = threading.Semaphore(0)
        def reply(message, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(10):
                connection.send(chunked(b"data: %d\n\n" % i, last=False))
                if not seen.acquire(timeout=20):
                    return None
            return b"0\r\n\r\n"
        origin = self.origin(reply)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            client.send(request("GET", "/events", {"Accept": "text/event-stream"}))
            self.assertEqual(client.read(body=False).status, 200)
            for i in range(10):
                wanted = b"data: %d\n\n" % i
                while wanted not in client.reader.buffer:
                    self.assertTrue(client.reader.fill(), "the stream ended")
                seen.release()

    def test_head_arrives_before_the_body(self):
        go = threading.Event()
        def reply(message, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            return b"body" if go.wait(20) else None
        origin = self.origin(reply)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            client.send(request())
            self.assertEqual(client.read(body=False).status, 200)
            go.set()
            self.assertEqual(client.read_exactly(4), b"body")

    def test_until_close_body_arrives_at_once(self):
        go = threading.Event()
        def reply(message, connection):
            connection.send(b"HTTP/1.1 200 OK\r\n\r\nfirst")
            go.wait(20)
            connection.send(b"second")
            return None
        origin = self.origin(reply)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            client.send(request())
            client.read(body=False)
            while b"first" not in client.reader.buffer:
                self.assertTrue(client.reader.fill())
            go.set()
            while b"second" not in client.reader.buffer:
                self.assertTrue(client.reader.fill())

    def test_request_body_arrives_at_once(self):
        got = threading.Event()
        def handler(connection):
            message = connection.reader.read_request(body=False)
            connection.reader.message = message
            while b"part one" not in connection.reader.buffer:
                connection.reader.fill()
            got.set()
            connection.reader.read_body(message, 0)
            connection.send(response(200, message.body[-8:]))
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            client.send(request("POST", "/", {"Transfer-Encoding": "chunked"}) + chunked(b"part one", last=False))
            self.assertTrue(got.wait(20), "the body was held back")
            client.send(chunked(b"part two"))
            self.assertEqual(client.read("POST").body, b"part two")


class Memory(WeirTest):
    timeout = 120
    TOTAL = 256 << 20

    def test_download(self):
        origin = self.origin(big_answer(self.TOTAL), record=False)
        daemon = self.weir(config([origin]))
        before = daemon.rss()
        peak, got = 0, 0
        with daemon.client() as client:
            client.send(request())
            client.read(body=False)
            got = len(client.reader.take(len(client.reader.buffer)))
            while got < self.TOTAL:
                data = client.sock.recv(1 << 18)
                self.assertTrue(data, f"ended after {got} bytes")
                got += len(data)
                if got % (16 << 20) < len(data):
                    peak = max(peak, daemon.rss())
        self.assertEqual(got, self.TOTAL)
        self.assertLess(peak - before, 24 << 20, "the body is held in memory")

    def test_upload(self):
        origin = self.origin(handler=swallow, record=False)
        daemon = self.weir(config([origin]))
        before = daemon.rss()
        peak = 0
        with daemon.client() as client:
            client.send(request("POST", "/", {"Content-Length": str(self.TOTAL)}))
            for i in range(self.TOTAL // len(PIECE)):
                client.send(PIECE)
                if i % 256 == 0:
                    peak = max(peak, daemon.rss())
            self.assertEqual(client.read("POST").text, str(self.TOTAL))
        self.assertLess(peak - before, 24 << 20, "the body is held in memory")

    def test_slow_client_slows_the_origin(self):
        """The daemon takes from the origin only what the client takes, but for bounded buffers."""
        sent = [0]
        def reply(message, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (512 << 20))
            try:
                for _ in range((512 << 20) // len(PIECE)):
                    connection.send(PIECE)
                    sent[0] += len(PIECE)
            except OSError:
                pass
        origin = self.origin(reply, record=False)
        daemon = self.weir(config([origin]))
        before = daemon.rss()
        client = self.client(daemon, receive_buffer=16384)
        client.send(request())
        client.read(body=False)
        last = -1
        while sent[0] != last:  # until it stands still
            last = sent[0]
            time.sleep(0.5)
        self.assertLess(sent[0], 64 << 20, "nothing holds the origin back")
        self.assertLess(daemon.rss() - before, 32 << 20)
        client.close()
        wait_until(lambda: origin.connections[0].closed.is_set(), what="the end of the upstream connection")
        daemon.wait_log(lambda r: r["cause"] == "client_gone" and r["status"] in (200, 499))

    def test_slow_origin_slows_the_client(self):
        stop = threading.Event()
        def handler(connection):
            connection.reader.read_request(body=False)
            stop.wait(60)
        origin = self.origin(handler=handler, receive_buffer=16384, record=False)
        daemon = self.weir(config([origin]))
        before = daemon.rss()
        client = self.client(daemon, timeout=2)
        client.send(request("POST", "/", {"Content-Length": str(512 << 20)}))
        sent = 0
        try:
            while sent < (256 << 20):
                sent += client.sock.send(PIECE)
        except TimeoutError:
            pass
        stop.set()
        self.assertLess(sent, 64 << 20, "nothing holds the client back")
        self.assertLess(daemon.rss() - before, 32 << 20)


class Leaving(WeirTest):
    """Clients that go away or half-close."""

    def stalled(self, reply, send, **pool):
        origin = self.origin(reply)
        daemon = self.weir(config([origin], pool=pool))
        client = self.client(daemon)
        client.send(send)
        wait_until(lambda: origin.connections and origin.connections[0].received, what="the request at the origin")
        return origin, daemon, client

    def assert_abandoned(self, origin, daemon):
        wait_until(lambda: origin.connections[0].ended or origin.connections[0].closed.is_set(), what="the end of the upstream connection")
        daemon.wait_log(lambda r: r["cause"] == "client_gone" and r["status"] in (200, 499))
        wait_until(lambda: daemon.metrics().sum("weir_backend_inflight") == 0, what="nothing in flight")

    def test_reset_while_waiting_for_the_head(self):
        origin, daemon, client = self.stalled(lambda m, c: c.stall(30) and None, request())
        client.reset()
        self.assert_abandoned(origin, daemon)
        record = daemon.wait_log(lambda r: r["cause"] == "client_gone")
        self.assertEqual(record["status"], 499)

    def test_reset_inside_the_answer(self):
        def reply(message, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
            connection.stall(30)
        origin, daemon, client = self.stalled(reply, request())
        client.read(body=False)
        client.reset()
        self.assert_abandoned(origin, daemon)

    def test_close_inside_the_answer(self):
        def reply(message, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            try:
                for _ in range(2000):
                    connection.send(PIECE)
            except OSError:
                connection.error = "closed"
        origin, daemon, client = self.stalled(reply, request())
        client.read(body=False)
        client.close()
        wait_until(lambda: origin.connections[0].closed.is_set(), what="the end of the upstream connection")
        daemon.wait_log(lambda r: r["cause"] == "client_gone")

    def test_reset_inside_the_upload(self):
        origin, daemon, client = self.stalled(None, request("POST", "/cut", {"Content-Length": "100000"}) + b"x" * 500)
        client.reset()
        self.assert_abandoned(origin, daemon)
        self.assertEqual(origin.count(), 0, "a cut body arrived as a whole one")

    def test_fin_inside_the_upload(self):
        origin, daemon, client = self.stalled(None, request("POST", "/cut", {"Content-Length": "100000"}) + b"x" * 500)
        client.close()
        self.assert_abandoned(origin, daemon)
        self.assertEqual(origin.count(), 0)

    def test_abandoned_connection_is_not_used_again(self):
        def reply(message, connection):
            if message.target == "/slow":
                connection.stall(30)
                return None
            return echo(message, connection)
        origin = self.origin(reply)
        daemon = self.weir(config([origin]))
        client = self.client(daemon)
        client.send(request("GET", "/slow"))
        wait_until(lambda: "/slow" in origin.targets())
        client.reset()
        wait_until(lambda: origin.connections[0].ended, what="the end of the upstream connection")
        for i in range(5):
            self.assertIn(f"/next{i}", daemon.get(f"/next{i}").text)

    def test_half_closed_client_still_gets_its_answer(self):
        def reply(message, connection):
            time.sleep(0.3)
            return response(200, message.body + b"!" * 100000)
        origin = self.origin(reply)
        daemon = self.weir(config([origin]))
        for data in (request("POST", "/", body=b"question"), request("GET", "/")):
            client = self.client(daemon)
            client.send(data).half_close()
            answer = client.read()
            self.assertEqual((answer.status, len(answer.body) >= 100000), (200, True))
            self.assertEqual(client.read_to_end(), b"")

    def test_half_closed_pipeline(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        client = self.client(daemon)
        client.send(b"".join(request("GET", f"/{i}") for i in range(5))).half_close()
        for i in range(5):
            self.assertIn(f"/{i} ", client.read().text)
        self.assertEqual(client.read_to_end(), b"")

    def test_many_aborts_leak_nothing(self):
        def reply(message, connection):
            time.sleep(0.01)
            return response(200, b"x" * 50000)
        origin = self.origin(reply)
        daemon = self.weir(config([origin], workers=2))
        daemon.get("/")
        before = daemon.descriptors()
        for i in range(200):
            client = Client(daemon.address())
            client.send(request("GET", f"/{i}"))
            if i % 3 == 1:
                client.sock.recv(100)
            client.reset() if i % 2 else client.close()
        wait_until(lambda: daemon.metrics().sum("weir_connections_open") == 0, what="no open client connection")
        wait_until(lambda: daemon.metrics().sum("weir_backend_inflight") == 0, what="nothing in flight")
        wait_until(lambda: daemon.descriptors() <= before + 20, what=lambda: f"descriptors: {daemon.descriptors()} against {before}")
        self.assertEqual(daemon.get("/after").status, 200)


class BothAtOnce(WeirTest):
    """Answers that begin before the request has ended."""

    def test_an_early_answer_comes_to_who_sends_on(self):
        """A client that reads when it has sent all: what it sends is thrown away, so that no reset takes the answer from it."""
        def early(connection):
            connection.reader.read_head()
            connection.send(response(413, b"too large", [("Connection", "close")]))
        daemon = self.weir(config([self.origin(handler=early)]))
        body = bytes(2_000_000)
        with daemon.client() as client:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # a reset is met while there is more to send
            client.send(request("POST", "/", [("Content-Length", str(len(body)))]))
            client.sock.recv(1, socket.MSG_PEEK)  # the answer is here
            client.send(body)
            client.half_close()
            answer = client.read("POST")
            self.assertEqual((answer.status, answer.body), (413, b"too large"))
            self.assert_closed(client)

    def test_an_early_answer_releases_a_body_that_waits_for_100(self):
        def handler(connection):
            connection.reader.read_head()
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            while len(connection.reader.buffer) < 5 and connection.reader.fill():
                pass
            connection.send(b"5\r\n" + bytes(connection.reader.buffer) + b"\r\n0\r\n\r\n")
        daemon = self.weir(config([self.origin(handler=handler)], pool={"timeout": {"expect": "60s"}}))
        client = self.client(daemon)
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        client.send(b"hello")
        answer = client.read("POST")
        self.assertEqual((answer.status, answer.body), (200, b"abchello"))

    def test_an_upload_counts_as_progress_after_the_answer_has_begun(self):
        def handler(connection):
            message = connection.read_request(body=False)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            connection.reader.read_body(message, int(message.header("content-length")))
            connection.send(b"ok")
        daemon = self.weir(config([self.origin(handler=handler)], pool={"timeout": {"idle": "2s"}}))
        client = self.client(daemon)
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n")
        for _ in range(12):
            client.send(b"x")
            time.sleep(0.3)
        self.assertEqual(client.read("POST").body, b"ok")

    def test_a_large_last_answer_is_whole_though_bytes_follow_the_request(self):
        go = threading.Event()
        def reply(message, connection):
            go.wait(30)
            return response(200, b"x" * 200_000)
        daemon = self.weir(config([self.origin(reply)]))
        client = self.client(daemon, receive_buffer=4096)
        client.send(request("POST", "/", [("Connection", "close")], b"hello"))
        time.sleep(0.1)
        client.send(b"\r\n")
        go.set()
        time.sleep(0.5)
        self.assertEqual(len(client.read("POST").body), 200_000)
        self.assert_closed(client)
