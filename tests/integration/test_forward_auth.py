"""A service that decides whether a request may pass: what it is asked, what comes of its answer, and nothing without one."""
import threading

from harness import BlackHole, WeirTest, chunked, config, echo, request, response, wait_until


class ForwardAuth(WeirTest):
    timeout = 120

    def start(self, verdict, forward=None, sso=None, workers=1, services=1, **top):
        self.services = [self.origin(verdict) for _ in range(services)]
        self.service = self.services[0]
        self.app = self.origin(echo)
        pools = {"app": {"backends": {"a": self.app.url}},
                 "sso": {"backends": {f"s{i}": s.url for i, s in enumerate(self.services)}, **(sso or {})}}
        return self.weir(self.configuration(pools, forward, workers, **top))

    @staticmethod
    def configuration(pools, forward=None, workers=1, **top):
        routes = [{"name": "guarded", "match": {"path": "/guarded*"}, "pool": "app", "auth": {"forward": {"pool": "sso", "path": "/verify?a=1", **(forward or {})}}},
                  {"name": "rest", "pool": "app"}]
        return config(pools=pools, routes=routes, workers=workers, **top)

    def test_what_the_service_is_asked(self):
        daemon = self.start(lambda m, c: response(200, b""))
        body = b"b" * 5000
        answer = daemon.fetch("/guarded/%41?q=%2f", "POST", [("Cookie", "sid=1"), ("Authorization", "Bearer t"), ("X-Forwarded-Uri", "/forged"), ("X-Forwarded-Method", "GET"),
                                                             ("X-Forwarded-For", "192.0.2.1"), ("If-None-Match", '"x"'), ("Range", "bytes=0-1"), ("X-Other", "o")], body)
        self.assertEqual(answer.status, 200)
        asked = self.service.requests[-1]
        self.assertEqual((asked.method, asked.target, asked.body), ("GET", "/verify?a=1", b""))
        expected = {"cookie": "sid=1", "authorization": "Bearer t", "x-forwarded-method": "POST", "x-forwarded-uri": "/guarded/A?q=%2f", "x-forwarded-host": "test.example",
                    "x-forwarded-proto": "http", "x-forwarded-for": "127.0.0.1", "host": "test.example", "x-other": "o"}
        self.assertEqual({n: asked.header(n) for n in expected}, expected)
        for name in ("if-none-match", "range", "content-length", "transfer-encoding", "expect"):
            self.assertFalse(asked.has(name), name)
        seen = self.app.requests[-1]
        self.assertEqual((seen.method, seen.target, seen.body), ("POST", "/guarded/A?q=%2f", body))
        self.assertEqual((seen.header("authorization"), seen.header("if-none-match"), seen.header("range")), ("Bearer t", '"x"', "bytes=0-1"))
        self.assertFalse(seen.has("x-forwarded-uri"))

    def test_headers_of_its_answer(self):
        daemon = self.start(lambda m, c: response(200, b"welcome", [("X-User", "ann"), ("X-Groups", "a"), ("x-groups", "b"), ("X-Not-Listed", "1"), ("Authorization", "Bearer internal")]),
                            {"response_headers": ["X-User", "X-Groups", "X-Role", "Authorization"]})
        for _ in range(3):
            self.assertEqual(daemon.get("/guarded", [("X-User", "root"), ("x-USER", "root"), ("X-Role", "admin"), ("Authorization", "Basic mine"), ("X-Remote-User", "root")]).status, 200)
        seen, asked = self.app.requests[-1], self.service.requests[-1]
        self.assertEqual([seen.all(n) for n in ("x-user", "x-groups", "x-role", "authorization", "x-not-listed", "x-remote-user")], [["ann"], ["a", "b"], [], ["Bearer internal"], [], []])
        self.assertEqual([asked.all(n) for n in ("x-user", "x-role", "authorization")], [[], [], ["Basic mine"]])
        self.assertEqual(daemon.metrics().sum("weir_backend_connects_total", pool="sso"), 1, "the connection to the service is kept")
        daemon.get("/open", [("X-User", "of the app's own")])
        self.assertEqual(self.app.requests[-1].header("x-user"), "of the app's own")

    def test_a_no_goes_to_the_client(self):
        answers = {"/guarded/401": response(401, b"who are you?", [("WWW-Authenticate", "Bearer"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Type", "text/x")]),
                   "/guarded/403": response(403, b"no" * 20000), "/guarded/302": response(302, b"", [("Location", "https://login.example/?back=x")]),
                   "/guarded/chunked": b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\nX-Why: w\r\nConnection: X-Hop\r\nX-Hop: h\r\n\r\n" + chunked(b"not ", b"you")}
        daemon = self.start(lambda m, c: answers[m.header("x-forwarded-uri")])
        with daemon.client() as client:
            one = client.get("/guarded/401")
            self.assertEqual((one.status, one.text, one.all("set-cookie"), one.header("www-authenticate"), one.header("content-type")),
                             (401, "who are you?", ["a=1", "b=2"], "Bearer", "text/x"))
            two = client.get("/guarded/403")
            self.assertEqual((two.status, len(two.body)), (403, 40000))
            three = client.get("/guarded/302")
            self.assertEqual((three.status, three.header("location")), (302, "https://login.example/?back=x"))
            four = client.get("/guarded/chunked")
            self.assertEqual((four.status, four.text, four.header("x-why"), four.header("x-hop")), (403, "not you", "w", None))
            five = client.request("HEAD", "/guarded/401")
            self.assertEqual((five.status, five.body), (401, b""))
        self.assertEqual(self.app.count(), 0)
        wait_until(lambda: daemon.metrics().sum("weir_request_errors_total", route="guarded", cause="auth_refused") == 5)
        daemon.wait_log(lambda r: r["cause"] == "auth_refused" and r["status"] == 302)

    def assert_closed_to_all(self, daemon, count=1):
        before = daemon.errors("auth_unavailable")
        for _ in range(count):
            answer = daemon.get("/guarded")
            self.assertEqual(answer.status, 503)
            self.assertIn('error=destination_unavailable; details="auth_unavailable"', answer.header("proxy-status"))
            self.assertTrue(answer.header("retry-after"))
        self.assertEqual(self.app.count(), 0, "nothing passes without a yes")
        wait_until(lambda: daemon.errors("auth_unavailable") == before + count)
        self.assertEqual(daemon.metrics().sum("weir_pool_inflight", pool="sso"), 0)
        self.assertEqual(daemon.metrics().sum("weir_backend_inflight", pool="sso"), 0)

    def test_any_other_status_is_no_answer(self):
        for status in (400, 404, 429, 500, 502, 503):
            with self.subTest(status):
                self.assert_closed_to_all(self.start(lambda m, c, s=status: response(s, b"x")))

    def test_no_service_no_entry(self):
        def garbage(message, connection):
            connection.send(b"garbage\r\n\r\n")

        def cut(message, connection):
            connection.send(b"HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nabc")

        def reset(message, connection):
            connection.reset()
        for name, verdict in (("garbage", garbage), ("cut", cut), ("reset", reset), ("too long", lambda m, c: response(403, b"x" * 70000)),
                              ("switching", lambda m, c: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")):
            with self.subTest(name):
                self.assert_closed_to_all(self.start(verdict))
        with self.subTest("nobody listens"):
            daemon = self.start(lambda m, c: response(200))
            self.service.kill()
            self.assert_closed_to_all(daemon, 2)

    def test_a_service_that_is_too_slow(self):
        self.assert_closed_to_all(self.start(lambda m, c: c.stall(20), {"timeout": "200ms"}))
        hole = BlackHole()
        self.addCleanup(hole.close)
        self.app = self.origin(echo)
        pools = {"app": {"backends": {"a": self.app.url}}, "sso": {"backends": {"s": f"http://{hole.address}"}}}
        self.assert_closed_to_all(self.weir(self.configuration(pools, {"timeout": "200ms"})))

    def test_another_one_is_asked(self):
        daemon = self.start(lambda m, c: response(204), services=2, sso={"balance": "round_robin"})
        self.services[0].kill()
        self.assertEqual([daemon.get("/guarded").status for _ in range(6)], [200] * 6)
        self.assertEqual(self.services[1].count(), 6)

    def test_a_stale_connection_is_no_failure(self):
        daemon = self.start(lambda m, c: response(200))
        self.assertEqual(daemon.get("/guarded").status, 200)
        self.service.kill()
        self.service.start()
        self.assertEqual(daemon.get("/guarded").status, 200)

    def test_the_limit_of_its_pool(self):
        go = threading.Semaphore(0)
        self.addCleanup(lambda: [go.release() for _ in range(20)])

        def held(message, connection):
            go.acquire(timeout=60)
            return response(200)
        daemon = self.start(held, sso={"limits": {"inflight": 1}}, forward={"timeout": "60s"})
        first = self.client(daemon)
        first.send(request("GET", "/guarded"))
        wait_until(lambda: self.service.count() == 1)
        self.assertEqual(daemon.get("/guarded").status, 503)
        go.release()
        self.assertEqual(first.read().status, 200)

    def test_a_body_waits_for_the_answer(self):
        daemon = self.start(lambda m, c: response(200), workers=2)
        for size in (10, 70000, 1000000):
            body = bytes(i % 251 for i in range(size))
            self.assertEqual(daemon.fetch("/guarded", "PUT", body=body).status, 200)
            self.assertEqual(self.app.requests[-1].body, body)
            with daemon.client() as client:
                client.send(request("PUT", "/guarded", [("Transfer-Encoding", "chunked")]) + chunked(body[:size // 2], body[size // 2:]))
                self.assertEqual(client.read("PUT").status, 200)
            self.assertEqual(self.app.requests[-1].body, body)

    def test_pipelined(self):
        daemon = self.start(lambda m, c: response(200 if "yes" in m.header("x-forwarded-uri") else 403, b"n"))
        with daemon.client() as client:
            client.send(b"".join(request("GET", f"/guarded/{w}") for w in ("yes", "no", "yes", "no", "no", "yes")))
            self.assertEqual([client.read().status for _ in range(6)], [200, 403, 200, 403, 403, 200])

    def test_a_service_in_the_same_pool(self):
        app = self.origin(lambda m, c: response(200, m.target.encode()))
        daemon = self.weir(config([app], routes=[{"match": {"path": "/guarded"}, "pool": "app", "auth": {"forward": {"pool": "app", "path": "/verify"}}}, {"pool": "app"}]))
        with daemon.client() as client:
            self.assertEqual([client.get("/guarded").text for _ in range(5)], ["/guarded"] * 5)
        self.assertEqual(app.targets(), ["/verify", "/guarded"] * 5)

    def test_a_yes_in_pieces_behind_interim_answers(self):
        def pieces(message, connection):
            connection.send_pieces(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nX-User: ann\r\nContent-Length: 3\r\n\r\nyes", 1, 0.001)
        daemon = self.start(pieces, {"response_headers": "X-User"})
        for _ in range(3):
            self.assertEqual(daemon.get("/guarded").status, 200)
            self.assertEqual(self.app.requests[-1].header("x-user"), "ann")

    def test_a_client_that_does_not_wait(self):
        go = threading.Event()
        self.addCleanup(go.set)

        def held(message, connection):
            go.wait(60)
            return response(200)
        daemon = self.start(held, forward={"timeout": "60s"})
        for _ in range(5):
            client = self.client(daemon)
            client.send(request("GET", "/guarded"))
            wait_until(lambda: self.service.count() > 0)
            client.reset()
        wait_until(lambda: daemon.metrics().sum("weir_backend_inflight", pool="sso") == 0 and daemon.metrics().sum("weir_pool_inflight", pool="sso") == 0)
        go.set()
        self.assertEqual(daemon.get("/guarded").status, 200)

    def test_many_at_a_time(self):
        daemon = self.start(lambda m, c: response(200, b"ok", [("X-User", m.header("x-forwarded-uri"))]), {"response_headers": ["X-User"]}, workers=4, services=2)
        problems = []

        def run(number):
            with daemon.client() as client:
                for i in range(50):
                    target = f"/guarded/{number}/{i}"
                    if client.get(target).status != 200:
                        problems.append(target)
        threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assert_no_errors(problems)
        self.assertEqual(self.app.count(), 400)
        for seen in self.app.requests:
            self.assertEqual(seen.header("x-user"), seen.target)

    def test_reload_takes_the_guard_away(self):
        daemon = self.start(lambda m, c: response(403, b""))
        self.assertEqual(daemon.get("/guarded").status, 403)
        daemon.reload(config(pools={"app": {"backends": {"a": self.app.url}}}))
        wait_until(lambda: daemon.get("/guarded").status == 200)
