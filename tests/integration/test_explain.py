"""weir explain says what live routing does: on random requests, with and without a running daemon."""
import base64
import json
import os
import random
import ssl
import tempfile
import threading
from urllib.parse import urlencode

from harness import WeirTest, config, echo, request, response, run_command, wait_until
from tls import CertifiedTest, TlsClient
from wire import Incomplete

COUNT = 10_000 if os.environ.get("WEIR_FULL") else 400
ALICE = "alice:$2b$04$abcdefghijklmnopqrstuujZkTwHUiJ9XdZPwKfcfDo7dMp5DjlTu\n"  # "wonderland"
ROUTES = [
    {"name": "moved", "match": {"host": "old.example", "path": "/old*"}, "redirect": {"status": 308, "host": "new.example"}},
    {"name": "fine", "match": {"path": "/-/fine"}, "respond": {"status": 200, "body": "fine"}},
    {"name": "gone", "match": {"path": "/g/gone/*"}, "redirect": {"status": 301, "path": "/"}, "deny": ["127.0.0.0/8"]},
    {"name": "inner", "match": {"path": "/g/inner/*"}, "pool": "app", "allow": ["192.0.2.0/24"]},
    {"name": "near", "match": {"path": "/g/near/*"}, "pool": "app", "allow": ["127.0.0.0/8"], "deny": ["127.0.0.2"], "rewrite": {"prefix": ["/g/near", "/"]}},
    {"name": "often", "match": {"path": "/g/often*"}, "pool": "app", "rate_limit": {"key": "user", "rate": "3/h"}},
    {"name": "users", "match": {"path": "/g/users*"}, "pool": "app", "auth": {"basic": "USERS"}},
    {"name": "both", "match": {"path": "/g/both*"}, "respond": {"status": 204}, "rate_limit": {"key": {"header": "X-User"}, "rate": "5/h"}, "auth": {"basic": "USERS"}},
    {"name": "asks", "match": {"path": "/g/asks*"}, "pool": "app", "auth": {"forward": {"pool": "app", "path": "/verify"}}, "rewrite": {"prefix": ["/g/asks", "/v2"]}},
    {"name": "again", "match": {"path": "/g/again/*"}, "redirect": {"status": 302, "scheme": "https"}},
    {"name": "internal", "match": {"listener": "internal", "path": "/api/*"}, "pool": "app"},
    {"name": "beta", "match": {"path": "/api/*", "header": {"X-Beta": "1"}}, "pool": "hash"},
    {"name": "write", "match": {"path": "/api/*", "method": ["POST", "PUT"]}, "pool": "app"},
    {"name": "version", "match": {"path": "/api/{what}", "query": {"v": "2"}}, "pool": "hash"},
    {"name": "below", "match": {"host": "*.example", "path": "/a/*"}, "pool": "hash"},
    {"name": "bytes", "match": {"path": "/b*"}, "pool": "hash"},
    {"name": "rest", "match": {"host": "www.example"}, "pool": "app"},
]


# Asked in any case, whatever chance brings: a path, and what else there is to it.
FIXED = [("GET", "/g/gone/x", [], None), *[("GET", "/g/often", [], None)] * 4, ("GET", "/g/users", [], None), ("GET", "/g/users", [("Authorization", "Basic eA==")], None),
         ("OPTIONS", "/b", [("Max-Forwards", "0")], None), ("OPTIONS", "/b", [("Max-Forwards", "1")], None), ("TRACE", "/b", [], None), ("POST", "/b", [], b"x" * 65),
         ("GET", "/g/near/x", [], None), ("GET", "/g/again/x", [], None)]


class Explain(WeirTest):
    timeout = 600

    def settings(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        users = os.path.join(folder.name, "users")
        with open(users, "w") as file:
            file.write(ALICE)
        routes = json.loads(json.dumps(ROUTES).replace("USERS", users))
        origins = {f"h{i}": self.origin(echo) for i in range(5)}
        return config(pools={
            "app": {"backends": {"one": self.origin(echo).url}},
            "hash": {"balance": {"consistent_hash": "user"}, "backends": {n: o.url for n, o in origins.items()}}},
            routes=routes, limits={"body_bytes": "64B"}, keys={"user": {"first_of": [{"cookie": "user"}, {"header": "X-User"}, "path"]}},
            listeners={"web": {"bind": "127.0.0.1:0"}, "internal": {"bind": "127.0.0.1:0"}})

    def question(self, rng, number):
        """method, target, host, headers, body, listener: all kinds, good and bad."""
        if number < len(FIXED):
            method, path, headers, body = FIXED[number]
            return method, f"{path}?n={number}", "www.example", headers, body, "web"
        path = rng.choice(["/", "/old", "/old/x", "/-/fine", "/api/", "/api/x", "/api/x/y", "/a/b/c", "/a", "//a/b", "/b", "/bbb", "/a/../b1", "/a/%62;x=1",
                           "/api/%2f", "/%2e%2e/x", "/nowhere", "/g/gone/x", "/g/inner/x", "/g/near/a//b", "//g/near/%7e;x", "/g/often", "/g/users", "/g/both", "/g/asks", "/g/asks/",
                           "/g/again/x"]) + rng.choice(["", "", "x", f"/{rng.randrange(50)}"])
        query = rng.choice(["", "v=1", "v=2", "w=1&v=2", "%76=2", "v=2;x"])
        headers = []
        if rng.random() < 0.4:
            headers.append(("X-Beta", rng.choice(["1", "2"])))
        if rng.random() < 0.5:
            headers.append(("Cookie", f"a=b; user={rng.randrange(1000)}"))
        if rng.random() < 0.3:
            headers.append(("X-User", f"u{rng.randrange(1000)}"))
        if rng.random() < 0.2:
            headers.append(("Max-Forwards", rng.choice(["0", "00", "1", "7", "-1", "0x"])))
        if rng.random() < 0.4:
            words = rng.choice(["alice:wonderland", "alice:wonderland", "no colon", ""])
            headers.append(("Authorization", rng.choice(["Basic ", "Basic ", "Bearer "]) + base64.b64encode(words.encode()).decode()))
        target = path + "?" + "&".join(p for p in (query, f"n={number}") if p)
        method = rng.choice(["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
        body = rng.choice([b"", b"x" * 64, b"x" * 65]) if method in ("POST", "PUT", "PATCH") else None
        return (method, target, rng.choice(["www.example", "WWW.example:80", "old.example", "a.b.example", "other.test"]), headers, body, rng.choice(["web", "internal"]))

    def test_it_equals_live_routing(self):
        daemon = self.weir(self.settings())
        seed = random.randrange(1 << 30)
        rng = random.Random(seed)
        told = {}
        admin = self.client(daemon, "admin")
        clients = {name: self.client(daemon, name) for name in ("web", "internal")}
        outcomes, causes, rewritten = set(), set(), 0
        for number in range(COUNT):
            method, target, host, headers, body, listener = self.question(rng, number)
            query = [("method", method), ("url", target), ("listener", listener), ("header", f"Host: {host}")]
            query += [("header", f"{n}: {v}") for n, v in headers]
            if body is not None:
                query.append(("header", f"Content-Length: {len(body)}"))
            answer = admin.get("/api/v1/explain?" + urlencode(query), host="localhost")
            self.assertEqual(answer.status, 200, answer.text)
            said = told[number] = json.loads(answer.text)
            outcomes.add(said["outcome"])
            causes.add(said["cause"])
            clients[listener].send(request(method, target, headers, body, host))
            live = clients[listener].read(method)
            where = f"seed {seed}, {method} {target} {host} {headers}, {said}"
            if said["outcome"] == "refused":
                self.assertEqual(live.status, said["status"], where)
            elif said["outcome"] == "redirect":
                self.assertEqual(f"{live.status} to {live.header('location')}", said["answer"], where)
            elif said["outcome"] == "forwarded" and method != "HEAD":
                seen = live.text.split(" ")[1].partition("?")[0]
                self.assertEqual(seen, said["forwarded_path"], where)
                rewritten += said["route"] in ("near", "asks")
            if not live.keep_alive():  # the answer to a bad request ends the connection
                clients[listener] = self.client(daemon, listener)
        self.assertGreater(rewritten, 0)
        # The log says what happened.
        records = wait_until(lambda: (r := daemon.access_log()) and len(r) >= COUNT and r)
        compared = 0
        for record in records:
            if not record["target"]:  # refused by the parser: no target to know it by; its status was compared above
                self.assertEqual(record["cause"], "method_not_allowed")
                compared += 1
                continue
            number = int(record["target"].rpartition("n=")[2])
            said = told[number]
            live = (record["route"], record["pool"], record["backend"])
            self.assertEqual((said["route"] or "", said["pool"] or "", said["chosen"] or ""), live, f"seed {seed}, {record}, {said}")
            self.assertEqual(said["cause"], record["cause"], f"seed {seed}, {record}, {said}")
            compared += 1
        self.assertEqual(compared, COUNT)
        self.assertEqual(outcomes, {"refused", "no_route", "redirect", "respond", "forwarded"}, f"seed {seed}")
        self.assertLessEqual({"address_denied", "rate_limited", "credentials_missing", "credentials_wrong", "max_forwards", "method_not_allowed", "body_too_large"}, causes, f"seed {seed}")

    def test_guards(self):
        daemon = self.weir(self.settings())
        alice = "Authorization: Basic " + base64.b64encode(b"alice:wonderland").decode()
        for path, headers, live, offline in (
                ("/g/gone/x", (), "  no  deny: 127.0.0.1 is in it\n→ 403 address_denied\n", None),
                ("/g/inner/x", (), "  no  allow: 127.0.0.1 is not in it\n→ 403 address_denied\n", None),
                ("/g/often", (), '  yes rate_limit: 3/h by first of [cookie user, header x-user, path] = "/g/often"; there is room\n', '  ?   rate_limit: 3/h by first of [cookie user, header x-user, path] = "/g/often"\n'),
                ("/g/users", (), "  no  auth: asks for a password, and the request has none\n→ 401 credentials_missing\n", None),
                ("/g/users", (alice,), '  ?   auth: a running daemon is not asked whether the password of "alice" is right\n', '  yes auth: the password of "alice" is right\n'),
                ("/g/asks/x", (), "  ?   auth: asks pool app first (GET /verify)\nforwarded as /v2/x\n", None)):
            words = ("GET", "http://www.example" + path, *(w for h in headers for w in ("-H", h)))
            for wanted, (code, out, err) in ((live, daemon.command("explain", "--live", *words)), (offline or live, run_command("explain", daemon.path, *words))):
                self.assertEqual((code, err), (1 if "→ 4" in wanted else 0, ""), out)
                self.assertIn("\nguards:\n", out)
                self.assertIn(wanted, out)
        wrong = "Authorization: Basic " + base64.b64encode(b"alice:rabbit").decode()
        self.assertIn("→ 401 credentials_wrong\n", run_command("explain", daemon.path, "GET", "http://www.example/g/users", "-H", wrong)[1])
        # Asking takes nothing: after ten questions the three of the hour are still there.
        for _ in range(10):
            self.assertEqual(daemon.command("explain", "--live", "GET", "http://www.example/g/often")[0], 0)
        self.assertEqual([daemon.get("/g/often", host="www.example").status for _ in range(4)], [200, 200, 200, 429])
        code, out, _ = daemon.command("explain", "--live", "GET", "http://www.example/g/often")
        self.assertEqual(code, 1)
        self.assertRegex(out, r"; used up, room again in \d+ s\n→ 429 rate_limited\n\Z")

    def test_before_the_route(self):
        daemon = self.weir(self.settings())
        code, out, _ = daemon.command("explain", "--live", "OPTIONS", "http://www.example/", "-H", "Max-Forwards: 0")
        self.assertEqual((code, out.splitlines()[1:]), (0, ["→ respond: 200, since Max-Forwards is 0: it asks what stands here, not a backend"]))
        code, out, _ = daemon.command("explain", "--live", "POST", "http://www.example/", "-H", "Content-Length: 65")
        self.assertEqual((code, out), (1, "413 body_too_large: Content-Length is above limits.body_bytes\n"))

    def test_a_full_pool(self):
        go = threading.Event()
        self.addCleanup(go.set)

        def slow(message, connection):
            if message.target == "/slow":
                go.wait(60)
            return response(200, b"x")
        for queue, cause, why in ((0, "pool_limit", "limits.inflight is reached, and there is no queue (limits.queue)"), (5, "none", "limits.inflight is reached: the request waits in the queue")):
            origin = self.origin(slow)
            daemon = self.weir(config([origin], pool={"limits": {"inflight": 1, "queue": queue}}))
            self.client(daemon).send(request("GET", "/slow"))
            wait_until(lambda: origin.count() == 1)
            for _ in range(3):
                code, out, _ = daemon.command("explain", "--live", "--json", "GET", "http://test.example/")
                told = json.loads(out)
                self.assertEqual((code, told["outcome"], told["cause"], told["why"], told["chosen"]), (1, "no_backend", cause, why, None))
            self.assertEqual(daemon.metrics().sum("weir_pool_inflight"), 1)
            if not queue:
                self.assertEqual(daemon.get("/").status, 503)

    def test_for_people(self):
        daemon = self.weir(self.settings())
        code, out, err = daemon.command("explain", "--live", "GET", "http://www.example/api/x", "-H", "X-User: 7", "-H", "X-Beta: 1")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"\Alistener web, host www\.example, path /api/x, client 127\.0\.0\.1\nroutes:\n  no  moved \(.*weir\.yaml:\d+:\d+\): host old\.example does not cover www\.example\n")
        self.assertIn("): listener web is not internal\n  yes beta (", out)
        self.assertRegex(out, r"\npool hash, consistent_hash\nkey: first of \[cookie user, header x-user, path\] = \"7\"\n")
        self.assertRegex(out, r"\n→ h\d: the key belongs to it\n\Z")
        # Without the daemon the same, for the key decides.
        offline = run_command("explain", daemon.path, "GET", "http://www.example/api/x", "-H", "X-User: 7", "-H", "X-Beta: 1")
        self.assertEqual(offline[1].splitlines()[-1], out.splitlines()[-1])

    def test_live_knows_who_is_up(self):
        daemon = self.weir(self.settings())
        ask = ("explain", "--live", "--json", "GET", "/b", "-H", "Host: www.example")
        first = json.loads(daemon.command(*ask)[1])["chosen"]
        daemon.command("disable", f"hash/{first}")
        told = json.loads(daemon.command(*ask)[1])
        self.assertNotEqual(told["chosen"], first)
        self.assertEqual([(b["status"], b["candidate"]) for b in told["backends"] if b["name"] == first], [("disabled", False)])
        daemon.command("disable", "app/one")
        code, out, _ = daemon.command("explain", "--live", "GET", "http://www.example/")
        self.assertEqual(code, 1)
        self.assertIn("no backend: no backend of the pool is usable\n", out)

    def test_exit_codes_and_bad_words(self):
        daemon = self.weir(self.settings())
        for arguments, code, said in ((("GET", "http://other.test/"), 1, "404: no route matches"), (("GET", "http://old.example/old"), 0, "→ redirect: 308 to http://new.example/old"),
                                      (("GET", "http://www.example/%00"), 1, "400 bad_request: "), (("GET", "/-/fine"), 0, "→ respond: 200")):
            result = daemon.command("explain", "--live", *arguments)
            self.assertEqual(result[0], code, result)
            self.assertIn(said, result[1])
        for arguments, code, said in ((("GET", "example.com"), 1, "is no URL"), (("GET", "/", "--client", "me"), 1, '"me" is no address'), (("GET",), 2, "METHOD URL"),
                                      (("GET", "/", "--listener", "wb"), 1, 'no listener "wb"'), (("GET", "/", "-H", "nonsense"), 2, "NAME: VALUE")):
            result = daemon.command("explain", "--live", *arguments)
            self.assertEqual((result[0], result[1], len(result[2].splitlines())), (code, "", 1), result)
            self.assertIn(said, result[2])
        with open(daemon.path + ".bad", "w") as file:
            file.write("listeners: {}\n")
        code, out, err = run_command("explain", daemon.path + ".bad", "GET", "/")
        self.assertEqual((code, out), (2, ""))
        self.assertIn(".bad:1:", err)
        self.assertEqual(run_command("explain", "/nonexistent.yaml", "GET", "/")[0], 1)

    def test_the_listener_is_that_of_the_port(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "ports.yaml")
        with open(path, "w") as file:
            file.write("listeners: { web: { bind: \":8080\" }, more: { bind: [\":8081\", \":80\"] }, db: { bind: \":3306\", mode: tcp, pool: db } }\n"
                       "pools: { app: { backends: { a: \"http://10.0.0.1\" } }, db: { mode: tcp, backends: { d: 10.0.0.2:1 } } }\nroutes: [ { pool: app } ]\n")
        for url, listener in (("http://a.test/", "more"), ("http://a.test:8080/", "web"), ("/x", "web"), ("tcp://a.test", "db"), ("tcp://a.test:3306", "db")):
            code, out, err = run_command("explain", path, *(() if url.startswith("tcp") else ("GET",)), url)
            self.assertEqual((code, err, out.split(",")[0]), (0, "", f"listener {listener}"), url)
        code, out, err = run_command("explain", path, "GET", "http://a.test:1/")
        self.assertEqual((code, out, err), (1, "", "weir: no listener has port 1; write the port of one, or --listener NAME: web (8080), more (8081, 80), db (3306)\n"))
        self.assertIn("is of mode: http; write http://", run_command("explain", path, "tcp://a.test:8080")[2])


class Connections(CertifiedTest):
    """What the handshake says, before there is a request: asked, and then done."""
    timeout = 300

    def setUp(self):
        super().setUp()
        self.pems = {name: self.ca.issue(name, names) for name, names in
                     (("a", ["DNS:a.test", "IP:127.0.0.1"]), ("b", ["DNS:b.test", "DNS:*.b.test"]), ("c", ["DNS:c.test", "DNS:a.test"]))}
        both = {"certificate": [p for p, _ in self.pems.values()], "key": [k for _, k in self.pems.values()]}
        self.names = self.pems["a"][0], self.pems["b"][0], self.pems["c"][0]
        origin = self.origin(echo)
        self.daemon = self.weir(config(pools={"app": {"backends": {"b1": origin.url}}, "db": {"mode": "tcp", "backends": {"d": origin.address}}}, listeners={
            "db": {"bind": "127.0.0.1:0", "mode": "tcp", "pool": "db", "tls": {**both, "strict_sni": True}},
            "web": {"bind": "127.0.0.1:0"}, "tls": {"bind": "127.0.0.1:0", "tls": both}, "strict": {"bind": "127.0.0.1:0", "tls": {**both, "strict_sni": True}},
            "one": {"bind": "127.0.0.1:0", "tls": {"certificate": self.pems["a"][0], "key": self.pems["a"][1]}},
            "mutual": {"bind": "127.0.0.1:0", "tls": {**both, "client_ca": self.ca.pem}}},
            routes=[{"match": {"host": ["a.test", "b.test", "*.b.test", "127.0.0.1"]}, "pool": "app"}]))

    def live(self, listener, scheme, name, host, method, number):
        """(status, certificate shown); no status: the handshake, or the connection, ends without an answer."""
        head = request(method, f"/?n={number}", host=host)
        if scheme == "http":
            client = self.client(self.daemon, listener)
            client.send(head)
            try:
                return client.read(method).status, None
            except (OSError, Incomplete):  # perhaps with an alert
                return None, None
        lenient = self.ca.client_context()
        lenient.check_hostname = False
        try:
            client = TlsClient(self.daemon.address(listener), lenient, None if name == "127.0.0.1" else name)
        except ssl.SSLError as error:
            return ("plain" if listener == "web" else None), str(error)
        self.addCleanup(client.close)
        client.send(head)
        return client.read(method).status, client.shown()

    def test_it_equals_what_a_client_meets(self):
        seed = random.randrange(1 << 30)
        rng = random.Random(seed)
        names = ["a.test", "b.test", "x.b.test", "x.y.b.test", "C.test", "unknown.test", "127.0.0.1"]
        rules, plain, met = set(), 0, set()
        for number in range(1000 if os.environ.get("WEIR_FULL") else 150):
            listener, scheme = rng.choice([("web", "http"), ("web", "https"), ("tls", "http"), ("tls", "https"), ("tls", "https"), ("strict", "https"), ("strict", "https"), ("one", "https")])
            name, method = rng.choice(names), "GET" if scheme == "https" or rng.random() < 0.7 else "get"
            host = rng.choice([name, name + ":443", *names])
            answer = self.daemon.admin("/api/v1/explain?" + urlencode([("method", method), ("url", f"{scheme}://{name}/"), ("listener", listener), ("header", f"Host: {host}")]))
            told = json.loads(answer.text)
            status, shown = self.live(listener, scheme, name, host, method, number)
            where = f"seed {seed}, {listener} {scheme}://{name}/ {host} {method}: {status} {shown}, {told}"
            rules |= {(g["rule"], g["verdict"]) for g in told["connection"]}
            met.add((told["outcome"], told["cause"], told["handshake"]))
            if status == "plain":
                plain += 1
                self.assertEqual((told["outcome"], told["cause"], told["status"]), ("refused", "bad_request", 400), where)
                continue
            self.assertEqual(told["status"] if told["outcome"] in ("refused", "no_route") else 200, status, where)
            if scheme == "https" and status:
                self.assertIn({"a.test": "a.pem", "b.test": "b.pem", "c.test": "c.pem"}[shown], told["connection"][0]["says"], where)
        # What the log says of the clients of TLS that came to the plain listener.
        wait_until(lambda: len([r for r in self.daemon.access_log() if (r["listener"], r["cause"]) == ("web", "bad_request")]) == plain)
        self.assertLessEqual({("tls", "refuses"), ("certificate", "passes"), ("certificate", "open"), ("certificate", "refuses"), ("host", "refuses")}, rules, f"seed {seed}")
        self.assertLessEqual({("refused", "plain_http_on_tls", "plain_http"), ("refused", "none", "not_tls"), ("refused", "none", "server_name"), ("refused", "misdirected", None)}, met, f"seed {seed}")

    def test_for_people(self):
        for words, code, wanted in (
                (("https://a.test/", "--listener", "web"), 1, "server name a.test, client 127.0.0.1\nconnection:\n  no  tls: the listener speaks none: a client's handshake fails, for the answer is plain HTTP; write http:// if something before the listener ends TLS\n→ 400 bad_request\n"),
                (("http://a.test/", "--listener", "tls"), 1, "connection:\n  no  tls: the listener speaks nothing else; write https://\n→ 400 plain_http_on_tls\n"),
                (("https://x.test/", "--listener", "strict"), 1, "  no  certificate: none has the name x.test, and strict_sni refuses such clients\n→ no answer: the handshake fails (server_name)\n"),
                (("https://10.0.0.1/", "--listener", "strict"), 1, "  no  certificate: the client asks for no name, and strict_sni refuses such ones\n→ no answer: the handshake fails (server_name)\n"),
                (("https://a.test/", "--listener", "tls", "-H", "Host: b.test"), 1, "a.pem has the name a.test\n  no  host: the connection is for a.test, and b.test has another certificate\n→ 421 misdirected\n"),
                (("https://x.test/", "--listener", "tls"), 1, "a.pem, the first one, for none has the name x.test: a client that checks names goes away\nroutes:\n"),
                (("https://b.test/", "--listener", "mutual"), 0, "b.pem has the name b.test\n  ?   client_auth: the client has to show a certificate of ")):
            for told in (self.daemon.command("explain", "--live", "GET", *words), run_command("explain", self.daemon.path, "GET", *words)):
                self.assertEqual((told[0], told[2]), (code, ""), told)
                self.assertIn(wanted, told[1])
        for name, code, wanted in (("x.test", 1, "none has the name x.test, and strict_sni refuses such clients\n→ no answer: the handshake fails (server_name)\n"), ("b.test", 0, "b.pem has the name b.test\n\npool db, ")):
            told = self.daemon.command("explain", "--live", f"tls://{name}", "--listener", "db")
            self.assertEqual(told[0], code, told)
            self.assertIn(wanted, told[1])
        # A path alone is asked of the routes; nothing is known of its connection.
        self.assertNotIn("connection:", self.daemon.command("explain", "--live", "GET", "/", "-H", "Host: a.test", "--listener", "strict")[1])
