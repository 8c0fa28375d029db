"""What Weir makes itself (redirects, cookies) goes by what a trusted proxy says of how its client came."""
import json

from harness import WeirTest, config, echo

ROUTES = [{"name": "to-tls", "match": {"header": {"X-Forwarded-Proto": "http"}, "path": "/secure/*"}, "redirect": {"status": 308, "scheme": "https"}},
          {"name": "moved", "match": {"path": "/old"}, "redirect": {"path": "/new"}},
          {"name": "away", "match": {"path": "/away"}, "redirect": {"host": "other.example"}},
          {"name": "rest", "pool": "app"}]
SHOP = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example"}


class Redirects(WeirTest):
    def daemon(self, trusted=("127.0.0.0/8",), **more):
        return self.weir(config([self.origin(echo)], routes=ROUTES if trusted else ROUTES[1:], trusted_proxies=list(trusted), **more))

    def location(self, daemon, target, headers, **more):
        with daemon.client(**more) as client:
            return client.get(target, headers, host="10.0.0.5:8080").header("location")

    def test_a_trusted_proxy_is_believed(self):
        daemon = self.daemon()
        for headers, location in ((SHOP, "https://shop.example/new"), ({}, "http://10.0.0.5:8080/new"),
                                  ({"X-Forwarded-Proto": "HTTPS"}, "https://10.0.0.5:8080/new"),
                                  ({"X-Forwarded-Host": "shop.example:8443"}, "http://shop.example:8443/new"),
                                  ({"X-Forwarded-Host": "[2001:db8::1]"}, "http://[2001:db8::1]/new")):
            with self.subTest(headers=headers):
                self.assertEqual(self.location(daemon, "/old", headers), location)
        self.assertEqual(self.location(daemon, "/away", SHOP), "https://other.example/away")

    def test_nobody_else_is(self):
        self.assertEqual(self.location(self.daemon(trusted=()), "/old", SHOP), "http://10.0.0.5:8080/new")
        self.assertEqual(self.location(self.daemon(trusted=("10.0.0.0/8",)), "/old", SHOP), "http://10.0.0.5:8080/new")

    def test_nonsense_is_left_out(self):
        daemon = self.daemon()
        for headers in ([("X-Forwarded-Proto", "javascript")], [("X-Forwarded-Proto", "https,http")], [("X-Forwarded-Proto", "")],
                        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")], [("X-Forwarded-Host", "a.example, b.example")],
                        [("X-Forwarded-Host", "evil.example/path?")], [("X-Forwarded-Host", "user@evil.example")], [("X-Forwarded-Host", "a:b")],
                        [("X-Forwarded-Host", "")], [("X-Forwarded-Host", "a.example"), ("X-Forwarded-Host", "b.example")],
                        [("X-Forwarded-Host", "[::1")], [("X-Forwarded-Host", "a.example\\")], [("X-Forwarded-Host", "a.example:123456")]):
            with self.subTest(headers=headers):
                self.assertEqual(self.location(daemon, "/old", headers), "http://10.0.0.5:8080/new")

    def test_to_tls_behind_who_ends_it(self):
        """The client that has followed the redirect is not sent there again."""
        daemon = self.daemon()
        self.assertEqual(self.location(daemon, "/secure/x?a=1", {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "shop.example"}),
                         "https://shop.example/secure/x?a=1")
        self.assertEqual(daemon.get("/secure/x?a=1", SHOP).status, 200)

    def test_explain_says_the_same(self):
        daemon = self.daemon()
        words = [word for name, value in SHOP.items() for word in ("-H", f"{name}: {value}")]
        told = json.loads(daemon.command("explain", "--live", "GET", "/old", *words, "--client", "127.0.0.1", "--json")[1])
        self.assertIn("https://shop.example/new", json.dumps(told))
        told = json.loads(daemon.command("explain", "--live", "GET", "/old", *words, "--client", "192.0.2.1", "--json")[1])
        self.assertNotIn("shop.example", json.dumps(told))


class Cookies(WeirTest):
    def cookie(self, headers, trusted=("127.0.0.1",)):
        settings = config([self.origin(), self.origin()], pool={"affinity": {}}, trusted_proxies=list(trusted), secret="keys")
        daemon = self.weir(settings, files={"keys": "k" * 40 + "\n"})
        return daemon.get("/", headers).header("set-cookie")

    def test_secure_where_the_client_has_tls(self):
        for headers, trusted, secure in (({"X-Forwarded-Proto": "https"}, ["127.0.0.1"], True), ({"X-Forwarded-Proto": "http"}, ["127.0.0.1"], False),
                                         ({}, ["127.0.0.1"], False), ({"X-Forwarded-Proto": "https"}, [], False)):
            with self.subTest(headers=headers, trusted=trusted):
                cookie = self.cookie(headers, trusted)
                self.assertIn("HttpOnly", cookie)
                self.assertEqual("; Secure" in cookie, secure, cookie)
