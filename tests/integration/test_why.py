"""weir why: what became of requests that failed or were tried again, attempt by attempt."""
import json
import time

from harness import WeirTest, config, echo, request, response, wait_until

ID = "8f591bb328ffa96a04150a7ea0abbf07"


def trusting(*arguments, **more):
    """Ids are the client's."""
    return config(*arguments, trusted_proxies=["127.0.0.0/8"], **more)


class Why(WeirTest):
    def ask(self, daemon, number):
        """What is remembered of the request with that id."""
        found = json.loads(daemon.command("why", number, "--json")[1])["requests"]
        self.assertEqual(len(found), 1, found)
        return found[0]

    def get(self, daemon, number, target="/", method="GET", **more):
        return daemon.fetch(target, method, {"X-Request-Id": number}, **more)

    def test_a_retried_request(self):
        down, up = self.origin(start=False), self.origin(echo)
        daemon = self.weir(trusting([down, up], workers=2))
        for i in range(4):
            self.assertEqual(self.get(daemon, f"{ID}-{i}", f"/x?{i}").status, 200)
        retried = wait_until(lambda: [r for r in daemon.access_log() if r["attempts"] == 2])
        told = self.ask(daemon, retried[0]["request_id"])
        self.assertEqual((told["status"], told["cause"], told["attempts"], told["pool"], told["route"], told["listener"]), (200, "none", 2, "app", "default", "web"))
        self.assertEqual([(t["backend"], t["cause"], t["status"]) for t in told["tries"]], [("b1", "connect_refused", None), ("b2", "none", 200)])
        self.assertFalse(told["tries"][0]["reused"])
        self.assertLessEqual(told["tries"][0]["start_ms"] + told["tries"][0]["took_ms"], told["tries"][1]["start_ms"] + 1)
        code, out, err = daemon.command("why", told["id"])
        self.assertEqual((code, err), (0, ""))
        self.assertIn(f"request {told['id']}\nGET http://test.example/x?", out)
        self.assertRegex(out, r"\n  1 +b1 .*new +connect_refused: The backend refused the connection\.\n  2 +b2 .* answered 200\n\Z")

    def test_what_went_well_at_once_is_not_remembered(self):
        daemon = self.weir(trusting([self.origin(echo)]))
        self.get(daemon, ID)
        code, out, err = daemon.command("why", ID)
        self.assertEqual((code, out, len(err.splitlines())), (1, "", 1))
        self.assertIn(f"nothing is remembered of {ID}", err)
        self.assertEqual(daemon.command("why")[:2], (0, "no request or TCP session has failed, been tried again or been slow since the start\n"))

    def test_slow_answers(self):
        def late(message, connection):
            if "late" in message.target:
                time.sleep(0.1)
            return response(200, b"x")
        routes = [{"match": {"path": "/poll*"}, "pool": "app", "slow": "off"}, {"match": {"path": "/wait*"}, "pool": "app", "slow": "60s"}, {"pool": "app"}]
        daemon = self.weir(trusting([self.origin(late)], log={"slow": "50ms"}, routes=routes))
        for number, target in ("slow", "/late"), ("soon", "/"), ("poll", "/poll/late"), ("wait", "/wait/late"):
            self.assertEqual(self.get(daemon, number, target).status, 200)
        self.assertEqual([r["id"] for r in json.loads(daemon.command("why", "--json")[1])["requests"] if r["id"] != "soon"], ["slow"])  # a machine may be slow, too
        told = self.ask(daemon, "slow")
        self.assertEqual((told["slow"], told["cause"], told["status"], told["attempts"], [t["backend"] for t in told["tries"]]), (True, "none", 200, 1, ["b1"]))
        self.assertGreater(told["tries"][0]["took_ms"], 50)
        self.assertRegex(daemon.command("why", "slow")[1], r"\n.*Z: 200 after [\d.]+ m?s, slow\n")
        self.assertRegex(daemon.command("why")[1], r"\n\S+Z +200  slow +1 ")

    def test_slow_ones_push_out_no_failure(self):
        def late(message, connection):
            time.sleep(0.002)
            return response(500 if message.target == "/bad" else 200, b"x")
        daemon = self.weir(trusting([self.origin(late)], log={"slow": "1ms"}, pool={"retry": False, "eject": False}, workers=1))
        self.assertEqual(self.get(daemon, "bad", "/bad").status, 500)
        with daemon.client() as client:
            for i in range(300):
                client.get("/", {"X-Request-Id": f"{i:03}-slow"})
        self.assertTrue(self.ask(daemon, "bad")["slow"])
        self.assertEqual(self.ask(daemon, "299-slow")["status"], 200)
        self.assertEqual(json.loads(daemon.command("why", "000-slow", "--json")[1])["requests"], [])

    def test_what_lasts_is_not_slow(self):
        def backend(connection):
            message = connection.read_request()
            if message.has("upgrade"):
                connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                time.sleep(0.6)
            else:
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
                time.sleep(0.6)
                connection.send(b"data: 2\n\n")
            connection.close()
        daemon = self.weir(trusting([self.origin(handler=backend)], log={"slow": "500ms"}))
        with daemon.client() as client:
            client.send(request("GET", "/events", {"X-Request-Id": "events", "Connection": "close"}))
            self.assertIn(b"data: 2", client.read_to_end())
        with daemon.client() as client:
            client.send(request("GET", "/socket", {"X-Request-Id": "socket", "Connection": "Upgrade", "Upgrade": "websocket"}))
            client.read_to_end()
        wait_until(lambda: daemon.metrics().sum("weir_requests_total", route="default") == 2)
        # On a machine that is slow itself the heads may be late.
        self.assertEqual([r for r in json.loads(daemon.command("why", "--json")[1])["requests"] if r["tries"][0]["took_ms"] < 500], [])

    def test_kinds_of_failure(self):
        def backend(message, connection):
            kind = message.target[1:].partition("?")[0]
            if kind == "reset":
                connection.reset()
            elif kind == "garbage":
                connection.send(b"HELLO\r\n\r\n")
            elif kind == "truncated":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
                connection.reset()
            elif kind == "stall":
                connection.stall(20)
            elif kind == "broken":
                return response(503, b"no")
            else:
                return response(200, b"yes")
            return None
        daemon = self.weir(trusting([self.origin(backend)], pool={"timeout": {"response": "300ms"}, "eject": False, "retry": False}))
        expected = {"reset": (502, "upstream_reset", None), "garbage": (502, "upstream_bad_response", None), "stall": (504, "response_timeout", None),
                    "broken": (503, "none", 503)}
        for kind, (status, cause, answered) in expected.items():
            self.assertEqual(self.get(daemon, kind, "/" + kind).status, status, kind)
            told = self.ask(daemon, kind)
            self.assertEqual((told["status"], told["cause"]), (status, cause), told)
            self.assertEqual([(t["backend"], t["cause"], t["status"]) for t in told["tries"]], [("b1", cause, answered)], told)
        self.assertGreaterEqual(self.ask(daemon, "stall")["tries"][0]["took_ms"], 250)
        with daemon.client() as client:
            client.send(request(target="/truncated", headers={"X-Request-Id": "truncated"}))
            client.read_to_end()
        told = wait_until(lambda: json.loads(daemon.command("why", "truncated", "--json")[1])["requests"])[0]
        self.assertEqual([(t["cause"], t["status"]) for t in told["tries"]], [("upstream_truncated", 200)])
        out = daemon.command("why", "truncated")[1]
        self.assertIn("answered 200, then upstream_truncated: ", out)
        # Each cause is the access log's, too.
        wait_until(lambda: len(daemon.access_log()) == 5)
        logged = {r["request_id"]: r["cause"] for r in daemon.access_log()}
        for kind, cause in logged.items():
            self.assertEqual(self.ask(daemon, kind)["cause"], cause)

    def test_retry_by_status(self):
        first = self.origin(lambda m, c: response(503, b""))
        daemon = self.weir(trusting([first, self.origin(echo)], pool={"retry": {"when": [503]}, "eject": False}))
        for i in range(2):
            self.assertEqual(self.get(daemon, f"r{i}-{ID}").status, 200)
        told = [r for r in json.loads(daemon.command("why", "--json")[1])["requests"]]
        self.assertGreaterEqual(len(told), 1)
        self.assertEqual([(t["backend"], t["status"], t["cause"]) for t in told[0]["tries"]], [("b1", 503, "none"), ("b2", 200, "none")])

    def test_what_reached_no_backend(self):
        daemon = self.weir(trusting([self.origin(echo)], routes=[{"match": {"path": "/a"}, "pool": "app"}]))
        self.assertEqual(self.get(daemon, "lost", "/nowhere").status, 404)
        told = self.ask(daemon, "lost")
        self.assertEqual((told["cause"], told["pool"], told["tries"]), ("no_route", "", []))
        with daemon.client() as client:
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            answer = client.read()
        told = self.ask(daemon, answer.header("x-request-id"))
        self.assertEqual((told["status"], told["cause"]), (400, "bad_request"))
        self.assertIn("it reached no pool", daemon.command("why", told["id"])[1])

    def refuse(self, daemon, raw, status):
        """The line of the log, what is remembered, and what `weir why` prints, of a request that is refused."""
        with daemon.client() as client:
            client.send(raw)
            answer = client.read()
        self.assertEqual(answer.status, status, answer)
        number = answer.header("x-request-id")
        told = self.ask(daemon, number)
        self.assertIn(told["detail"], answer.text)
        line = daemon.wait_log(lambda r: r["request_id"] == number)
        self.assertEqual((line["method"], line["target"][:200], line["host"]), (told["method"], told["target"], told["host"]))
        return line, told, daemon.command("why", number)[1]

    def test_what_could_not_be_read_to_its_end(self):
        daemon = self.weir(config([self.origin(echo)]))
        start = b"POST /a?b=1 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: old probe\r\n"
        sound = ("POST", "/a?b=1", "shop.example:8080", "old probe")
        for rest, status, cause, detail in ((b"X-Bad : 1\r\n\r\n", 400, "bad_request", "blank before the colon"),
                                            (b"Expect: 200-ok\r\n\r\n", 417, "expectation_failed", "an expectation other than 100-continue"),
                                            (b"Content-Length: 1, 1\r\n\r\n", 400, "bad_framing", "bad Content-Length"),
                                            (b"Connection: X-Forwarded-For\r\n\r\n", 400, "bad_request", "may not be removed")):
            with self.subTest(rest=rest):
                line, told, out = self.refuse(daemon, start + rest, status)
                self.assertEqual((line["method"], line["target"], line["host"], line["user_agent"]), sound)
                self.assertEqual((line["path"] if "path" in line else "/a", line["cause"], line["route"]), ("/a", cause, ""))
                self.assertIn(detail, told["detail"])
                self.assertIn("\nPOST http://shop.example:8080/a?b=1, from 127.0.0.1 by listener web\n", out)
                self.assertIn(f"{cause}: {told['help']} Exactly: {told['detail']}.\n", out)

    def test_as_far_as_it_could_be_read(self):
        daemon = self.weir(config([self.origin(echo)]))
        for raw, status, known in ((b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n", 400, ("GET", "/x", "")),
                                   (b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, ("GET", "/x", "a")),
                                   (b"GET /x HTTP/1.1\r\n\r\n", 400, ("GET", "/x", "")),
                                   (b"GET /x HTTP/3.0\r\n\r\n", 505, ("GET", "/x", "")),
                                   (b"GET /x\x01y HTTP/1.1\r\n\r\n", 400, ("GET", "/x", "")),
                                   (b"TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n", 405, ("TRACE", "/x", "")),
                                   (b"G\x1bT /x HTTP/1.1\r\n\r\n", 400, ("", "", "")),
                                   (b"\x16\x03\x01\x02\x00\x01", 400, ("", "", ""))):
            with self.subTest(raw=raw):
                line, told, out = self.refuse(daemon, raw, status)
                self.assertEqual((line["method"], line["target"], line["host"]), known)
                self.assertEqual("not a line of it could be read" in out, not known[0], out)
        line, _, _ = self.refuse(daemon, b"GET /" + b"y" * 20000 + b" HTTP/1.1\r\n\r\n", 414)
        self.assertEqual((line["method"], line["target"][:9]), ("GET", "/yyyyyyyy"))

    def test_what_is_refused_decides_nothing(self):
        """What would overrule a part of a request may be still to come: the client's address, its name, what it accepts."""
        daemon = self.weir(trusting([self.origin(echo)]))
        raw = b"GET /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\nX-Forwarded-For: 9.9.9.9\r\nAccept: application/json\r\nX-Bad : 1\r\n\r\n"
        line, told, _ = self.refuse(daemon, raw, 400)
        self.assertEqual((line["client"], told["client"], line["target"]), ("127.0.0.1", "127.0.0.1", "/x"))
        self.assertNotEqual(line["request_id"], "mine")

    def test_of_one_refused_nothing_unescaped_is_logged(self):
        daemon = self.weir(config([self.origin(echo)]))
        self.refuse(daemon, b'GET /a"b\\c HTTP/1.1\r\nHost: h\r\nUser-Agent: u"\\\t\xff\xc2\x9b31m\r\nX-Bad : 1\r\n\r\n', 400)
        with open(daemon.log_path, "rb") as file:
            line = file.read().splitlines()[-1]
        self.assertFalse(any(b < 0x20 or b == 0x7f for b in line), line)
        self.assertEqual(json.loads(line)["cause"], "bad_request")
        self.assertNotIn("\x9b", daemon.command("why")[1])

    def test_a_head_that_never_ends(self):
        daemon = self.weir(config([self.origin(echo)], listener={"timeout": {"header": "1s"}}))
        line, _, out = self.refuse(daemon, b"GET /slow HTTP/1.1\r\nHost: a.example\r\nUser-Agent: snail\r\nX-More: ", 408)
        self.assertEqual((line["method"], line["target"], line["host"], line["user_agent"]), ("GET", "/slow", "a.example", "snail"))
        self.assertIn("GET http://a.example/slow", out)
        self.assertNotIn("Exactly", out)

    def test_a_client_that_does_not_wait(self):
        daemon = self.weir(trusting([self.origin(lambda m, c: c.stall(20) and None)]))
        client = daemon.client()
        client.send(request(headers={"X-Request-Id": "gone"}))
        wait_until(lambda: daemon.backend("b1")["inflight"] == 1)
        client.reset()  # a FIN alone says nothing about its reading
        told = wait_until(lambda: json.loads(daemon.command("why", "gone", "--json")[1])["requests"])[0]
        self.assertEqual((told["status"], told["cause"]), (499, "client_gone"))
        self.assertEqual([(t["backend"], t["cause"], t["status"]) for t in told["tries"]], [("b1", "client_gone", None)])

    def test_the_list_and_its_bounds(self):
        daemon = self.weir(trusting([self.origin(start=False)], pool={"retry": False, "eject": False},
                                    routes=[{"match": {"host": "test.example"}, "pool": "app"}], workers=1))
        with daemon.client() as client:
            for i in range(600):
                client.get(f"/{i}", {"X-Request-Id": f"{i:04}-number"})
        for i in range(200):
            self.assertEqual(daemon.get("/", {"X-Request-Id": f"{i:04}-lost"}, host="lost.example" if i == 0 else "test.example").status, 502 if i else 404)
        code, out, _ = daemon.command("why")
        self.assertEqual(code, 0)
        lines = out.splitlines()
        self.assertEqual(len(lines), 32)
        self.assertIn("connect_refused", lines[1])
        self.assertTrue(lines[1].endswith("0199-lost"), lines[1])
        self.assertEqual(json.loads(daemon.command("why", "0000-number", "--json")[1])["requests"], [])  # the oldest are gone
        self.assertEqual(self.ask(daemon, "0599")["id"], "0599-number")
        self.assertEqual(self.ask(daemon, "0000-lost")["cause"], "no_route")

    def test_strangers_bytes_reach_no_terminal(self):
        daemon = self.weir(trusting([self.origin(start=False)], pool={"retry": False}))
        with daemon.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: \x9b31m\xff\xc3\xa9\r\n\r\n")
            client.read()
        out = daemon.command("why")[1]
        self.assertEqual(json.loads(daemon.command("why", "--json")[1])["requests"][0]["id"], "\\x9b31m\\xff\u00e9")
        self.assertNotIn("\x9b", out)
        self.assertNotIn("\x1b", out)
        self.assertIn("31m", out)
