"""Which pool a request goes to, and what a route changes on the way."""
from harness import WeirTest, config, echo, request, response, wait_until


class Matching(WeirTest):
    def start(self, *matches, **top):
        """A pool p0, p1, … for each match, and `other` for the rest."""
        self.names = [f"p{i}" for i in range(len(matches))] + ["other"]
        self.origins = {n: self.origin(lambda m, c, n=n: response(200, n.encode())) for n in self.names}
        routes = [{"match": m, "pool": f"p{i}"} for i, m in enumerate(matches)] + [{"pool": "other"}]
        return self.weir(config(pools={n: {"backends": {"b": o.url}} for n, o in self.origins.items()}, routes=routes, **top))

    def check(self, daemon, cases):
        for arguments, expected in cases:
            with self.subTest(arguments=arguments):
                self.assertEqual(daemon.fetch(**arguments).text, expected)

    def test_hosts(self):
        daemon = self.start({"host": "a.example"}, {"host": "*.example.com"}, {"host": ["x.example", "Y.Example"]})
        self.check(daemon, [({"host": h}, e) for h, e in (
            ("a.example", "p0"), ("A.EXAMPLE", "p0"), ("a.example:8080", "p0"), ("b.a.example", "other"), ("www.example.com", "p1"),
            ("a.b.example.com", "p1"), ("example.com", "other"), ("xexample.com", "other"), ("x.example", "p2"), ("y.example", "p2"))])

    def test_paths(self):
        daemon = self.start({"path": "/exact"}, {"path": "/tree/*"}, {"path": "/pre*"}, {"path": "/users/{id}/posts"}, {"path": "/{lang}/docs/*"})
        self.check(daemon, [({"target": t}, e) for t, e in (
            ("/exact", "p0"), ("/exact?q=1", "p0"), ("/exact/", "other"), ("/exactly", "other"), ("/tree", "p1"), ("/tree/", "p1"), ("/tree/a/b", "p1"),
            ("/trees", "other"), ("/pre", "p2"), ("/prefix/a", "p2"), ("/users/7/posts", "p3"), ("/users/7/8/posts", "other"), ("/users//posts", "other"),
            ("/en/docs", "p4"), ("/en/docs/a/b", "p4"), ("/en/fr/docs", "other"), ("/", "other"))])

    def test_methods(self):
        daemon = self.start({"method": ["GET", "HEAD"], "path": "/read"}, {"method": "POST"})
        self.check(daemon, [({"method": m, "target": "/read"}, e) for m, e in (("GET", "p0"), ("POST", "p1"), ("DELETE", "other"), ("get", "other"))])

    def test_headers(self):
        daemon = self.start({"header": {"X-Beta": "1"}}, {"header": {"X-Any": "*"}})
        self.check(daemon, [({"headers": h}, e) for h, e in (
            ({"X-Beta": "1"}, "p0"), ({"x-beta": "1"}, "p0"), ({"X-Beta": "2"}, "other"), ((("X-Beta", "0"), ("X-Beta", "1")), "p0"), ({"X-Any": "whatever"}, "p1"))])

    def test_query(self):
        daemon = self.start({"query": {"v": "2"}}, {"query": {"debug": "*"}})
        self.check(daemon, [({"target": t}, e) for t, e in (
            ("/?v=2", "p0"), ("/?a=1&v=2", "p0"), ("/?v=22", "other"), ("/?xv=2", "other"), ("/?debug", "p1"), ("/?debug=1", "p1"), ("/v=2", "other"))])

    def test_first_match_wins(self):
        daemon = self.start({"path": "/a/b"}, {"path": "/a/*"}, {"path": "/*", "host": "h.example"})
        self.check(daemon, [({"target": "/a/b", "host": "h.example"}, "p0"), ({"target": "/a/c", "host": "h.example"}, "p1"),
                            ({"target": "/b", "host": "h.example"}, "p2"), ({"target": "/b"}, "other")])

    def test_listeners(self):
        a, b = self.origin(lambda m, c: response(200, b"a")), self.origin(lambda m, c: response(200, b"b"))
        daemon = self.weir(config(listeners={"one": {"bind": "127.0.0.1:0"}, "two": {"bind": "127.0.0.1:0"}},
                                  pools={"a": {"backends": {"x": a.url}}, "b": {"backends": {"x": b.url}}},
                                  routes=[{"match": {"listener": "one"}, "pool": "a"}, {"pool": "b"}]))
        self.assertEqual((daemon.get("/", listener="one").text, daemon.get("/", listener="two").text), ("a", "b"))

    def test_no_route(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], routes=[{"match": {"path": "/only"}, "pool": "app"}]))
        client = self.client(daemon)
        answer = client.get("/other")
        self.assertEqual(answer.status, 404)
        self.assertIn("destination_not_found", answer.header("proxy-status"))
        self.assertEqual(client.get("/only").status, 200, "the connection stays usable")
        daemon.wait_log(lambda r: r["cause"] == "no_route" and r["status"] == 404)
        wait_until(lambda: daemon.errors("no_route") == 1)

    def test_no_route_with_a_body(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], routes=[{"match": {"path": "/only"}, "pool": "app"}]))
        with daemon.client() as client:
            client.send(request("POST", "/other", body=b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n") + request("GET", "/only"))
            self.assertEqual(client.read("POST").status, 404)
        self.assertNotIn("/smuggled", origin.targets())

    def test_log_and_metrics_name_the_route(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], routes=[{"name": "shop", "match": {"path": "/shop/*"}, "pool": "app"}, {"pool": "app"}]))
        daemon.get("/shop/1")
        record = daemon.wait_log(lambda r: r["target"] == "/shop/1")
        self.assertEqual((record["route"], record["pool"], record["backend"], record["listener"]), ("shop", "app", "b1", "web"))
        wait_until(lambda: daemon.metrics().sum("weir_requests_total", route="shop", code="2xx") == 1)


class Changing(WeirTest):
    def start(self, **route):
        self.origin_ = self.origin(lambda m, c: response(200, b"ok", [("X-Origin", "1"), ("Server", "secret/1.0"), ("X-Twice", "a"), ("X-Twice", "b")]))
        return self.weir(config([self.origin_], routes=[{"pool": "app", **route}]))

    def test_rewrite_prefix(self):
        daemon = self.start(match={"path": "/api/*"}, rewrite={"prefix": ["/api", "/"]})
        for sent, seen in (("/api/users", "/users"), ("/api/users/1?q=/api", "/users/1?q=/api"), ("/api", "/"), ("/api/", "/"), ("/api/a%2Fb", "/a%2Fb")):
            with self.subTest(sent=sent):
                daemon.get(sent)
                self.assertEqual(self.origin_.requests[-1].target, seen)
        daemon = self.start(match={"path": "/api*"}, rewrite={"prefix": ["/api", "/v2"]})
        for sent, seen in (("/api/a", "/v2/a"), ("/apis/a", "/apis/a")):
            daemon.get(sent)
            self.assertEqual(self.origin_.requests[-1].target, seen)
        daemon = self.start(match={"path": "/old/*"}, rewrite={"prefix": ["/old", "/new/place"]})
        daemon.get("/old/a?b")
        self.assertEqual(self.origin_.requests[-1].target, "/new/place/a?b")

    def test_request_headers(self):
        daemon = self.start(request_headers={"set": {"X-Set": "new", "X-Env": "prod"}, "add": {"X-Add": "2"}, "remove": ["X-Gone"]})
        daemon.get("/", [("X-Set", "old"), ("x-set", "older"), ("X-Add", "1"), ("X-Gone", "x"), ("x-gone", "y")])
        seen = self.origin_.requests[0]
        self.assertEqual((seen.all("x-set"), seen.all("x-env"), seen.all("x-add"), seen.all("x-gone")), (["new"], ["prod"], ["1", "2"], []))

    def test_response_headers(self):
        daemon = self.start(response_headers={"set": {"X-Origin": "2", "Strict-Transport-Security": "max-age=1"}, "add": {"X-Twice": "c"}, "remove": ["Server"]})
        answer = daemon.get("/")
        self.assertEqual((answer.all("x-origin"), answer.all("x-twice"), answer.has("server")), (["2"], ["a", "b", "c"], False))
        self.assertEqual(answer.header("strict-transport-security"), "max-age=1")

    def test_rules_hold_for_what_weir_writes_itself(self):
        daemon = self.start(request_headers={"set": {"X-Forwarded-For": "mine", "Via": "1.1 other"}, "remove": ["X-Real-IP", "X-Request-Id", "X-Forwarded-Port"]})
        daemon.get("/", [("X-Real-IP", "6.6.6.6")])
        seen = self.origin_.requests[0]
        self.assertEqual((seen.all("x-forwarded-for"), seen.all("via")), (["mine"], ["1.1 other"]))
        self.assertEqual([n for n in ("x-real-ip", "x-request-id", "x-forwarded-port") if seen.has(n)], [])
        self.assertTrue(seen.has("x-forwarded-host"))

    def test_names_are_sent_as_they_are_written(self):
        daemon = self.start(request_headers={"set": {"X-CamelCase": "1"}}, response_headers={"set": {"X-ShoutY": "1"}})
        answer = daemon.get("/")
        self.assertIn("X-CamelCase", [name for name, _ in self.origin_.requests[0].fields])
        self.assertIn("X-ShoutY", [name for name, _ in answer.fields])

    def test_response_headers_on_our_own_answers(self):
        origin = self.origin(start=False)
        rules = {"set": {"Content-Type": "text/css", "Cache-Control": "private"}, "add": {"X-Own": "1"}, "remove": ["Date", "X-Request-Id"]}
        daemon = self.weir(config([origin], pool={"retry": False}, routes=[
            {"match": {"path": "/fixed"}, "respond": {"body": "a {}"}, "response_headers": rules},
            {"match": {"path": "/away"}, "redirect": {"path": "/"}, "response_headers": {"remove": "Location"}},
            {"pool": "app", "response_headers": rules}]))
        for target, status in (("/fixed", 200), ("/dead", 502)):
            answer = daemon.get(target)
            self.assertEqual(answer.status, status)
            self.assertEqual([answer.all(n) for n in ("content-type", "cache-control", "x-own", "date", "x-request-id")],
                             [["text/css"], ["private"], ["1"], [], []], target)
            self.assertEqual(answer.header("content-length"), str(len(answer.body)))
        self.assertFalse(daemon.get("/away").has("location"))

    def test_respond(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], routes=[{"match": {"path": "/robots.txt"}, "respond": {"status": 200, "body": "User-agent: *\n"}},
                                                    {"match": {"path": "/gone"}, "respond": {"status": 410}}, {"pool": "app"}]))
        client = self.client(daemon)
        for _ in range(3):
            answer = client.get("/robots.txt")
            self.assertEqual((answer.status, answer.text), (200, "User-agent: *\n"))
            self.assertIn("text/plain", answer.header("content-type"))
            self.assertEqual(client.request("HEAD", "/robots.txt").header("content-length"), "14")
            self.assertEqual(client.get("/gone").status, 410)
        self.assertEqual(origin.count(), 0)
        daemon.wait_log(lambda r: r["cause"] == "fixed_response")

    def test_redirect(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], routes=[
            {"match": {"path": "/secure/*"}, "redirect": {"status": 301, "scheme": "https"}},
            {"match": {"path": "/moved"}, "redirect": {"status": 308, "host": "new.example", "path": "/place"}}, {"pool": "app"}]))
        answer = daemon.get("/secure/a%20b?x=%41", host="shop.example")
        self.assertEqual((answer.status, answer.header("location")), (301, "https://shop.example/secure/a%20b?x=%41"))
        answer = daemon.get("/secure/", host="shop.example:8080")
        self.assertEqual(answer.header("location"), "https://shop.example/secure/", "the port belongs to the old scheme")
        for query in ("", "?a=1&b=%20"):
            answer = daemon.get("/moved" + query)
            self.assertEqual((answer.status, answer.header("location")), (308, "http://new.example/place" + query))
        self.assertEqual(origin.count(), 0)

    def test_time_outs_of_the_route(self):
        origin = self.origin(lambda m, c: c.stall(30) and None)
        daemon = self.weir(config([origin], pool={"timeout": {"response": "60s"}}, routes=[
            {"match": {"path": "/quick"}, "pool": "app", "timeout": {"response": "300ms"}},
            {"match": {"path": "/total"}, "pool": "app", "timeout": {"total": "300ms"}}, {"pool": "app"}]))
        self.assertEqual(daemon.get("/quick").status, 504)
        daemon.wait_log(lambda r: r["target"] == "/quick" and r["cause"] == "response_timeout")
        self.assertEqual(daemon.get("/total").status, 504)
        daemon.wait_log(lambda r: r["target"] == "/total" and r["cause"] == "total_timeout")
