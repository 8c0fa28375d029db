"""Each fault of an origin gives its status, its cause in log and metric, its Proxy-Status; nothing cut is delivered as whole."""
import threading
import time

from harness import BlackHole, Incomplete, WeirTest, config, echo, request, response, wait_until

ONCE = {"retry": {"attempts": 0}, "eject": {"enabled": False}}


class Faults(WeirTest):
    def pool(self, **more):
        return {**ONCE, **more}

    def assert_answer(self, daemon, status, cause, proxy_status, method="GET", body=None):
        answer = daemon.fetch("/", method, body=body)
        self.assertEqual(answer.status, status, answer.text)
        self.assertIn(f"error={proxy_status}", answer.header("proxy-status"))
        record = daemon.wait_log(lambda r: r["status"] == status)
        self.assertEqual(record["cause"], cause)
        wait_until(lambda: daemon.errors(cause) == 1, what=f"weir_request_errors_total of {cause}")
        return answer

    def faulty(self, handler, **more):
        origin = self.origin(handler=handler)
        return origin, self.weir(config([origin], pool=self.pool(**more)))

    def test_refused(self):
        origin = self.origin(start=False)
        daemon = self.weir(config([origin], pool=self.pool()))
        self.assert_answer(daemon, 502, "connect_refused", "connection_refused")

    def test_missing_unix_socket(self):
        daemon = self.weir(config({"b": "unix:/nonexistent/weir-test.sock"}, pool=self.pool()))
        answer = daemon.get("/")
        self.assertEqual(answer.status, 502)
        self.assertIn(daemon.wait_log(lambda r: True)["cause"], ("connect_failed", "connect_refused"))

    def test_connect_time_out(self):
        hole = BlackHole()
        self.addCleanup(hole.close)
        daemon = self.weir(config({"b": hole.url}, pool=self.pool(timeout={"connect": "300ms"})))
        self.assert_answer(daemon, 504, "connect_timeout", "connection_timeout")

    def test_reset_before_the_head(self):
        def handler(connection):
            connection.read_request()
            connection.reset()
        _, daemon = self.faulty(handler)
        self.assert_answer(daemon, 502, "upstream_reset", "connection_terminated", "POST", b"x")

    def test_close_before_the_head(self):
        _, daemon = self.faulty(lambda c: c.read_request())
        self.assert_answer(daemon, 502, "upstream_closed", "connection_terminated", "POST", b"x")

    def test_close_inside_the_head(self):
        def handler(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        _, daemon = self.faulty(handler)
        answer = daemon.fetch("/", "POST", body=b"x")
        self.assertEqual(answer.status, 502)
        self.assertIn(daemon.wait_log(lambda r: True)["cause"], ("upstream_closed", "upstream_truncated"))

    def test_garbage(self):
        def handler(connection):
            connection.read_request()
            connection.send(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n")
            connection.stall(20)
        _, daemon = self.faulty(handler)
        self.assert_answer(daemon, 502, "upstream_bad_response", "http_protocol_error")

    def test_no_answer(self):
        origin, daemon = self.faulty(lambda c: (c.read_request(), c.stall(30)), timeout={"response": "400ms"})
        self.assert_answer(daemon, 504, "response_timeout", "http_response_timeout")
        wait_until(lambda: origin.connections[0].closed.is_set(), what="the end of the upstream connection")

    def test_response_time_counts_from_the_last_byte_of_the_request(self):
        def handler(connection):
            message = connection.read_request()
            connection.send(response(200, str(len(message.body)).encode()))
        _, daemon = self.faulty(handler, timeout={"response": "700ms"})
        with daemon.client() as client:
            client.send(request("POST", "/", {"Content-Length": "10"}))
            for _ in range(10):
                client.send(b"x")
                time.sleep(0.15)  # together longer than timeout.response
            self.assertEqual(client.read("POST").text, "10")

    def test_total_time_out_before_the_head(self):
        _, daemon = self.faulty(lambda c: (c.read_request(), c.stall(30)), timeout={"total": "400ms"})
        self.assert_answer(daemon, 504, "total_timeout", "http_response_timeout")

    def cut(self, handler, cause, **more):
        """An answer that began and is cut: the client must notice."""
        origin, daemon = self.faulty(handler, **more)
        with daemon.client() as client:
            client.send(request())
            with self.assertRaises(Incomplete) as caught:
                answer = client.read()
                self.fail(f"delivered as complete: {answer} {answer.body[:100]}")
        record = daemon.wait_log(lambda r: True)
        self.assertEqual(record["cause"], cause)
        wait_until(lambda: daemon.errors(cause) == 1)
        wait_until(lambda: origin.connections[0].closed.is_set(), what="the end of the upstream connection")
        return caught.exception

    def begin(self, framing, then):
        def handler(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\n" + framing)
            then(connection)
        return handler

    def test_length_body_cut(self):
        error = self.cut(self.begin(b"Content-Length: 100\r\n\r\n12345", lambda c: None), "upstream_truncated")
        self.assertEqual(error.body, b"12345", "what came is delivered")

    def test_length_body_reset(self):
        self.cut(self.begin(b"Content-Length: 100\r\n\r\n12345", lambda c: (time.sleep(0.3), c.reset())), "upstream_truncated")

    def test_chunked_body_cut_between_chunks(self):
        self.cut(self.begin(b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", lambda c: None), "upstream_truncated")

    def test_chunked_body_cut_inside_a_chunk(self):
        self.cut(self.begin(b"Transfer-Encoding: chunked\r\n\r\n64\r\n12345", lambda c: None), "upstream_truncated")

    def test_chunked_body_cut_inside_the_last_chunk(self):
        self.cut(self.begin(b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n", lambda c: None), "upstream_truncated")

    def test_bad_chunk(self):
        def then(connection):
            go.wait(20)
            connection.send(b"zz\r\n")
            connection.stall(20)
        go = threading.Event()
        _, daemon = self.faulty(self.begin(b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", then))
        with daemon.client() as client:
            client.send(request())
            client.read(body=False)
            go.set()
            self.assertTrue(client.read_to_end().endswith(b"5\r\n12345\r\n"))
        self.assertEqual(daemon.wait_log(lambda r: True)["cause"], "upstream_bad_response")

    def test_bad_chunk_right_behind_the_head(self):
        """Nothing was sent yet: the client gets the 502 that it deserves."""
        _, daemon = self.faulty(self.begin(b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\nzz\r\n", lambda c: c.stall(20)))
        with daemon.client() as client:
            client.send(request())
            try:
                self.assertEqual(client.read().status, 502)
            except Incomplete:
                pass
        self.assertEqual(daemon.wait_log(lambda r: True)["cause"], "upstream_bad_response")

    def test_reset_inside_an_until_close_body(self):
        error = self.cut(self.begin(b"\r\nsome of the body", lambda c: (time.sleep(0.5), c.reset())), "upstream_truncated")
        self.assertEqual(error.body[:4], b"some")

    def test_reset_inside_an_until_close_body_for_http_1_0(self):
        """There the end of the connection is the end of the body: only a reset tells the client."""
        _, daemon = self.faulty(self.begin(b"\r\nsome of the body", lambda c: (time.sleep(0.5), c.reset())))
        with daemon.client() as client:
            client.send(request(version="1.0"))
            with self.assertRaises(Incomplete) as caught:
                client.read()
            self.assertTrue(caught.exception.reset)

    def test_chunked_body_cut_for_http_1_0(self):
        _, daemon = self.faulty(self.begin(b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", lambda c: None))
        with daemon.client() as client:
            client.send(request(version="1.0"))
            with self.assertRaises(Incomplete) as caught:
                client.read()
            self.assertTrue(caught.exception.reset)

    def test_body_that_stands_still(self):
        self.cut(self.begin(b"Content-Length: 100\r\n\r\n12345", lambda c: c.stall(30)), "idle_timeout", timeout={"idle": "500ms"})

    def test_total_time_out_inside_the_body(self):
        def trickle(connection):
            try:
                for _ in range(300):
                    connection.send(b"x")
                    time.sleep(0.1)
            except OSError:
                pass
        self.cut(self.begin(b"Content-Length: 1000\r\n\r\n", trickle), "total_timeout", timeout={"total": "700ms"})

    def test_cut_connection_is_not_used_again(self):
        def handler(connection):
            message = connection.read_request()
            if message.target == "/cut":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345")
                return
            connection.send(echo(message, connection))
        origin, daemon = self.faulty(handler)
        with daemon.client() as client, self.assertRaises(Incomplete):
            client.get("/cut")
        self.assertEqual(daemon.get("/whole").status, 200)


class Early(WeirTest):
    """Answers before the request is over."""

    def test_answer_while_uploading(self):
        def handler(connection):
            connection.reader.read_request(body=False)
            connection.send(response(403, b"not you", {"Connection": "close"}))
            connection.half_close()
            connection.stall(10)
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin], pool=ONCE))
        with daemon.client() as client:
            client.send(request("POST", "/", {"Content-Length": "10000000"}) + b"x" * 100000)
            answer = client.read("POST")
            self.assertEqual((answer.status, answer.body), (403, b"not you"))
        self.assertEqual(daemon.wait_log(lambda r: True)["status"], 403)

    def test_answer_and_reset_while_uploading(self):
        def handler(connection):
            connection.reader.read_request(body=False)
            connection.send(response(413, b"too much"))
            time.sleep(0.3)
            connection.reset()
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin], pool=ONCE))
        with daemon.client() as client:
            client.send(request("POST", "/", {"Content-Length": "50000000"}))
            sent = 0
            client.sock.settimeout(5)
            try:
                while sent < 50_000_000 and not client.reader.buffer:
                    sent += client.sock.send(b"x" * 65536)
                    client.sock.settimeout(0.001)
                    try:
                        client.reader.fill()
                    except TimeoutError:
                        pass
                    client.sock.settimeout(5)
            except (OSError, TimeoutError):
                pass
            client.sock.settimeout(30)
            answer = client.read("POST")
            self.assertEqual((answer.status, answer.body), (413, b"too much"))

    def test_unasked_bytes_on_an_idle_connection(self):
        """An origin that talks unasked (a stray 408) must not answer the next request with it."""
        talk = threading.Event()
        def handler(connection):
            while (message := connection.read_request()) is not None:
                connection.send(echo(message, connection))
                if connection.number == 0:
                    talk.wait(20)
                    connection.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\nConnection: close\r\n\r\nevil")
                    connection.stall(20)
                    return
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            self.assertEqual(client.get("/1").status, 200)
            talk.set()
            wait_until(lambda: origin.connections[0].closed.is_set(), what="the end of the connection that talked unasked")
            self.assertIn("/2", client.get("/2").text)
