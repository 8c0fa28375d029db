"""Limits: what is too large, too slow or too much gets its status, and the daemon goes on for the others."""
import threading
import time

from harness import Client, Incomplete, SharedTest, WeirTest, chunked, config, echo, request, response, wait_until


class HeadLimits(SharedTest):
    @classmethod
    def settings(cls):
        return {"limits": {"header_bytes": "8KiB", "header_count": 20, "body_bytes": "64KiB"}}

    def test_too_many_bytes(self):
        self.assert_refused(request("GET", "/UNIQUE", {"X-Long": "a" * 9000}), 431)
        self.assert_refused(request("GET", "/UNIQUE", [(f"X-{i}", "a" * 900) for i in range(15)]), 431)
        self.assert_accepted(request("GET", "/fits", {"X-Long": "a" * 7000}))

    def test_too_many_fields(self):
        self.assert_refused(request("GET", "/UNIQUE", [(f"X-{i}", "a") for i in range(30)]), 431)
        self.assert_accepted(request("GET", "/fits", [(f"X-{i}", "a") for i in range(18)]))

    def test_endless_head(self):
        with self.daemon.client() as client:
            client.send_all_possible(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 100000)
            self.assertEqual(self.parse_one(client.read_to_end()).status, 431)
            self.assertEqual(client.reader.ended, "eof")

    def test_body_over_the_limit(self):
        answer = self.assert_refused(request("POST", "/UNIQUE", body=b"x" * 65537), 413)
        self.assertEqual(answer.header("connection"), "close")
        self.assertTrue(self.assert_accepted(request("POST", "/fits", body=b"x" * 65536)))

    def test_whole_413_while_sending_10_mb(self):
        """A client that looks for an answer only between its pieces finds the whole of it, even if it runs into a reset."""
        body = b"x" * 10_000_000
        for headers, sent in ((b"Content-Length: %d\r\n" % len(body), body), (b"Transfer-Encoding: chunked\r\n", chunked(*[b"y" * 10000] * 1000))):
            with self.subTest(headers=headers), self.daemon.client() as client:
                client.send(b"POST /big HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n")
                received, position, view = b"", 0, memoryview(sent)
                client.sock.settimeout(30)
                try:
                    while position < len(sent):
                        position += client.sock.send(view[position:position + 16384])
                        client.sock.setblocking(False)
                        try:
                            received += client.sock.recv(65536)
                        except BlockingIOError:
                            pass
                        client.sock.settimeout(30)
                        if b"\r\n\r\n" in received:
                            break  # as curl does: it stops sending when it sees the answer
                except (ConnectionResetError, BrokenPipeError):
                    pass  # closed after 64 KiB or 2 s; what was sent to us before is still there
                client.reader.buffer += received
                answer = client.read("POST")
                self.assertEqual(answer.status, 413)
                self.assertEqual(answer.header("connection"), "close")

    def test_chunked_body_over_the_limit(self):
        with self.daemon.client() as client:
            client.send(b"POST /chunked-big HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.send_all_possible(chunked(*[b"x" * 10000] * 7))
            self.assertEqual(self.parse_one(client.read_to_end(), "POST").status, 413)
        self.assertNotIn("/chunked-big", self.origin_.targets(), "the origin saw a complete request")

    def test_chunked_body_over_the_limit_in_one_piece_with_its_head(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], limits={"body_bytes": "1KiB"}))
        for body in (chunked(b"x" * 1025), chunked(*[b"x" * 100] * 11)):
            with daemon.client() as client:
                client.send(b"POST /at-once HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
                self.assertEqual(client.read("POST").status, 413)
                self.assert_closed(client)
        self.assertEqual(origin.count(), 0)
        with daemon.client() as client:
            client.send(b"POST /fits HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"x" * 1024))
            self.assertEqual(client.read("POST").status, 200)

    def test_causes(self):
        self.daemon.fetch("/cause-413", "POST", body=b"x" * 65537)
        self.daemon.wait_log(lambda r: r["cause"] == "body_too_large" and r["status"] == 413)
        self.daemon.fetch("/cause-431", headers={"X": "a" * 9000})
        self.daemon.wait_log(lambda r: r["cause"] == "header_too_large" and r["status"] == 431)


class Times(WeirTest):
    def test_head_that_does_not_end(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], listener={"timeout": {"header": "500ms"}}))
        client = self.client(daemon)
        began = time.monotonic()
        client.send(b"GET / HTTP/1.1\r\nHo")
        ending = False
        try:
            while not ending and time.monotonic() - began < 20:  # a byte now and then doesn't help: the time-out is absolute
                client.send(b"x")
                client.sock.settimeout(0.05)
                try:
                    ending = not client.reader.fill() or len(client.reader.buffer) > 0
                except TimeoutError:
                    pass
        except (BrokenPipeError, ConnectionResetError):
            pass
        client.sock.settimeout(30)
        answer = client.read()
        self.assertEqual((answer.status, answer.header("connection")), (408, "close"))
        self.assert_closed(client)
        daemon.wait_log(lambda r: r["cause"] == "header_timeout" and r["status"] == 408)
        self.assertEqual(origin.connections, [])

    def test_connection_without_a_byte_is_closed_silently(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], listener={"timeout": {"header": "400ms", "keep_alive": "30s"}}))
        self.assert_closed(self.client(daemon))

    def test_who_connects_and_says_nothing_is_accepted_a_little_later(self):
        """Deferred or not, it is counted, waited for, and served when it speaks at last."""
        for deferred in (True, False):
            with self.subTest(deferred=deferred):
                daemon = self.weir(config([self.origin(echo)], listener={"defer_accept": deferred}))
                client = self.client(daemon)
                wait_until(lambda: daemon.metrics().sum("weir_connections_accepted_total") == 1)
                self.assertEqual(client.get("/").status, 200)

    def test_idle_connection_is_closed_silently(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], listener={"timeout": {"header": "30s", "keep_alive": "400ms"}}))
        client = self.client(daemon)
        self.assertEqual(client.get("/").status, 200)
        self.assert_closed(client)
        self.assertEqual([r["status"] for r in daemon.access_log()], [200])

    def test_second_head_has_its_own_time(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], listener={"timeout": {"header": "500ms", "keep_alive": "30s"}}))
        client = self.client(daemon)
        self.assertEqual(client.get("/").status, 200)
        client.send(b"GET /half HTTP/1.1\r\n")
        self.assertEqual(client.read().status, 408)
        self.assert_closed(client)

    def test_body_slower_than_the_minimum_rate(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], limits={"body_min_rate": "100KiB/s"}))
        client = self.client(daemon)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        began = time.monotonic()
        client.sock.settimeout(0.2)
        while time.monotonic() - began < 30:
            try:
                client.send(b"x" * 10)
                if not client.reader.fill() or client.reader.buffer:
                    break
            except TimeoutError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                break
        client.sock.settimeout(20)
        self.assertEqual(client.read("POST").status, 408)
        self.assertGreater(time.monotonic() - began, 3, "counts only after 5 s")
        daemon.wait_log(lambda r: r["cause"] == "body_too_slow")
        self.assertEqual(origin.count(), 0)
        wait_until(lambda: all(c.ended for c in origin.connections), what="the end of the upstream connection")

    def test_rate_does_not_count_while_the_origin_stalls(self):
        def handler(connection):
            connection.reader.read_request(body=False)
            time.sleep(7)  # longer than the 5 s of grace: the daemon is not willing to read meanwhile
            length = 8_000_000 - len(connection.reader.buffer)
            while length > 0:
                length -= len(connection._receive())
            connection.send(response(200, b"ok"))
        origin = self.origin(handler=handler, receive_buffer=65536, record=False)
        daemon = self.weir(config([origin], limits={"body_min_rate": "1MiB/s"}))
        with daemon.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n" + b"x" * 8_000_000)
            answer = client.read("POST")
            self.assertEqual((answer.status, answer.body), (200, b"ok"))

    def test_client_that_does_not_read(self):
        def reply(message, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            connection.send(b"x" * 100_000_000)
        origin = self.origin(reply)
        daemon = self.weir(config([origin], listener={"timeout": {"send_stall": "1s"}}))
        client = self.client(daemon, receive_buffer=8192)
        client.send(request())
        daemon.wait_log(lambda r: r["cause"] == "client_too_slow")
        wait_until(lambda: origin.connections[0].closed.is_set(), what="the end of the upstream connection")
        self.assertLess(daemon.rss(), 200_000_000)


class OriginHeads(WeirTest):
    def refused(self, head, **settings):
        origin = self.origin(lambda m, c: b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: 2\r\n\r\nok")
        daemon = self.weir(config([origin], **settings))
        answer = daemon.get("/")
        self.assertEqual(answer.status, 502)
        daemon.wait_log(lambda r: r["cause"] == "upstream_header_too_large")
        self.assertIn("http_response_header_section_size", answer.header("proxy-status"))
        self.assertEqual(daemon.errors("upstream_header_too_large"), 1)

    def test_too_many_bytes(self):
        self.refused(b"X-Long: " + b"a" * 70000 + b"\r\n")

    def test_too_many_fields(self):
        self.refused(b"".join(b"X-%d: a\r\n" % i for i in range(210)))

    def test_a_large_head_passes(self):
        origin = self.origin(lambda m, c: response(200, b"ok", {"X-Long": "a" * 50000}))
        daemon = self.weir(config([origin]))
        self.assertEqual(len(daemon.get("/").header("x-long")), 50000)

    def test_endless_head(self):
        def reply(message, connection):
            connection.send(b"HTTP/1.1 200 OK\r\n")
            try:
                for _ in range(100000):
                    connection.send(b"X-More: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 10)
            except OSError:
                pass
        origin = self.origin(reply)
        daemon = self.weir(config([origin], pool={"retry": {"attempts": 0}}))
        self.assertEqual(daemon.get("/").status, 502)


class Descriptors(WeirTest):
    def test_descriptor_exhaustion_does_not_spin_and_recovers(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], workers=2, limits={"connections": 5000}), nofile=400)
        # UBSan's check of vptrs opens a pipe; where none can be opened it reports every object.
        daemon.ignored_report = "does not point to an object of type"
        daemon.wait_event("descriptors_short")
        clients = []
        for _ in range(600):
            try:
                clients.append(Client(daemon.address(), timeout=5))
            except OSError:
                break
        self.addCleanup(lambda: [c.close() for c in clients])
        wait_until(lambda: daemon.descriptors() >= 380, what="the daemon at its limit")
        before = daemon.cpu_seconds()
        time.sleep(2)
        self.assertLess(daemon.cpu_seconds() - before, 1.0, "the daemon spins at EMFILE")
        for client in clients:
            client.close()
        wait_until(lambda: self.works(daemon), 30, "an answer after the exhaustion")
        wait_until(lambda: daemon.metrics().sum("weir_accept_paused_total") > 0)

    @staticmethod
    def works(daemon):
        try:
            return daemon.get("/after").status == 200
        except (OSError, Incomplete):
            return False

    def test_limit_of_connections(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], workers=2, limits={"connections": 16}))
        clients = [self.client(daemon) for _ in range(16)]
        for client in clients:
            self.assertEqual(client.get("/").status, 200)
        for _ in range(5):
            extra = self.client(daemon)
            clients.append(extra)
            try:
                extra.send(request())
                answer = extra.read()
                self.assertIn(answer.status, (200, 503))
                if answer.status == 503:
                    self.assertTrue(answer.has("retry-after"))
            except (Incomplete, OSError):
                pass  # closed at once
        # An idle connection may be closed to make room for a new one; never are more than 16 open at once.
        self.assertLessEqual(sum(self.alive(c) for c in clients), 16)
        for client in clients:
            client.close()
        wait_until(lambda: self.works(daemon), 30, "a place for a new connection")

    @staticmethod
    def alive(client):
        try:
            return client.get("/alive").status == 200
        except (OSError, Incomplete):
            return False

    def test_many_idle_connections_close_cleanly(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], workers=2))
        before = daemon.descriptors()
        clients = [Client(daemon.address()) for _ in range(200)]
        for client in clients[::2]:
            client.get("/")
        for i, client in enumerate(clients):
            client.reset() if i % 3 == 0 else client.close()
        wait_until(lambda: daemon.metrics().sum("weir_connections_open") == 0, what="all connections closed")
        wait_until(lambda: daemon.descriptors() <= before + 110, what=lambda: f"descriptors {daemon.descriptors()} against {before}")


class LocalShortage(WeirTest):
    """What is missing here says nothing about a backend."""
    timeout = 120

    def test_out_of_descriptors_no_backend_is_to_blame(self):
        def reply(message, connection):
            time.sleep(0.1)
            return response(200, b"ok")
        origins = [self.origin(reply, record=False) for _ in range(32)]
        pools = {f"p{i}": {"eject": {"after": 5}, "backends": {"x": origins[2 * i].url, "y": origins[2 * i + 1].url}} for i in range(16)}
        routes = [{"match": {"path": f"/p{i}/*"}, "pool": f"p{i}"} for i in range(16)]
        daemon = self.weir(config(pools=pools, routes=routes, limits={"connections": 64}), nofile=400)
        for i in range(16):
            clients = [self.client(daemon) for _ in range(30)]
            for client in clients:
                client.send(request(target=f"/p{i}/x"))
            statuses = [client.read().status for client in clients]
            self.assertLessEqual(set(statuses), {200, 503}, statuses)
            self.assertIn(200, statuses)
            for client in clients:
                client.close()
        metrics = daemon.metrics()
        self.assertEqual((metrics.sum("weir_backend_ejections_total"), metrics.sum("weir_backend_connect_failures_total")), (0, 0))

    def test_a_cr_and_an_lf_between_requests_begin_no_request(self):
        daemon = self.weir(config([self.origin()], listener={"timeout": {"header": "1s", "keep_alive": "2s"}}))
        client = self.client(daemon)
        self.assertEqual(client.get("/a").status, 200)
        client.send(b"\r")
        time.sleep(0.2)
        client.send(b"\n")
        self.assert_closed(client)  # silently: no stray 408

    def test_empty_lines_lengthen_nothing(self):
        """A CR and an LF, again and again, each within the time that a head has."""
        for keep_alive, before in (("2s", True), ("60s", False)):
            daemon = self.weir(config([self.origin()], listener={"timeout": {"header": "2s", "keep_alive": keep_alive}}))
            client = self.client(daemon)
            if before:
                self.assertEqual(client.get("/a").status, 200)
            began = time.monotonic()
            with self.assertRaises(OSError):
                while time.monotonic() - began < 30:
                    client.send(b"\r")
                    time.sleep(0.4)
                    client.send(b"\n")
                    time.sleep(0.1)
            daemon.stop()

    def test_half_an_empty_line_keeps_no_place(self):
        """Such connections are idle ones, and go when a new one needs the place."""
        daemon = self.weir(config([self.origin()], limits={"connections": 16}))
        clients = [self.client(daemon) for _ in range(16)]
        for client in clients:
            self.assertEqual(client.get("/a").status, 200)
        before = daemon.metrics().sum("weir_received_bytes_total")
        for client in clients:
            client.send(b"\r")
        wait_until(lambda: daemon.metrics().sum("weir_received_bytes_total") == before + 16)
        self.assertEqual(daemon.get("/b").status, 200)

    def test_the_clock_of_a_body_begins_when_it_is_wanted(self):
        go = threading.Event()
        def handler(connection):
            message = connection.read_request(body=False)
            go.wait(30)
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.reader.read_body(message, int(message.header("content-length")))
            connection.send(response(200, b"ok"))
        daemon = self.weir(config([self.origin(handler=handler)], pool={"timeout": {"expect": "60s"}}))
        client = self.client(daemon)
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10000\r\n\r\n")
        time.sleep(4.7)
        go.set()
        self.assertEqual(client.read("POST", interim=False).status, 100)
        time.sleep(0.8)
        client.send(b"x" * 10_000)
        self.assertEqual(client.read("POST").status, 200)

    def test_bytes_in_has_the_body_that_came_with_the_head(self):
        daemon = self.weir(config([self.origin()]))
        data = request("POST", "/", body=b"x" * 5000)
        with daemon.client() as client:
            client.send(data)
            client.read("POST")
        daemon.wait_log(lambda r: r["bytes_in"] == len(data))
