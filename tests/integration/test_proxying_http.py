"""Requests and answers go through whole, in every framing that HTTP/1 has, over connections that are kept."""
from harness import SharedTest, WeirTest, chunked, config, echo, request, response, wait_until


class KeepAlive(WeirTest):
    def test_both_sides_are_kept(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            for i in range(20):
                self.assertEqual(client.get(f"/{i}").status, 200)
        self.assertEqual(len(origin.connections), 1, "the upstream connection was not kept")
        with daemon.client() as client:
            self.assertEqual(client.get("/other-client").status, 200)
        self.assertEqual(len(origin.connections), 1, "the pool is not shared by clients")

    def test_client_asks_to_close(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        client = self.client(daemon)
        answer = client.get("/", {"Connection": "close"})
        self.assertEqual((answer.status, answer.header("connection")), (200, "close"))
        self.assert_closed(client)
        self.assertEqual(daemon.get("/").status, 200)
        self.assertEqual(len(origin.connections), 1, "a client's close must not end the upstream connection")

    def test_origin_closes_after_each_answer(self):
        origin = self.origin(lambda m, c: response(200, b"ok", {"Connection": "close"}))
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            for _ in range(5):
                answer = client.get("/")
                self.assertEqual((answer.status, answer.header("connection")), (200, None))
        self.assertEqual(len(origin.connections), 5)

    def test_http_1_0_client(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        client = self.client(daemon)
        client.send(b"GET /old HTTP/1.0\r\nHost: a\r\n\r\n")
        answer = client.read()
        self.assertEqual(answer.status, 200)
        self.assert_closed(client)
        self.assertEqual(origin.requests[0].version, "1.1")

    def test_http_1_0_keep_alive(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        client = self.client(daemon)
        for i in range(3):
            client.send(b"GET /%d HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" % i)
            answer = client.read()
            self.assertEqual((answer.status, (answer.header("connection") or "").lower()), (200, "keep-alive"))

    def test_http_1_0_gets_no_chunks(self):
        origin = self.origin(lambda m, c: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello ", b"world"))
        daemon = self.weir(config([origin]))
        for connection in (b"", b"Connection: keep-alive\r\n"):
            client = self.client(daemon)
            client.send(b"GET / HTTP/1.0\r\nHost: a\r\n" + connection + b"\r\n")
            answer = client.read()
            self.assertEqual((answer.framing, answer.body), ("close", b"hello world"))

    def test_http_1_0_origin(self):
        origin = self.origin(lambda m, c: (c.send(b"HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\nold body"), None)[1])
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            for _ in range(2):
                answer = client.get("/")
                self.assertEqual((answer.status, answer.body), (200, b"old body"))
                self.assertEqual(answer.framing, "chunked", "an until-close body goes on in chunks to an HTTP/1.1 client")

    def test_http_1_0_origin_with_keep_alive(self):
        origin = self.origin(lambda m, c: b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            for _ in range(5):
                self.assertEqual(client.get("/").body, b"ok")

    def test_pipelining(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            client.send(b"".join(request("GET" if i % 3 else "POST", f"/p{i}", body=None if i % 3 else b"b" * i) for i in range(30)))
            for i in range(30):
                answer = client.read()
                self.assertEqual(answer.status, 200)
                self.assertIn(f" /p{i} HTTP", answer.text)
        self.assertEqual(origin.targets(), [f"/p{i}" for i in range(30)])

    def test_pipelining_in_pieces_of_one_byte(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            client.send_pieces(b"".join(request("POST", f"/p{i}", body=b"body") for i in range(5)), 1)
            for i in range(5):
                self.assertIn(f" /p{i} HTTP", client.read("POST").text)

    def test_pipelined_close_ends_the_row(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        client = self.client(daemon)
        client.send(request("GET", "/1") + request("GET", "/2", {"Connection": "close"}) + request("GET", "/3"))
        self.assertEqual(client.read().status, 200)
        self.assertEqual(client.read().status, 200)
        self.assertEqual(client.read_to_end(), b"")
        self.assertEqual(origin.targets(), ["/1", "/2"])

    def test_many_clients_share_few_connections(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        clients = [self.client(daemon) for _ in range(20)]
        for client in clients:
            self.assertEqual(client.get("/").status, 200)
        self.assertEqual(len(origin.connections), 1)


class Bodies(SharedTest):
    def test_request_bodies(self):
        for size in (0, 1, 100, 16384, 1_000_003):
            body = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000 + 1)
            body = body[:size]
            for framing in ("length", "chunked"):
                with self.subTest(size=size, framing=framing):
                    target = "/" + self.unique("body")
                    if framing == "length":
                        data = request("POST", target, body=body)
                    else:
                        pieces = [body[i:i + 9973] for i in range(0, size, 9973)]
                        data = request("POST", target, {"Transfer-Encoding": "chunked"}) + chunked(*pieces)
                    seen = self.assert_accepted(data)
                    self.assertEqual(seen.body, body)
                    self.assertEqual(seen.framing, framing)

    def test_no_body_is_no_length(self):
        self.assertEqual(self.assert_accepted(request("GET", "/none")).framing, "none")
        self.assertEqual(self.assert_accepted(request("POST", "/zero", {"Content-Length": "0"})).all("content-length"), ["0"])

    def test_body_in_pieces(self):
        for framing in ("length", "chunked"):
            body = b"0123456789" * 30
            target = "/" + self.unique("pieces")
            data = (request("PUT", target, body=body) if framing == "length" else
                    request("PUT", target, {"Transfer-Encoding": "chunked"}) + chunked(body[:7], body[7:]))
            with self.daemon.client() as client:
                client.send_pieces(data, 1)
                self.assertTrue(client.read("PUT").body.endswith(body))


class Answers(WeirTest):
    def through(self, raw, method="GET", origin_closes=False):
        origin = self.origin(lambda m, c: (c.send(raw), None)[1] if origin_closes else raw)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            client.send(request(method))
            answer = client.read(method)
            if answer.keep_alive():
                client.send(request(method))
                self.assertEqual(client.read(method).status, answer.status, "the second answer on the same connection")
        return answer

    def test_length(self):
        answer = self.through(response(200, b"x" * 100000))
        self.assertEqual((answer.framing, len(answer.body)), ("length", 100000))
        self.assertEqual(self.through(response(200, b"")).all("content-length"), ["0"])

    def test_chunked(self):
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"a", b"b" * 70000, b"c")
        answer = self.through(raw)
        self.assertEqual((answer.framing, answer.body), ("chunked", b"a" + b"b" * 70000 + b"c"))

    def test_empty_chunked(self):
        answer = self.through(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        self.assertEqual((answer.framing, answer.body), ("chunked", b""))

    def test_until_close(self):
        answer = self.through(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70000, origin_closes=True)
        self.assertEqual((answer.framing, answer.body), ("chunked", b"x" * 70000))

    def test_response_trailers_are_dropped(self):
        raw = b"HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", trailers=b"X-T: 1\r\nSet-Cookie: evil=1\r\n")
        answer = self.through(raw)
        self.assertEqual((answer.body, answer.trailers), (b"abc", []))

    def test_response_chunk_extensions_are_dropped(self):
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc", b"def", extension=b";a=b")
        self.assertEqual(self.through(raw).body, b"abcdef")

    def test_head(self):
        for raw in (response(200, b"", {"Content-Length": "12345"}), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                    b"HTTP/1.1 200 OK\r\n\r\n"):
            with self.subTest(raw=raw):
                answer = self.through(raw, "HEAD")
                self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(self.through(response(200, b"", {"Content-Length": "12345"}), "HEAD").all("content-length"), ["12345"])

    def test_no_content(self):
        self.assertEqual(self.through(response(204)).body, b"")

    def test_not_modified(self):
        answer = self.through(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1000\r\n\r\n")
        self.assertEqual((answer.status, answer.body, answer.header("etag")), (304, b"", '"x"'))

    def test_statuses_pass(self):
        for status in (200, 201, 206, 301, 302, 400, 401, 403, 404, 418, 429, 451, 500, 501, 505, 511, 599):
            with self.subTest(status=status):
                answer = self.through(response(status, b"body"))
                self.assertEqual((answer.status, answer.body), (status, b"body"))

    def test_reason_passes(self):
        self.assertEqual(self.through(response(200, b"", reason="Very Fine")).reason, "Very Fine")

    def test_answer_in_pieces(self):
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello", b"world", trailers=b"X: 1\r\n")
        def reply(message, connection):
            connection.send_pieces(raw, 1)
            return b""
        origin = self.origin(reply)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            for _ in range(3):
                self.assertEqual(client.get("/").body, b"helloworld")
        self.assertEqual(len(origin.connections), 1)

    def test_whole_answer_before_the_body_was_sent(self):
        """An origin that answers early and reads the rest: client and connection go on."""
        def handler(connection):
            while (message := connection.reader.read_request(body=False)) is not None:
                connection.send(response(200, b"early"))
                connection.reader.read_body(message, int(message.header("content-length") or 0))
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            client.send(request("POST", "/", {"Content-Length": "5000"}) + b"x" * 100)
            answer = client.read("POST")
            self.assertEqual((answer.status, answer.body), (200, b"early"))


class Interim(WeirTest):
    RAW = (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + response(200, b"ok"))

    def test_relayed_to_1_1(self):
        origin = self.origin(lambda m, c: self.RAW)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            for _ in range(2):
                answer = client.get("/")
                self.assertEqual([m.status for m in answer.interim], [103, 102])
                self.assertEqual(answer.interim[0].header("link"), "</a.css>")
                self.assertEqual((answer.status, answer.body), (200, b"ok"))

    def test_never_to_1_0(self):
        origin = self.origin(lambda m, c: self.RAW)
        daemon = self.weir(config([origin]))
        answer = daemon.get("/", version="1.0")
        self.assertEqual((answer.interim, answer.status), ([], 200))

    def test_100_without_expect(self):
        origin = self.origin(lambda m, c: b"HTTP/1.1 100 Continue\r\n\r\n" + response(200, b"ok"))
        daemon = self.weir(config([origin]))
        self.assertEqual(daemon.get("/", version="1.0").interim, [])
        self.assertEqual(daemon.get("/").status, 200)

    def test_arrives_at_once(self):
        def reply(message, connection):
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
            connection.go = wait_until(lambda: ready, 20)
            return response(200, b"ok")
        ready = []
        origin = self.origin(reply)
        daemon = self.weir(config([origin]))
        with daemon.client() as client:
            client.send(request())
            self.assertEqual(client.read(interim=False).status, 103)
            ready.append(True)
            self.assertEqual(client.read().status, 200)


class MaxForwards(WeirTest):
    def test_options(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        answer = daemon.fetch("/", "OPTIONS", {"Max-Forwards": "0"})
        self.assertEqual(answer.status, 200)
        self.assertEqual(origin.count(), 0)
        daemon.fetch("/", "OPTIONS", {"Max-Forwards": "5"})
        self.assertEqual(origin.requests[0].all("max-forwards"), ["4"])
        daemon.get("/", {"Max-Forwards": "0"})
        self.assertEqual(origin.count(), 2, "Max-Forwards means nothing with GET")
