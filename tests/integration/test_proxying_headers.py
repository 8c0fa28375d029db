"""What the daemon says about the client and itself, and sockets of every family on both sides."""
import json
import os
import re
import tempfile

from harness import SharedTest, WeirTest, config, echo, fetch, request


class Fields(SharedTest):
    def test_fields_that_are_set(self):
        seen = self.assert_accepted(request("GET", "/set", {"User-Agent": "x", "Accept": "*/*"}, host="shop.example:81"))
        self.assertEqual(seen.all("host"), ["shop.example:81"], "the Host stays as sent")
        self.assertEqual(seen.all("x-forwarded-for"), ["127.0.0.1"])
        self.assertEqual(seen.all("x-forwarded-proto"), ["http"])
        self.assertEqual(seen.all("x-forwarded-host"), ["shop.example:81"])
        self.assertEqual(seen.all("x-forwarded-port"), [self.daemon.address().rpartition(":")[2]])
        self.assertEqual(seen.all("x-real-ip"), ["127.0.0.1"])
        self.assertRegex(seen.header("via"), r"\A1\.1 \S+\Z")
        self.assertRegex(seen.header("x-request-id"), r"\A[0-9a-f]{32}\Z")
        self.assertFalse(seen.has("forwarded"))

    def test_request_ids_differ_and_stand_in_the_log(self):
        ids = {self.assert_accepted(request("GET", "/id")).header("x-request-id") for _ in range(20)}
        self.assertEqual(len(ids), 20)
        for one in ids:
            self.daemon.wait_log(lambda r, one=one: r["request_id"] == one)

    def test_via_is_appended(self):
        seen = self.assert_accepted(request("GET", "/via", {"Via": "1.0 first"}))
        self.assertRegex(seen.header("via"), r"\A1\.0 first, 1\.1 \S+\Z")
        seen = self.assert_accepted(b"GET /via10 HTTP/1.0\r\nHost: a\r\n\r\n")
        self.assertRegex(seen.header("via"), r"\A1\.0 \S+\Z")

    def test_order_and_spelling_are_kept(self):
        names = ["X-zEBRA", "accept", "X-Apple", "USER-AGENT", "x-zebra"]
        seen = self.assert_accepted(request("GET", "/order", [(n, str(i)) for i, n in enumerate(names)]))
        self.assertEqual([n for n, _ in seen.fields if n in names], names)

    def test_empty_values_pass(self):
        seen = self.assert_accepted(request("GET", "/empty", {"X-Empty": ""}))
        self.assertEqual(seen.all("x-empty"), [""])


class Forwarded(WeirTest):
    def test_option(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], http={"forwarded": True}))
        daemon.get("/", host="shop.example")
        value = origin.requests[0].header("forwarded").lower()
        self.assertIn("for=127.0.0.1", value.replace('"', ""))
        self.assertIn("proto=http", value)
        self.assertIn("host=shop.example", value.replace('"', ""))

    def test_host_modes(self):
        origin = self.origin(echo)
        for mode, expected in (("keep", "shop.example"), ("upstream", origin.address), ("fixed.example", "fixed.example")):
            with self.subTest(mode=mode):
                daemon = self.weir(config([origin], pool={"host": mode}))
                daemon.get("/", host="shop.example")
                self.assertEqual(origin.requests[-1].all("host"), [expected])
                self.assertEqual(origin.requests[-1].all("x-forwarded-host"), ["shop.example"])

    def test_proxy_status_names_no_backend(self):
        origin = self.origin(start=False)
        daemon = self.weir(config([origin]))
        answer = daemon.get("/")
        self.assertEqual(answer.status, 502)
        self.assertIn("connection_refused", answer.header("proxy-status"))
        self.assertNotIn("b1", answer.header("proxy-status"))
        self.assertNotIn(origin.address, answer.raw_head.decode("latin-1"))
        self.assertNotIn(origin.address, answer.text)

    def test_proxy_status_exposed(self):
        origin = self.origin(start=False)
        daemon = self.weir(config([origin], http={"expose": True}))
        self.assertIn("b1", daemon.get("/").header("proxy-status"))


class Sockets(WeirTest):
    def test_origins_of_every_family(self):
        for kind in ("ipv4", "ipv6", "unix"):
            with self.subTest(kind=kind):
                origin = self.origin(echo, kind=kind)
                daemon = self.weir(config([origin]))
                with daemon.client() as client:
                    for _ in range(3):
                        self.assertEqual(client.request("POST", "/", body=b"x" * 5000).status, 200)
                self.assertEqual(origin.requests[0].all("x-forwarded-for"), ["127.0.0.1"])
                self.assertEqual(len(origin.connections), 1)

    def test_listeners_of_every_family(self):
        origin = self.origin(echo)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "weir.sock")
            daemon = self.weir(config([origin], listeners={"four": {"bind": "127.0.0.1:0"}, "six": {"bind": "[::1]:0"},
                                                           "path": {"bind": "unix:" + path}}, workers=2))
            for listener, client in (("four", "127.0.0.1"), ("six", "::1"), ("path", None)):
                with self.subTest(listener=listener):
                    self.assertEqual(daemon.get("/", listener=listener).status, 200)
                    seen = origin.requests[-1]
                    if client:
                        self.assertEqual(seen.all("x-real-ip"), [client])
                        self.assertIn(seen.header("x-forwarded-for"), (client, f"[{client}]"))
            daemon.signal(15)
            self.assertEqual(daemon.wait_exit(), 0)
            self.assertFalse(os.path.exists(path), "the socket file was left behind")

    def test_several_binds_of_a_listener(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], listener={"bind": ["127.0.0.1:0", "[::1]:0"]}))
        self.assertEqual(len(daemon.addresses()), 2)
        for address in daemon.addresses():
            self.assertEqual(fetch(address).status, 200)

    def test_dual_stack(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], listener={"bind": ":0"}))
        port = daemon.address().rpartition(":")[2]
        self.assertEqual(fetch(f"127.0.0.1:{port}").status, 200)
        self.assertEqual(origin.requests[-1].all("x-real-ip"), ["127.0.0.1"], "IPv4 is written as IPv4")
        self.assertEqual(fetch(f"[::1]:{port}").status, 200)
        self.assertEqual(origin.requests[-1].all("x-real-ip"), ["::1"])


class Pages(WeirTest):
    def refused(self, accept, **settings):
        origin = self.origin(start=False)
        daemon = self.weir(config([origin], **settings))
        return daemon.get("/", {"Accept": accept} if accept else ())

    def test_html_or_json(self):
        for accept, kind in (("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"), ("application/json", "application/"),
                             ("application/json, text/html;q=0.5", "application/")):
            with self.subTest(accept=accept):
                answer = self.refused(accept)
                self.assertEqual(answer.status, 502)
                self.assertIn(kind, answer.header("content-type"))
                if kind == "application/":
                    self.assertIn("json", answer.header("content-type"))
                    self.assertEqual(json.loads(answer.text)["status"], 502)
                else:
                    self.assertIn("<", answer.text)

    def test_own_pages(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "502.html")
            with open(path, "w") as file:
                file.write("<h1>our own page</h1>")
            answer = self.refused("text/html", error_pages={"502": path})
            self.assertEqual((answer.status, answer.text), (502, "<h1>our own page</h1>"))

    def test_pages_carry_the_request_id_and_no_version(self):
        answer = self.refused("text/html")
        self.assertFalse(re.search(r"\d+\.\d+\.\d+", answer.header("server") or ""), "the version is nobody's business")
        self.assertTrue(answer.has("date"))

    def test_head_gets_no_body(self):
        origin = self.origin(start=False)
        daemon = self.weir(config([origin]))
        client = self.client(daemon)
        for _ in range(2):
            answer = client.request("HEAD", "/")
            self.assertEqual((answer.status, answer.body), (502, b""))
