"""The request line, the host and the path: what is refused, and what of it reaches the origin in which form."""
from harness import SharedTest, WeirTest, config, echo, request


class RequestLine(SharedTest):
    def refuse_all(self, cases):
        for data, status in cases:
            with self.subTest(data=data[:80]):
                self.assert_refused(data, status)

    def test_versions(self):
        self.refuse_all([(b"GET /UNIQUE HTTP/%s\r\nHost: a\r\n\r\n" % v, 505) for v in (b"2.0", b"1.2", b"0.9", b"3.0")])
        self.refuse_all([(b"GET /UNIQUE\r\nHost: a\r\n\r\n", 400), (b"GET /UNIQUE HTTP/11\r\nHost: a\r\n\r\n", 400),
                         (b"GET /UNIQUE http/1.1\r\nHost: a\r\n\r\n", 400), (b"GET /UNIQUE HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
                         (b"GET /UNIQUE HTTP/1.1x\r\nHost: a\r\n\r\n", 400)])

    def test_malformed_lines(self):
        self.refuse_all([(b" GET /UNIQUE HTTP/1.1\r\nHost: a\r\n\r\n", 400), (b"GET  /UNIQUE HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                         (b"GET\t/UNIQUE HTTP/1.1\r\nHost: a\r\n\r\n", 400), (b"G@T /UNIQUE HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                         (b"GET UNIQUE HTTP/1.1\r\nHost: a\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\x01\x00UNIQUE\r\n\r\n", 400)])

    def test_long_method(self):
        self.refuse_all([(b"M" * 33 + b" /UNIQUE HTTP/1.1\r\nHost: a\r\n\r\n", 501)])
        self.assertEqual(self.assert_accepted(request("M" * 32, "/method")).method, "M" * 32)

    def test_lower_case_methods_stay_distinct(self):
        self.assertEqual(self.assert_accepted(request("get", "/lower")).method, "get")

    def test_bytes_of_the_target(self):
        self.refuse_all([(b"GET /UNIQUE" + b + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400)
                         for b in (b"\x01", b"\x7f", b"#x", b"\xc3\xa9", b"\\x", b"\x00", b"?\xff", b"?a#b")])

    def test_backslash_in_the_query_passes(self):
        self.assertEqual(self.assert_accepted(request("GET", "/q?p=C:\\x")).target, "/q?p=C:\\x")

    def test_long_target(self):
        self.assert_refused(b"GET /UNIQUE" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414)
        self.assert_accepted(request("GET", "/" + "a" * 8000))

    def test_endless_request_line(self):
        with self.daemon.client() as client:
            client.send_all_possible(b"GET /" + b"a" * 200000)
            answer = self.parse_one(client.read_to_end())
            self.assertEqual(answer.status, 414)

    def test_connect_and_trace(self):
        for method, target in (("CONNECT", "origin:80"), ("CONNECT", "/UNIQUE"), ("TRACE", "/UNIQUE")):
            with self.subTest(method=method, target=target):
                answer = self.assert_refused(request(method, target), 405)
                self.assertTrue(answer.header("allow"), "405 names what is allowed")

    def test_asterisk(self):
        self.assert_refused(b"GET * HTTP/1.1\r\nHost: a\r\nX: UNIQUE\r\n\r\n", 400)
        self.assertEqual(self.assert_accepted(request("OPTIONS", "*")).target, "*")


class Host(SharedTest):
    def test_refused(self):
        for line in (b"", b"Host: a\r\nHost: a\r\n", b"Host: a\r\nHost: b\r\n", b"Host: a,b\r\n", b"Host: a b\r\n", b"Host: user@a\r\n",
                     b"Host: a/b\r\n", b"Host: a?b\r\n", b"Host: a#b\r\n", b"Host: a\\b\r\n", b"Host: a:x\r\n", b"Host: [::1\r\n",
                     b"Host: a\xe9\r\n", b"Host: <a>\r\n", b"Host: a:99999\r\n", b"Host: http://a\r\n", b'Host: "a"\r\n', b"Host: [::g]\r\n"):
            with self.subTest(line=line):
                self.assert_refused(b"GET /UNIQUE HTTP/1.1\r\n" + line + b"\r\n", 400)

    def test_passed(self):
        for host in ("a", "a:8080", "[::1]", "[::1]:80", "127.0.0.1", "A.Example.COM:1", "a-b_c.example", "xn--bcher-kva.example"):
            with self.subTest(host=host):
                self.assertEqual(self.assert_accepted(request("GET", "/host", host=host)).all("host"), [host])

    def test_http_1_0_without_host(self):
        self.assert_accepted(b"GET /old HTTP/1.0\r\n\r\n")

    def test_absolute_form_replaces_host(self):
        seen = self.assert_accepted(request("GET", "http://other.example:81/abs?x=1", host="test.example"))
        self.assertEqual((seen.target, seen.all("host")), ("/abs?x=1", ["other.example:81"]))
        seen = self.assert_accepted(request("GET", "HTTP://other.example", host="test.example"))
        self.assertEqual((seen.target, seen.all("host")), ("/", ["other.example"]))
        seen = self.assert_accepted(request("GET", "http://other.example?q", host="test.example"))
        self.assertEqual(seen.target, "/?q")

    def test_absolute_form_of_another_scheme(self):
        for target in (b"https://other.example/UNIQUE", b"ftp://other.example/UNIQUE", b"http:///UNIQUE", b"http://u@h/UNIQUE", b"http:/UNIQUE"):
            with self.subTest(target=target):
                self.assert_refused(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400)

    def test_absolute_form_is_never_a_connect_target(self):
        other = self.origin(echo)
        self.assert_accepted(request("GET", f"http://{other.address}/elsewhere"))
        self.assertEqual(other.connections, [])


class Paths(SharedTest):
    def test_forwarded_form(self):
        for sent, forwarded in (("/a/./b", "/a/b"), ("/a/../b", "/b"), ("/a/b/..", "/a/"), ("/%61%2d%7E", "/a-~"), ("/%e2%82%ac", "/%E2%82%AC"),
                                ("/a//b", "/a//b"), ("/a;p=1/b", "/a;p=1/b"), ("/%2e%2e", None), ("/a/%2e%2e/b", "/b"), ("/a%20b", "/a%20b"),
                                ("/a/%2E/b", "/a/b"), ("/a%2Fb", "/a%2Fb"), ("/a%2fb", "/a%2Fb"), ("/a%5cb", "/a%5Cb"), ("//x/y", "//x/y"),
                                ("/a+b", "/a+b"), ("/.", "/"), ("/..a", "/..a"), ("/a/...", "/a/..."), ("/%3Fa", "/%3Fa"), ("/%23", "/%23")):
            with self.subTest(sent=sent):
                if forwarded is None:
                    self.assert_refused(request("GET", sent, {"X": "UNIQUE"}), 400)
                else:
                    self.assertEqual(self.assert_accepted(request("GET", sent)).target, forwarded)

    def test_query_passes_byte_for_byte(self):
        for query in ("?t=a%0D%0Ab&n=%2Fhome&p=C:\\x&q=100%", "?", "?%zz", "?a=/../b", "?%61", "??", "?%00"):
            with self.subTest(query=query):
                self.assertEqual(self.assert_accepted(request("GET", "/f" + query)).target, "/f" + query)

    def test_refused(self):
        for path in ("/%00", "/%0", "/%", "/%zz", "/%0a", "/%0D", "/%1f", "/%7f", "/..", "/../a", "/a/../../b", "/%2e%2e/a", "/a/.%2e/../../b",
                     "/a%2f..%2fb", "/a/..%2f", "/..%5c", "/%2e%2f", "/a%2f.%2fb"):
            with self.subTest(path=path):
                self.assert_refused(request("GET", path, {"X": "UNIQUE"}), 400)


class Matching(WeirTest):
    """Routes see the merged form, without parameters; the origin sees what was sent."""

    def test_slashes_and_parameters(self):
        inner, outer = self.origin(echo), self.origin(echo)
        daemon = self.weir(config(pools={"inner": {"backends": {"b": inner.url}}, "outer": {"backends": {"b": outer.url}}},
                                  routes=[{"match": {"path": "/admin/*"}, "pool": "inner"}, {"pool": "outer"}]))
        for path in ("/admin/x", "//admin/x", "/admin//x", "/admin;v=1/x", "/a/../admin/x", "/%61dmin/x", "/admin;p", "//admin"):
            with self.subTest(path=path):
                before = inner.count()
                self.assertEqual(daemon.get(path).status, 200)
                self.assertEqual(inner.count(), before + 1, "an access rule was passed by")
        for path in ("/admin%2Fx", "/Admin/x", "/adminx"):
            with self.subTest(path=path):
                before = outer.count()
                self.assertEqual(daemon.get(path).status, 200)
                self.assertEqual(outer.count(), before + 1)

    def test_leading_slashes_are_no_authority(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        self.assertEqual(daemon.get("//evil.example/x").status, 200)
        self.assertEqual((origin.requests[0].target, origin.requests[0].all("host")), ("//evil.example/x", ["test.example"]))

    def test_escaped_slash_and_parameters_can_be_rejected(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], http={"escaped_slash": "reject", "path_params": "reject"}))
        for path in ("/a%2Fb", "/a%5cb", "/a;b"):
            with self.subTest(path=path):
                self.assertEqual(daemon.get(path).status, 400)
        self.assertEqual(daemon.get("/a?b=%2F;c").status, 200)

    def test_unknown_host(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], routes=[
            {"match": {"host": "known.example"}, "pool": "app"},
            {"match": {"host": "moved.example"}, "redirect": {"status": 301, "scheme": "https", "host": "known.example"}}]))
        answer = daemon.get("/", host="unknown.example")
        self.assertEqual(answer.status, 404)
        self.assertEqual(origin.count(), 0)
        answer = daemon.get("/p?q=1", host="moved.example")
        self.assertEqual((answer.status, answer.header("location")), (301, "https://known.example/p?q=1"))

    def test_redirect_does_not_lead_elsewhere(self):
        daemon = self.weir(config(routes=[{"redirect": {"status": 302, "scheme": "https", "host": "safe.example"}}], pools={}))
        answer = daemon.get("//evil.example/%2e%2e", host="x")
        if answer.status == 302:
            self.assertTrue(answer.header("location").startswith("https://safe.example/"), answer.header("location"))
        else:
            self.assertEqual(answer.status, 400)
