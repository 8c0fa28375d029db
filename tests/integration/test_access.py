"""Who may come in: by address, and by user name and password."""
import base64
import os
import shutil
import tempfile

from harness import WeirTest, config, echo, request, run_command, wait_until

# Made by crypt(3): "wonderland" (bcrypt, cost 4), "builder" (SHA-512-crypt), "slow" (bcrypt, cost 12), "slower" (cost 14).
ALICE = "alice:$2b$04$abcdefghijklmnopqrstuujZkTwHUiJ9XdZPwKfcfDo7dMp5DjlTu\n"
BOB = "bob:$6$saltstring$L92xIv.rE.CLnLyyKY35XdWrXaB1pWLwEewNkwP0QIRkuAX8BbzagyqO.e6bzEcptkM4Nb6fvFRsPNnEq5Y531\n"
SLOW = "slow:$2b$12$abcdefghijklmnopqrstuuvhqlfa3SToYAWnpQD0wYcoxAD7y2cEy\n"
SLOWER = "slower:$2b$14$abcdefghijklmnopqrstuu1QBfDatUKTDjhtHKxBlRQZ92u3frxZC\n"


def basic(user, password, scheme="Basic"):
    return ("Authorization", f"{scheme} {base64.b64encode(f'{user}:{password}'.encode()).decode()}")


class Addresses(WeirTest):
    def daemon(self, route, **top):
        return self.weir(config([self.origin()], routes=[{"name": "guarded", "match": {"path": "/guarded"}, "pool": "app", **route},
                                                         {"name": "rest", "pool": "app"}], **top))

    def status(self, daemon, source=None, forwarded=None):
        return daemon.get("/guarded", [("X-Forwarded-For", forwarded)] if forwarded else [], **({"source": source} if source else {})).status

    def statuses(self, daemon, *sources):
        result = []
        for source in sources:
            with daemon.client(source=source) as client:
                result.append(client.get("/guarded").status)
        return result

    def test_allow(self):
        daemon = self.daemon({"allow": ["127.0.0.2", "127.1.0.0/16"]})
        self.assertEqual(self.statuses(daemon, "127.0.0.1", "127.0.0.2", "127.1.2.3", "127.2.0.1"), [403, 200, 200, 403])
        self.assertEqual(daemon.get("/else").status, 200)

    def test_deny(self):
        daemon = self.daemon({"deny": "127.0.0.2"})
        self.assertEqual(self.statuses(daemon, "127.0.0.1", "127.0.0.2"), [200, 403])

    def test_deny_goes_first(self):
        daemon = self.daemon({"allow": ["127.0.0.0/24"], "deny": ["127.0.0.2"]})
        self.assertEqual(self.statuses(daemon, "127.0.0.1", "127.0.0.2", "127.0.1.1"), [200, 403, 403])

    def test_the_answer(self):
        daemon = self.daemon({"deny": ["0.0.0.0/0"]})
        answer = daemon.get("/guarded")
        self.assertEqual(answer.status, 403)
        self.assertIn('error=http_request_denied; details="address_denied"', answer.header("proxy-status"))
        daemon.wait_log(lambda r: r["cause"] == "address_denied" and r["status"] == 403)
        self.assertEqual(daemon.metrics().sum("weir_request_errors_total", route="guarded", cause="address_denied"), 1)

    def test_the_believed_address_counts(self):
        route = {"allow": ["192.0.2.0/24", "2001:db8::/32"]}
        trusting = self.daemon(route, trusted_proxies=["127.0.0.1"])
        self.assertEqual([self.status(trusting, forwarded=a) for a in ("192.0.2.7", "2001:db8::7", "198.51.100.1, 192.0.2.7", "192.0.2.7, 198.51.100.1", None)],
                         [200, 200, 200, 403, 403])
        self.assertEqual(self.status(self.daemon(route), forwarded="192.0.2.7"), 403, "anyone can say so")

    def test_a_port_behind_it_does_not_make_it_the_proxys(self):
        denying = self.daemon({"deny": ["192.0.2.66", "2001:db8::66"]}, trusted_proxies=["127.0.0.1"])
        self.assertEqual([self.status(denying, forwarded=a) for a in ("192.0.2.66:80", "[2001:db8::66]:80", "::ffff:192.0.2.66", "192.0.2.7:80")],
                         [403, 403, 403, 200])
        allowing = self.daemon({"allow": ["127.0.0.0/8"]}, trusted_proxies=["127.0.0.1"])
        self.assertEqual([self.status(allowing, forwarded=a) for a in ("192.0.2.7:80", "[2001:db8::7]:80", None)], [403, 403, 200])

    def test_who_is_named_by_no_address_is_not_let_in(self):
        """Neither by the proxy's own address, nor because no list names him."""
        for route in ({"allow": ["127.0.0.0/8"]}, {"allow": ["0.0.0.0/0", "::/0", "unix"]}, {"deny": ["192.0.2.66"]}):
            daemon = self.daemon(route, trusted_proxies=["127.0.0.1"])
            for element in ("unknown", "_hidden", "192.0.2.7:99999", "unix:", "192.0.2.7 192.0.2.8"):
                with self.subTest(route=route, element=element):
                    self.assertEqual(self.status(daemon, forwarded=element), 403)
            self.assertEqual(daemon.get("/else", [("X-Forwarded-For", "_hidden")]).status, 200)

    def test_a_unix_socket(self):
        folder = tempfile.mkdtemp(prefix="weir-test-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        bind = f"unix:{folder}/weir.sock"
        daemon = self.daemon({"allow": ["unix"]}, listeners={"web": {"bind": bind}, "tcp": {"bind": "127.0.0.1:0"}})
        self.assertEqual(daemon.get("/guarded").status, 200)
        self.assertEqual(daemon.get("/guarded", listener="tcp").status, 403)

    def test_a_long_list(self):
        blocks = [f"10.{i >> 8}.{i & 255}.0/25" for i in range(20000)] + ["127.0.0.2"]
        daemon = self.daemon({"allow": blocks})
        self.assertEqual(self.statuses(daemon, "127.0.0.1", "127.0.0.2"), [403, 200])

    def test_reload(self):
        origin = self.origin()
        daemon = self.weir(config([origin], routes=[{"pool": "app", "deny": ["127.0.0.1"]}]))
        self.assertEqual(daemon.get("/").status, 403)
        daemon.reload(config([origin]))
        wait_until(lambda: daemon.get("/").status == 200)


class Basic(WeirTest):
    timeout = 120

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="weir-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.users = os.path.join(self.folder, "users")

    def write_users(self, text):
        with open(self.users, "w") as file:
            file.write(text)

    def configuration(self, origin, workers=1, **auth):
        return config([origin], workers=workers, routes=[{"name": "guarded", "match": {"path": "/guarded*"}, "pool": "app", "auth": {"basic": self.users, **auth}},
                                                         {"name": "rest", "pool": "app"}])

    def start(self, text=ALICE + BOB, workers=1, **auth):
        self.write_users(text)
        self.server = self.origin(echo)
        return self.weir(self.configuration(self.server, workers, **auth))

    def test_users_come_in(self):
        daemon = self.start(workers=2)
        for user, password in (("alice", "wonderland"), ("bob", "builder")):
            for _ in range(4):  # from the file, then from what is remembered, on either worker
                answer = daemon.get("/guarded/x", [basic(user, password), ("X-Remote-User", "root"), ("X-Other", "1")])
                self.assertEqual(answer.status, 200)
            for seen in self.server.requests[-4:]:
                self.assertEqual(seen.all("x-remote-user"), [user])
                self.assertFalse(seen.has("authorization"))
                self.assertEqual(seen.header("x-other"), "1")

    def test_the_log_names_who_came_in(self):
        daemon = self.start()
        for target, headers in (("/guarded/in", [basic("alice", "wonderland")]), ("/guarded/again", [basic("alice", "wonderland")]), ("/guarded/wrong", [basic("alice", "x")]), ("/open", [])):
            daemon.get(target, headers)
        wait_until(lambda: len(daemon.access_log()) == 4)
        self.assertEqual({r["target"]: r["user"] for r in daemon.access_log()}, {"/guarded/in": "alice", "/guarded/again": "alice", "/guarded/wrong": "", "/open": ""})

    def test_no_other_spelling_of_the_header(self):
        self.write_users(ALICE)
        self.server = self.origin(echo)
        daemon = self.weir({**self.configuration(self.server), "http": {"underscores": "allow"}})
        daemon.get("/guarded", [basic("alice", "wonderland"), ("X_Remote_User", "root"), ("X-Remote_User", "root"), ("X_Other", "1")])
        seen = self.server.requests[-1]
        self.assertEqual([n for n in seen.names() if "remote" in n], ["x-remote-user"])
        self.assertTrue(seen.has("X_Other"))

    def test_the_scheme_is_a_word_in_any_case(self):
        self.assertEqual(self.start().get("/guarded", [basic("alice", "wonderland", "bAsIc")]).status, 200)

    def assert_asked(self, daemon, headers, cause, realm="Restricted"):
        before = daemon.errors(cause)
        answer = daemon.get("/guarded", headers)
        self.assertEqual(answer.status, 401)
        self.assertEqual(answer.header("www-authenticate"), f'Basic realm="{realm}", charset="UTF-8"')
        self.assertIn(f'error=http_request_denied; details="{cause}"', answer.header("proxy-status"))
        wait_until(lambda: daemon.errors(cause) == before + 1)
        daemon.wait_log(lambda r: r["cause"] == cause and r["status"] == 401)

    def test_the_others_are_asked(self):
        daemon = self.start(realm="Staff only")
        self.assert_asked(daemon, [], "credentials_missing", "Staff only")
        self.assert_asked(daemon, [("Authorization", "Bearer abc")], "credentials_missing", "Staff only")
        for headers in ([basic("alice", "wonderlan")], [basic("alice", "")], [basic("alice", "wonderland\0x")], [basic("bob", "wonderland")],
                        [basic("", "")], [basic("carol", "wonderland")], [basic("Alice", "wonderland")], [("Authorization", "Basic !")],
                        [("Authorization", "Basic YWxpY2U=")], [basic("alice", "x" * 300)],
                        [basic("alice", "wonderland"), basic("alice", "wonderland")]):
            self.assert_asked(daemon, headers, "credentials_wrong", "Staff only")
        self.assertEqual(self.server.count(), 0)

    def test_right_then_wrong_on_one_connection(self):
        daemon = self.start()
        with daemon.client() as client:
            for password, status in (("wonderland", 200), ("wrong", 401), ("wonderland", 200), ("wrong", 401)):
                self.assertEqual(client.get("/guarded", [basic("alice", password)]).status, status)

    def test_nobody_says_who_he_is_on_other_routes(self):
        daemon = self.start()
        daemon.get("/open", [("X-Remote-User", "root"), ("x-REMOTE-user", "root"), ("Authorization", "Bearer app's own")])
        seen = self.server.requests[-1]
        self.assertFalse(seen.has("x-remote-user"))
        self.assertEqual(seen.header("authorization"), "Bearer app's own")

    def test_a_body_waits_for_the_check(self):
        daemon = self.start()
        for size, framing in ((10, None), (300000, None), (100000, "chunked")):
            body = bytes(i % 251 for i in range(size))
            password = "builder"
            with daemon.client() as client:
                if framing:
                    client.send(request("POST", "/guarded", [basic("bob", password), ("Transfer-Encoding", "chunked")]))
                    client.send(b"%x\r\n" % size + body + b"\r\n0\r\n\r\n")
                else:
                    client.send(request("POST", "/guarded", [basic("bob", password)], body))
                answer = client.read("POST")
            self.assertEqual(answer.status, 200)
            self.assertEqual(self.server.requests[-1].body, body)
            daemon.reload(self.configuration(self.server))

    def test_a_slow_check_holds_nobody_up(self):
        daemon = self.start(ALICE + SLOW)
        waiting = [self.client(daemon) for _ in range(6)]
        for i, client in enumerate(waiting):
            client.send(request("GET", f"/guarded/slow{i}", [basic("slow", f"wrong{i}")]))
        self.assertEqual(daemon.get("/open").status, 200)
        for client in waiting:
            self.assertIn(client.read().status, (401, 503))  # 503: this machine needs more than 10 s for six of them
        order = [r["target"] for r in wait_until(lambda: len(daemon.access_log()) >= 7 and daemon.access_log())]
        self.assertLess(order.index("/open"), order.index("/guarded/slow5"), "the worker waited for the checks")

    def test_too_many_checks(self):
        daemon = self.start(SLOWER)
        clients = [self.client(daemon) for _ in range(320)]
        for i, client in enumerate(clients):
            client.send(request("GET", "/guarded", [basic("slower", f"wrong{i}")]))
        wait_until(lambda: daemon.errors("auth_overload") > 0, 60)
        answer = clients[-1].read()
        self.assertEqual(answer.status, 503)
        self.assertIn('details="auth_overload"', answer.header("proxy-status"))
        self.assertEqual(daemon.get("/open").status, 200)

    def test_a_client_that_does_not_wait(self):
        daemon = self.start(ALICE + SLOW)
        for i in range(5):
            client = self.client(daemon)
            client.send(request("GET", "/guarded", [basic("slow", "slow" if i % 2 else "wrong")]))
            client.reset()
        self.assertEqual(daemon.get("/guarded", [basic("alice", "wonderland")]).status, 200)
        wait_until(lambda: daemon.metrics().sum("weir_connections_open") <= 1)

    def test_reload(self):
        daemon = self.start(workers=2)
        alice, bob = [basic("alice", "wonderland")], [basic("bob", "builder")]
        for _ in range(4):
            self.assertEqual(daemon.get("/guarded", alice).status, 200)
        self.write_users(BOB)
        self.assertEqual(daemon.get("/guarded", alice).status, 200, "not before the reload")
        daemon.reload()
        self.assertTrue(any("the users in" in (e.change or "") for e in daemon.events if e.name == "config_changed"))
        wait_until(lambda: [daemon.get("/guarded", alice).status for _ in range(4)] == [401] * 4, what="nothing of her is remembered")
        self.assertEqual(daemon.get("/guarded", bob).status, 200)
        self.assertEqual(daemon.get("/guarded", alice).status, 401)

    def test_a_bad_file(self):
        daemon = self.start()
        self.write_users(ALICE + "# a comment\nbob:hunter2\n")
        daemon.reload(ok=False)
        error = daemon.wait_event("config_error")
        self.assertTrue(error.at.startswith(f"{self.users}:3:5: "), error.at)
        self.assertNotIn("hunter2", daemon.logs())
        self.assertEqual(daemon.get("/guarded", [basic("bob", "builder")]).status, 200, "the old users stay")
        for command in ("check", "run"):
            code, out, err = run_command(command, daemon.path)
            self.assertEqual(code, 2)
            self.assertIn(f"{self.users}:3:5: route 1: auth.basic: ", out + err)
            self.assertNotIn("hunter2", out + err)

    def test_no_file(self):
        daemon = self.start()
        os.unlink(self.users)
        daemon.reload(ok=False)
        self.assertIn("can't be read", daemon.wait_event("config_error").at)

    def test_the_rate_limit_comes_first(self):
        self.write_users(ALICE)
        daemon = self.weir(config([self.origin()], routes=[{"pool": "app", "auth": {"basic": self.users}, "rate_limit": {"key": "client", "rate": "1/h", "burst": 2}}]))
        self.assertEqual([daemon.get("/", [basic("alice", "guess")]).status for _ in range(3)], [401, 401, 429])

    def test_a_redirect_is_for_users_too(self):
        self.write_users(ALICE)
        daemon = self.weir(config([self.origin()], routes=[{"match": {"path": "/old"}, "redirect": {"path": "/new"}, "auth": {"basic": self.users}}, {"pool": "app"}]))
        self.assertEqual(daemon.get("/old").status, 401)
        for _ in range(2):
            self.assertEqual(daemon.get("/old", [basic("alice", "wonderland")]).status, 302)
