"""Fields and whom to believe: forged forwarding fields, underscores, Connection, and what may stand in a log."""
import json
import tempfile

from harness import SharedTest, WeirTest, config, echo, request, response, run_command
from tls import Authority, CertifiedTest, TlsClient

FORGED = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil", "X-Forwarded-Port": "evil",
          "X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X-Request-Id": "forged", "X-Forwarded-Server": "evil", "X-Forwarded-Prefix": "/evil",
          "X-Forwarded": "for=6.6.6.6"}


class Untrusted(SharedTest):
    def test_forged_fields_are_replaced(self):
        for spelling in (str, str.lower, str.upper):
            with self.subTest(spelling=spelling):
                seen = self.assert_accepted(request("GET", "/forged", {spelling(n): v for n, v in FORGED.items()}))
                head = seen.raw_head.lower()
                for word in (b"6.6.6.6", b"evil", b"forged"):
                    self.assertNotIn(word, head.replace(b"get /forged", b""))
                self.assertEqual(seen.all("x-forwarded-for"), ["127.0.0.1"])
                self.assertEqual(seen.all("x-real-ip"), ["127.0.0.1"])
                self.assertEqual(seen.all("x-forwarded-proto"), ["http"])
                self.assertEqual(seen.all("x-forwarded-host"), ["test.example"])
                self.assertEqual(seen.all("x-forwarded-port"), [self.daemon.address().rpartition(":")[2]])
                self.assertRegex(seen.header("x-request-id"), r"\A[0-9a-f]{32}\Z")

    def test_repeated_forged_fields(self):
        seen = self.assert_accepted(request("GET", "/repeated", [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "2.2.2.2"),
                                                                 ("X-Real-IP", "3.3.3.3"), ("X-Real-IP", "4.4.4.4")]))
        self.assertEqual((seen.all("x-forwarded-for"), seen.all("x-real-ip")), (["127.0.0.1"], ["127.0.0.1"]))

    def test_underscores_are_dropped_and_counted(self):
        name = "weir_request_headers_dropped_total"
        before = self.daemon.metrics().sum(name, reason="underscore")
        seen = self.assert_accepted(request("GET", "/under", {"X_Forwarded_For": "6.6.6.6", "Content_Length": "5", "X-Fine": "1"}))
        self.assertNotIn(b"_", seen.raw_head)
        self.assertTrue(seen.has("x-fine"))
        self.assertEqual(self.daemon.metrics().sum(name, reason="underscore"), before + 2)

    def test_connection_nominated_fields_are_removed(self):
        seen = self.assert_accepted(request("GET", "/nominated", {"Connection": "X-Secret, x-other", "X-Secret": "1", "X-Other": "2", "X-Stays": "3"}))
        self.assertEqual((seen.has("x-secret"), seen.has("x-other"), seen.has("x-stays")), (False, False, True))
        seen = self.assert_accepted(request("GET", "/nominated2", [("Connection", "close"), ("X-Secret", "1"), ("Connection", "x-secret")]))
        self.assertFalse(seen.has("x-secret"))

    def test_connection_may_not_name_what_matters(self):
        for name in ("Host", "Content-Length", "Transfer-Encoding", "Authorization", "Cookie", "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto",
                     "X-Request-Id", "Via", "x-forwarded-host", "X-Forwarded", "X-Remote-User", "x-client-cert-subject", "traceparent", "Tracestate"):
            with self.subTest(name=name):
                self.assert_refused(request("POST", "/UNIQUE", {"Connection": "keep-alive, " + name, "Authorization": "a", "Cookie": "b=c"}, b"x"), 400)

    def test_hop_by_hop_fields_are_removed(self):
        fields = {"Connection": "keep-alive", "Keep-Alive": "timeout=5", "Proxy-Connection": "keep-alive", "Proxy-Authorization": "Basic x",
                  "Proxy": "http://evil", "TE": "trailers", "Trailer": "X-T"}
        seen = self.assert_accepted(request("GET", "/hop", fields))
        for name in ("keep-alive", "proxy-connection", "proxy-authorization", "proxy", "te"):
            self.assertFalse(seen.has(name), name)

    def test_all_values_of_a_repeated_field_are_kept(self):
        seen = self.assert_accepted(request("GET", "/repeat", [("X-A", "1"), ("X-B", "x"), ("X-A", "2"), ("Cookie", "a=1"), ("Cookie", "b=2")]))
        self.assertEqual(seen.all("x-a"), ["1", "2"])
        self.assertEqual(seen.all("cookie"), ["a=1", "b=2"])

    def test_logs_escape(self):
        target = self.unique("escape")
        self.assert_accepted(b"GET /" + target.encode() + b' HTTP/1.1\r\nHost: a\r\nUser-Agent: a"b\\c\t\xff\xc3\xa9\r\n\r\n')
        record = self.daemon.wait_log(lambda r: target in str(r))
        with open(self.daemon.log_path, "rb") as file:
            line = next(line for line in file if target.encode() in line)
        self.assertFalse(any(b < 0x20 or b == 0x7f for b in line[:-1]), line)
        line.decode("utf-8")  # valid
        self.assertIn('a"b\\c', json.dumps(record, ensure_ascii=False).replace('\\"', '"').replace("\\\\", "\\"))

    def test_logged_fields_are_cut(self):
        name = self.unique("long")
        self.assert_accepted(request("GET", "/" + name, {"User-Agent": "u" * 20000}))
        self.daemon.wait_log(lambda r: name in str(r))
        with open(self.daemon.log_path, "rb") as file:
            line = next(line for line in file if name.encode() in line)
        self.assertLess(len(line), 12000)


class Trusted(WeirTest):
    def forwarded(self, trusted, headers, **more):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], trusted_proxies=trusted, **more))
        answer = daemon.get("/", headers)
        self.assertEqual(answer.status, 200, answer.text)
        return origin.requests[0], daemon

    def test_trusted_peer_is_believed(self):
        seen, _ = self.forwarded(["127.0.0.0/8"], {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example",
                                                   "X-Forwarded-Port": "443", "X-Request-Id": "abc-123"})
        self.assertEqual(seen.header("x-forwarded-for"), "9.9.9.9, 127.0.0.1")
        self.assertEqual(seen.all("x-real-ip"), ["9.9.9.9"])
        self.assertEqual(seen.all("x-forwarded-proto"), ["https"])
        self.assertEqual(seen.all("x-forwarded-host"), ["shop.example"])
        self.assertEqual(seen.all("x-forwarded-port"), ["443"])
        self.assertEqual(seen.all("x-request-id"), ["abc-123"])

    def test_client_is_the_rightmost_untrusted_address(self):
        seen, daemon = self.forwarded(["127.0.0.1", "10.0.0.0/8"], [("X-Forwarded-For", "6.6.6.6, 9.9.9.9"), ("X-Forwarded-For", "10.1.1.1,10.2.2.2")])
        self.assertEqual(seen.all("x-real-ip"), ["9.9.9.9"])
        daemon.wait_log(lambda r: r["client"] == "9.9.9.9")

    def test_empty_elements_of_the_list_are_skipped(self):
        for value in ("6.6.6.6, 9.9.9.9,", "9.9.9.9, ,\t, 10.1.1.1 ,", ",9.9.9.9"):
            with self.subTest(value=value):
                seen, _ = self.forwarded(["127.0.0.1", "10.0.0.0/8"], [("X-Forwarded-For", value), ("X-Forwarded-For", ",")])
                self.assertEqual(seen.all("x-real-ip"), ["9.9.9.9"])

    def test_garbage_in_the_list_ends_the_belief(self):
        seen, daemon = self.forwarded(["127.0.0.1", "10.0.0.0/8"], {"X-Forwarded-For": "9.9.9.9, _hidden, 10.1.1.1"})
        self.assertEqual(seen.all("x-real-ip"), ["unknown"])
        self.assertEqual(seen.header("x-forwarded-for"), "9.9.9.9, _hidden, 10.1.1.1, 127.0.0.1")
        daemon.wait_log(lambda r: r["client"] == "unknown")

    def test_an_address_has_one_spelling(self):
        for element, client in (("9.9.9.9:1234", "9.9.9.9"), ("[2001:db8::1]:443", "2001:db8::1"), ("[2001:DB8:0::1]", "2001:db8::1"),
                                ("::ffff:9.9.9.9", "9.9.9.9"), ("[::ffff:9.9.9.9]:80", "9.9.9.9"), ("fe80::1%eth0", "fe80::1"),
                                ("9.9.9.9:1, 10.1.1.1:2", "9.9.9.9"), ("9.9.9.9, ::ffff:10.1.1.1", "9.9.9.9")):
            with self.subTest(element=element):
                seen, daemon = self.forwarded(["127.0.0.1", "10.0.0.0/8"], {"X-Forwarded-For": element})
                self.assertEqual(seen.all("x-real-ip"), [client])
                self.assertEqual(seen.header("x-forwarded-for"), element + ", 127.0.0.1", "the list is passed on as it came")
                daemon.wait_log(lambda r: r["client"] == client)

    def test_peer_outside_the_list_is_not_believed(self):
        seen, _ = self.forwarded(["10.0.0.0/8"], {"X-Forwarded-For": "9.9.9.9", "X-Request-Id": "abc"})
        self.assertEqual(seen.all("x-real-ip"), ["127.0.0.1"])
        self.assertNotEqual(seen.all("x-request-id"), ["abc"])

    def test_ipv6_in_the_list(self):
        seen, _ = self.forwarded(["127.0.0.1", "fd00::/8"], {"X-Forwarded-For": "2001:db8::1, fd00::2"})
        self.assertEqual(seen.all("x-real-ip"), ["2001:db8::1"])


class Underscores(WeirTest):
    def test_reject(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], http={"underscores": "reject"}))
        self.assertEqual(daemon.get("/", {"X_A": "1"}).status, 400)
        self.assertEqual(origin.count(), 0)

    def test_allow(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], http={"underscores": "allow"}))
        self.assertEqual(daemon.get("/", {"X_A": "1"}).status, 200)
        self.assertEqual(origin.requests[0].all("x_a"), ["1"])

    def test_allowed_ones_are_none_of_our_fields(self):
        """To CGI and WSGI they would be: HTTP_X_REAL_IP."""
        forged = {"X_Forwarded_For": "6.6.6.6", "x_real_ip": "6.6.6.6", "X-Client_Cert_Subject": "CN=root", "X_Remote_User": "root", "X_FORWARDED_PROTO": "https",
                  "X_Request_Id": "evil", "Proxy_Authorization": "evil"}
        for trusted in ([], ["127.0.0.0/8"]):
            with self.subTest(trusted=trusted):
                origin = self.origin(echo)
                daemon = self.weir(config([origin], http={"underscores": "allow"}, trusted_proxies=trusted))
                self.assertEqual(daemon.get("/", {**forged, "X_Mine": "1"}).status, 200)
                names = [line.partition(b":")[0] for line in origin.requests[0].raw_head.split(b"\r\n")[1:]]
                self.assertEqual([name for name in names if b"_" in name], [b"X_Mine"])
                self.assertEqual(daemon.metrics().sum("weir_request_headers_dropped_total", reason="underscore"), len(forged))


class Decisions(WeirTest):
    """Routes, limits and keys look at no field that the backend doesn't get."""

    ROUTES = [{"match": {"header": {name: value}}, "respond": {"body": "matched " + name}}
              for name, value in (("X-Forwarded-Proto", "https"), ("X-Remote-User", "*"), ("X-Request-Id", "r1"), ("X-Client-Cert-Subject", "CN=root"),
                                  ("X-Beta", "1"), ("Host", "real.example"), ("Upgrade", "websocket"), ("Content-Length", "1"))] + [{"pool": "app"}]

    def serve(self, trusted):
        # The daemon refuses conditions that never hold, as they would be with nobody to trust.
        return self.weir(config([self.origin()], trusted_proxies=[trusted], routes=self.ROUTES))

    def ask(self, daemon, headers, body=None, target="/"):
        with daemon.client() as client:
            client.send(request("GET", target, headers, body))
            return client.read("GET").text

    def test_forged_fields_match_nothing(self):
        daemon = self.serve("192.0.2.1")
        for headers in ({"X-Forwarded-Proto": "https"}, {"x-remote-user": "root"}, {"X-Request-Id": "r1"}, {"X-Client-Cert-Subject": "CN=root"},
                        {"Connection": "close, X-Beta", "X-Beta": "1"}, [("X-Beta", "1"), ("Connection", "x-beta"), ("X-Beta", "1")],
                        {"Upgrade": "websocket"}, {"Upgrade": "websocket, h2c", "Connection": "Upgrade"}):
            with self.subTest(headers=headers):
                self.assertEqual(self.ask(daemon, headers), "origin")

    def test_what_is_believed_matches(self):
        daemon = self.serve("127.0.0.1")
        for headers, name in (({"X-Forwarded-Proto": "https"}, "X-Forwarded-Proto"), ({"X-Remote-User": "ann"}, "X-Remote-User"), ({"X-Request-Id": "r1"}, "X-Request-Id"),
                              ({"X-Client-Cert-Subject": "CN=root"}, "X-Client-Cert-Subject"), ({"X-Beta": "1"}, "X-Beta"),
                              ({"Upgrade": "websocket", "Connection": "Upgrade"}, "Upgrade")):
            with self.subTest(name=name):
                self.assertEqual(self.ask(daemon, headers), "matched " + name)
        self.assertEqual(self.ask(daemon, {}, b"x"), "matched Content-Length")
        self.assertEqual(self.ask(daemon, {"Host": "other.example"}, target="http://real.example/"), "matched Host")
        self.assertEqual(self.ask(daemon, {"Host": "real.example"}, target="http://other.example/"), "origin")

    def test_limits_and_keys(self):
        limit = lambda name: {"match": {"path": "/" + name}, "respond": {"body": "fine"}, "rate_limit": {"key": {"header": name}, "rate": "1/h"}}  # noqa: E731
        daemon = self.weir(config([self.origin()], trusted_proxies=["192.0.2.1"], routes=[limit("X-Forwarded-Host"), limit("X-Beta"), {"pool": "app"}]))
        for name, more in (("X-Forwarded-Host", {}), ("X-Beta", {"Connection": "X-Beta"})):
            answers = [self.ask(daemon, {name: str(i), **more}, target="/" + name) for i in range(3)]
            self.assertEqual([text == "fine" for text in answers], [True, False, False], "without the key there is one bucket")

    def test_explain_says_the_same(self):
        daemon = self.serve("192.0.2.1")
        for client, route in (("127.0.0.1", "app"), ("192.0.2.1", None)):
            words = ("explain", "--json", daemon.path, "GET", "http://a/", "--listener", "web", "--client", client, "-H", "X-Forwarded-Proto: https", "-H", "X-Real-IP: 1.1.1.1")
            told = json.loads(run_command(*words)[1])
            self.assertEqual(told["pool"], route)
            self.assertEqual([line.partition(":")[0] for line in told["dropped"]], ["X-Forwarded-Proto", "X-Real-IP"][0 if route else 1:])

    def test_the_check_refuses_what_never_holds(self):
        for key, match, top, words in (
                (None, "X-Remote-User", {}, "no request has X-Remote-User: it is dropped unless trusted_proxies names who sends it"),
                (None, "X-Real-IP", {"trusted_proxies": ["10.0.0.1"]}, "X-Real-IP is set by Weir after routing"),
                (None, "X_Us", {}, "http.underscores is drop"),
                (None, "X-Client-Cert-Subject", {}, "no listener asks for certificates"),
                ({"header": "X-Forwarded-For"}, None, {}, "no request has X-Forwarded-For"),
                ({"first_of": [{"header": "Connection"}, "client"]}, None, {}, "Connection belongs to the connection")):
            route = {"pool": "app", **({"match": {"header": {match: "*"}}} if match else {"rate_limit": {"key": key, "rate": "1/s"}})}
            with self.subTest(match=match, key=key), tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                json.dump({"listeners": {"web": {"bind": "127.0.0.1:0"}}, "pools": {"app": {"backends": {"a": "http://127.0.0.1:1"}}}, "routes": [route], **top}, file)
                file.flush()
                code, out, err = run_command("check", file.name)
                self.assertNotEqual(code, 0)
                self.assertIn(words, out + err)
                self.assertRegex(out + err, r":\d+:\d+: route 1: ")


class Certificates(CertifiedTest):
    def test_routes_and_keys_see_the_certificate_alone(self):
        site, people = self.ca.issue("a", ["DNS:a.test"]), Authority(self.folder, "people")
        ann = people.issue("ann", ["DNS:ann.people.test"], subject="/O=Weir/OU=A, B/CN=ann")
        subject = "CN=ann,OU=A\\, B,O=Weir"
        routes = [{"match": {"header": {"X-Client-Cert-Subject": subject, "X-Client-Cert-Names": "*"}}, "respond": {"body": "for ann"},
                   "rate_limit": {"key": {"header": "X-Client-Cert-Fingerprint"}, "rate": "2/h"}}, {"pool": "app"}]
        tls = {"certificate": site[0], "key": site[1], "client_ca": people.pem, "client_auth": "optional"}
        daemon = self.weir(config([self.origin()], listener={"tls": tls}, trusted_proxies=["127.0.0.0/8"], routes=routes))
        forged = {"X-Client-Cert-Subject": subject, "X-Client-Cert-Names": "ann", "X-Client-Cert-Fingerprint": "1"}
        with TlsClient(daemon.address(), self.ca.client_context()) as stranger:
            self.assertEqual(stranger.get("/", forged).text, "origin")
        with TlsClient(daemon.address(), self.ca.client_context(certificate=ann)) as client:
            self.assertEqual(client.get("/", {"X-Client-Cert-Subject": "CN=root"}).text, "for ann")
            self.assertEqual([client.get("/", {"X-Client-Cert-Fingerprint": str(i)}).status for i in range(2)], [200, 429])


class Responses(WeirTest):
    def test_hop_by_hop_fields_of_answers(self):
        origin = self.origin(lambda m, c: response(200, b"ok", {
            "Connection": "X-Internal, keep-alive", "X-Internal": "1", "Keep-Alive": "timeout=5", "Proxy-Connection": "keep-alive",
            "Proxy-Authenticate": "Basic", "TE": "x", "Upgrade": "h2c", "Proxy-Status": "origin; received-status=200", "X-Stays": "1",
            "Set-Cookie": "a=1"}))
        daemon = self.weir(config([origin]))
        answer = daemon.get("/")
        for name in ("x-internal", "keep-alive", "proxy-connection", "te", "upgrade"):
            self.assertFalse(answer.has(name), name)
        self.assertTrue(answer.has("x-stays"))
        self.assertEqual(answer.all("set-cookie"), ["a=1"])
        self.assertIn("origin; received-status=200", answer.header("proxy-status"))

    def test_repeated_set_cookie_stays_apart(self):
        origin = self.origin(lambda m, c: response(200, b"ok", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
        daemon = self.weir(config([origin]))
        self.assertEqual(daemon.get("/").all("set-cookie"), ["a=1", "b=2"])
