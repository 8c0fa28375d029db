"""docs/coming-from-*.md: what it shows of HAProxy and nginx is right, and does what Weir's side does; where the manual says that they differ, they do."""
import glob
import os
import ssl
import tempfile
import unittest
from base64 import b64encode

import peers
from client import Client
from harness import WeirTest, run_command, wait_until
from pairs import FILES, PASSWORD, PairTest
from tcp import hello_of

A, B, SPARE = "10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.9:8080"
PAGES = sorted(os.path.basename(p) for p in glob.glob(os.path.join(peers.ROOT, "docs", "coming-from*.md")))


def basic(name, password):
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


class Blocks(WeirTest):
    def check(self, language, least):
        folder = peers.Folder(FILES)
        self.addCleanup(folder.remove)
        found = [b for page in PAGES for b in peers.blocks(page) if b.language == language]
        self.assertGreaterEqual(len(found), least)
        self.assertEqual("\n".join(filter(None, (peers.check(b, folder) for b in found))), "")

    def test_haproxy(self):
        self.check("haproxy", 15)

    def test_nginx(self):
        self.check("nginx", 15)

    def test_ours(self):
        """unit_config reads each block of every page; here they are what `weir check` has no warning about."""
        folder = peers.Folder(FILES)
        self.addCleanup(folder.remove)
        for page in PAGES:
            for block in peers.blocks(page):
                if block.language != "yaml" or block.text.partition("\n")[0].endswith(".yml"):
                    continue
                with self.subTest(block=repr(block)), tempfile.NamedTemporaryFile("w", dir=folder.path, suffix=".yaml") as file:
                    file.write(folder.localized(peers.weir_text(block.text)))
                    file.flush()
                    code, _, err = run_command("check", file.name)
                    self.assertEqual((code, err), (0, ""))

    def test_every_pair_is_whole(self):
        for page in PAGES:
            for name, (theirs, ours) in peers.pairs(page).items():
                self.assertTrue(theirs and ours, f"{page}: {name}")
                self.assertIn(name, PAIRS_TRIED[page], f"{page}: no test tries it")


class Common(PairTest):
    """What both pages have to compare."""

    def shares(self, side, count):
        found = [side.ask().origin for _ in range(count)]
        return {a: found.count(a) for a in set(found)}

    def try_weights(self, name):
        pair = self.pair(name)
        for side in pair.sides:
            self.assertEqual(self.shares(side, 9), {A: 6, B: 3})
        return pair

    def try_tcp(self):
        """Sessions of mode tcp: both backends, the less loaded one first, and an end of one side is one for the other."""
        pair = self.pair("tcp")
        for side in pair.sides:
            with Client(side.address) as first, Client(side.address) as second:
                homes = {c.request("GET", "/").header("x-origin") for c in (first, second)}
                self.assertEqual(len(homes), 2)
        pair.origins["10.0.0.1:3306"].kill()
        for side in pair.sides:
            self.assertEqual({side.ask().origin for _ in range(6)}, {"10.0.0.2:3306"})
        return pair

    def try_sni(self):
        """Who names mail.example.com gets one backend, who names another one, or none, the other; the hello arrives as it was sent."""
        pair = self.pair("sni")
        context = ssl.create_default_context()
        context.check_hostname = False
        for name, home in (("mail.example.com", "10.0.0.1:443"), ("www.example.com", "10.0.0.2:443"), (None, "10.0.0.2:443")):
            for side in pair.sides:
                hello = hello_of(context, name)
                with Client(side.address) as client:
                    client.send(hello)
                    wait_until(lambda: any(hello in o.raw() for o in pair.origins.values()), what="the hello at an origin")  # noqa: B023
                self.assertEqual([a for a, o in pair.origins.items() if hello in o.raw()], [home], name)

    def try_hash(self, name, make):
        """The same key always to the same origin, and the keys to both."""
        pair = self.pair(name)
        for side in pair.sides:
            homes = {key: {side.ask(**make(key)).origin for _ in range(3)} for key in range(24)}
            self.assertEqual({len(h) for h in homes.values()}, {1})
            self.assertEqual(set().union(*homes.values()), {A, B})

    def try_backup(self, name, faster):
        pair = self.pair(name, faster)
        for side in pair.sides:
            self.assertEqual(set(self.shares(side, 6)), {A, B})
        pair.origins[A].kill()
        pair.origins[B].kill()
        for side in pair.sides:
            wait_until(lambda: side.ask().origin == SPARE, what="the spare one")
        return pair

    def try_password(self, name):
        pair = self.pair(name)
        self.assertEqual(self.assert_same(pair, target="/staff/x").status, 401)
        self.assertEqual(self.assert_same(pair, target="/staff/x", headers=basic("ann", "wrong")).status, 401)
        ours = self.assert_same(pair, target="/staff/x", headers=basic("ann", PASSWORD))
        self.assertEqual((ours.status, ours.header("x-remote-user"), ours.header("authorization")), (200, ["ann"], []))
        self.assertEqual(self.assert_same(pair, target="/").status, 200)
        for side in pair.sides:
            self.assertIn('realm="Staff"', side.ask("/staff/x").answer.header("www-authenticate"))

    def try_redirects(self, name, requests):
        pair = self.pair(name)
        for target, host, status, location in requests:
            ours = self.assert_same(pair, target=target, host=host)
            self.assertEqual((ours.status, ours.location), (status, location), target)
        return pair

    def try_rate(self, name):
        pair = self.pair(name)
        for side in pair.sides:
            self.assertEqual([side.ask().status for _ in range(12)], [200] * 10 + [429] * 2)
        self.assertTrue(pair.ours.ask().answer.header("retry-after"))

    def hold(self, side):
        """A request that stays with its origin."""
        client = Client(side.address)
        self.addCleanup(client.close)
        client.send(b"GET /hold HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
        self.assertTrue(self.holding.acquire(timeout=30))


class Haproxy(Common):
    page, kind = "coming-from-haproxy.md", "haproxy"

    def test_tcp(self):
        self.try_tcp()

    def test_sni(self):
        self.try_sni()

    def test_first(self):
        pair = self.try_weights("first")
        theirs, ours = pair.theirs.ask("/a//b?c=%41"), pair.ours.ask("/a//b?c=%41")
        self.assertEqual((theirs.status, theirs.target, theirs.header("host")), (ours.status, ours.target, ours.header("host")))
        self.assertEqual([s.header("x-forwarded-for") for s in (theirs, ours)], [["127.0.0.1"]] * 2)
        # What a client claims is only added to there.
        forged = {"X-Forwarded-For": "198.51.100.1"}
        self.assertEqual(pair.theirs.ask(headers=forged).header("x-forwarded-for"), ["198.51.100.1", "127.0.0.1"])
        self.assertEqual(pair.ours.ask(headers=forged).header("x-forwarded-for"), ["127.0.0.1"])

    def test_health(self):
        pair = self.try_backup("health", [("inter 2s", "inter 100ms"), ("interval: 2s", "interval: 100ms"), ("slowstart 30s", ""),
                                          (", slow_start: 30s", "")])
        checks = [r for r in pair.origins[SPARE].requests if r.target == "/healthz"]
        self.assertEqual({r.header("host") for r in checks}, {"app.example.com"})
        # All are down: HAProxy has nobody to ask, Weir asks all the same.
        pair.origins[SPARE].kill()
        wait_until(lambda: pair.theirs.ask().status == 503, what="no server")
        wait_until(lambda: pair.daemon.backend("spare")["status"] == "down", what="the spare one is down")
        self.assertEqual(pair.ours.ask().status, 502)
        pair.origins[A].start()
        for side in pair.sides:
            wait_until(lambda: side.ask().origin == A, what="the first one is back")

    def test_hash(self):
        self.try_hash("hash", lambda key: {"headers": {"X-Tenant": f"t{key}"}})

    def test_cookie(self):
        pair = self.pair("cookie")
        for side in pair.sides:
            first = side.ask()
            cookie = first.answer.header("set-cookie").partition(";")[0]
            self.assertTrue(cookie.startswith("SERVER="))
            again = [side.ask(headers={"Cookie": f"x=1; {cookie}"}) for _ in range(6)]
            self.assertEqual({s.origin for s in again}, {first.origin})
            self.assertEqual({tuple(s.header("cookie")) for s in again}, {("x=1",)}, "the application doesn't see it")

    def test_routing(self):
        pair = self.pair("routing")
        for request, origin in [({"host": "shop.example.com", "headers": {"X-Beta": "1"}}, "10.0.1.1:8080"),
                                ({"host": "SHOP.example.com"}, A),
                                ({"host": "other.example.com", "headers": {"X-Beta": "1"}}, A),
                                ({"target": "/api/users?x=1"}, "10.0.2.1:8080"),
                                ({"target": "/api"}, "10.0.2.1:8080"),
                                ({"target": "/api/users", "method": "POST", "body": b"x"}, "10.0.3.1:8080"),
                                ({"target": "/apis"}, A),
                                ({"target": "/"}, A)]:
            self.assertEqual(self.assert_same(pair, **request).origin, origin, request)

    def test_rewrite(self):
        pair = self.pair("rewrite")
        for target, seen in [("/api/users?x=1", "/v2/users?x=1"), ("/api/", "/v2/"), ("/apis", "/apis"), ("/other/api/", "/other/api/")]:
            self.assertEqual(self.assert_same(pair, target=target).target, seen)

    def test_headers(self):
        pair = self.pair("headers")
        sent = {"X-Area": "forged", "X-Hop": "first", "X-Debug": "1", "X-Odd-Case": "kept"}
        ours = self.assert_same(pair, "x-area", "x-hop", "x-debug", "x-odd-case", headers=sent)
        self.assertEqual((ours.header("x-area"), ours.header("x-hop"), ours.header("x-debug")), (["shop"], ["first", "weir"], []))
        theirs = pair.theirs.ask(headers=sent)
        for seen in (ours, theirs):
            self.assertEqual((seen.answer.header("cache-control"), seen.answer.header("server")), ("no-store", None))
        self.assertIn(("X-Odd-Case", "kept"), ours.fields)
        self.assertIn(("x-odd-case", "kept"), theirs.fields)

    def test_redirects(self):
        pair = self.try_redirects("redirects", [
            ("/a?b=1", "example.com", 301, "http://www.example.com/a?b=1"),
            ("/shop", "www.example.com", 308, "http://www.example.com/store"),
            ("/robots.txt", "www.example.com", 200, None)])
        for side in pair.sides:
            answer = side.ask("/robots.txt").answer
            self.assertEqual((answer.text, answer.header("content-type")), ("User-agent: *", "text/plain"))
        self.assertEqual(pair.ours.ask("/shop?x=1").location, "http://www.example.com/store?x=1", "the query stays")
        self.assertEqual(pair.theirs.ask("/shop?x=1").location, "http://www.example.com/store")

    def test_addresses(self):
        pair = self.pair("addresses")
        self.assertEqual(self.assert_same(pair, target="/admin/x").status, 403)
        self.assertEqual(self.assert_same(pair, target="/").status, 200)
        # A path is cleaned before it is compared; theirs is not.
        self.assertEqual((pair.theirs.ask("/x/../admin/x").status, pair.ours.ask("/x/../admin/x").status), (200, 403))

    def test_password(self):
        self.try_password("password")

    def test_rate(self):
        self.try_rate("rate")

    def test_limits(self):
        pair = self.pair("limits")
        for side in pair.sides:
            self.hold(side)
            self.assertEqual(side.ask().status, 503)

    def test_retries(self):
        pair = self.pair("retries")
        pair.origins[A].kill()
        for side in pair.sides:
            self.assertEqual(self.shares(side, 4), {B: 4})
        # Nobody at all: the status differs.
        pair.origins[B].kill()
        self.assertEqual((pair.theirs.ask().status, pair.ours.ask().status), (503, 502))


class Nginx(Common):
    page, kind = "coming-from-nginx.md", "nginx"

    @unittest.skipUnless(os.path.exists(peers.STREAM), "libnginx-mod-stream is not installed")
    def test_tcp(self):
        self.try_tcp()

    @unittest.skipUnless(os.path.exists(peers.STREAM), "libnginx-mod-stream is not installed")
    def test_sni(self):
        self.try_sni()

    def test_first(self):
        pair = self.try_weights("first")
        theirs, ours = pair.theirs.ask("/a//b?c=%41"), pair.ours.ask("/a//b?c=%41")
        self.assertEqual((theirs.status, theirs.target), (ours.status, ours.target))
        for name in ("host", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "connection"):
            self.assertEqual(theirs.header(name), ours.header(name), name)
        # What a client claims is only added to there.
        forged = {"X-Forwarded-For": "198.51.100.1"}
        self.assertEqual(pair.theirs.ask(headers=forged).header("x-forwarded-for"), ["198.51.100.1, 127.0.0.1"])
        self.assertEqual(pair.ours.ask(headers=forged).header("x-forwarded-for"), ["127.0.0.1"])

    def test_hash(self):
        self.try_hash("hash", lambda key: {"headers": {"X-Tenant": f"t{key}"}})

    def test_backup(self):
        pair = self.try_backup("backup", [])
        pair.origins[SPARE].kill()
        self.assertEqual((pair.theirs.ask().status, pair.ours.ask().status), (502, 502))
        for address in (A, B, SPARE):
            pair.origins[address].start()
        self.assertEqual(pair.ours.ask().status, 200, "it goes on trying")

    def test_routing(self):
        pair = self.pair("routing")
        for host, target, origin in [("shop.example.com", "/api/x", "10.0.2.1:8080"), ("a.b.shop.example.com", "/", "10.0.2.1:8080"),
                                     ("www.example.com", "/api/x?y=1", "10.0.1.1:8080"), ("www.example.com", "/apis", A),
                                     ("www.example.com", "/status/", A), ("www.example.com", "/status", None), ("other.example.net", "/", A)]:
            theirs, ours = pair.theirs.ask(target, host=host), pair.ours.ask(target, host=host)
            self.assertEqual((theirs.status, theirs.origin, theirs.target), (ours.status, ours.origin, ours.target), (host, target))
            self.assertEqual((ours.status, ours.origin), (200, origin), (host, target))
        for side in pair.sides:
            self.assertEqual(side.ask("/status").answer.text, "fine")
        # The name after proxy_pass is their Host.
        self.assertEqual((pair.theirs.ask().header("host"), pair.ours.ask().header("host")), (["app"], ["www.example.com"]))

    def test_rewrite(self):
        pair = self.pair("rewrite")
        for target, seen in [("/api/users?x=1", "/v2/users?x=1"), ("/api/", "/v2/"), ("/apis", "/apis"), ("/other/api/", "/other/api/")]:
            self.assertEqual(self.assert_same(pair, target=target).target, seen)
        self.assertEqual((pair.theirs.ask("/api").status, pair.ours.ask("/api").target), (301, "/v2"))

    def test_headers(self):
        pair = self.pair("headers")
        sent = {"X-Area": "forged", "X-Debug": "1", "X-Odd-Case": "kept", "X_Under": "1"}
        ours = self.assert_same(pair, "x-area", "x-debug", "x-odd-case", "x_under", headers=sent)
        self.assertEqual((ours.header("x-area"), ours.header("x-debug"), ours.header("x_under")), (["shop"], [], []))
        theirs = pair.theirs.ask()
        self.assertEqual([s.answer.header("cache-control") for s in (theirs, ours)], ["no-store"] * 2)
        self.assertEqual((theirs.answer.header("server").partition("/")[0], ours.answer.header("server")), ("nginx", None))

    def test_redirects(self):
        pair = self.try_redirects("redirects", [
            ("/a?b=1", "example.com", 301, "http://www.example.com/a?b=1"),
            ("/shop", "www.example.com", 308, "http://www.example.com/store"),
            ("/shop?x=1", "www.example.com", 308, "http://www.example.com/store?x=1"),
            ("/robots.txt", "www.example.com", 200, None)])
        for side in pair.sides:
            answer = side.ask("/robots.txt").answer
            self.assertEqual((answer.text, answer.header("content-type")), ("User-agent: *", "text/plain"))

    def test_addresses(self):
        pair = self.pair("addresses")
        self.assertEqual(self.assert_same(pair, target="/admin/x").status, 403)
        self.assertEqual(self.assert_same(pair, target="/x/../admin/x").status, 403)
        self.assertEqual(self.assert_same(pair, target="/").status, 200)

    def test_password(self):
        self.try_password("password")

    def test_question(self):
        pair = self.pair("question")
        theirs, ours = pair.theirs.ask("/app/x"), pair.ours.ask("/app/x")
        self.assertEqual((theirs.status, ours.status), (401, 401))
        self.assertEqual((theirs.origin, ours.target), (None, "/verify"), "ours is the service's own page")
        ours = self.assert_same(pair, "x-user", target="/app/x?y=1", headers={"X-Token": "good", "X-User": "forged"})
        self.assertEqual((ours.status, ours.header("x-user")), (200, ["ann"]))

    def test_rate(self):
        self.try_rate("rate")

    def test_sizes(self):
        pair = self.pair("sizes")
        self.assertEqual(self.assert_same(pair, method="POST", headers={"Content-Length": "2000000"}).status, 413)
        self.assertEqual(self.assert_same(pair, method="POST", body=b"x" * 1000000).status, 200)

    def test_retries(self):
        pair = self.pair("retries")
        pair.origins[A].kill()
        for side in pair.sides:
            self.assertEqual(self.shares(side, 4), {B: 4})
        pair.origins[B].kill()
        self.assertEqual((pair.theirs.ask().status, pair.ours.ask().status), (502, 502))


# Page → the pairs that a test starts.
PAIRS_TRIED = {page: {name.removeprefix("test_") for case in (Haproxy, Nginx) if case.page == page for name in dir(case) if name.startswith("test_")}
               for page in PAGES}
