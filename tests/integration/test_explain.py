"""weir explain says what live routing does: on random requests, with and without a running daemon."""
import json
import os
import random
import tempfile
from urllib.parse import urlencode

from harness import WeirTest, config, echo, request, run_command, wait_until

COUNT = 10_000 if os.environ.get("WEIR_FULL") else 400
ROUTES = [
    {"name": "moved", "match": {"host": "old.example", "path": "/old*"}, "redirect": {"status": 308, "host": "new.example"}},
    {"name": "fine", "match": {"path": "/-/fine"}, "respond": {"status": 200, "body": "fine"}},
    {"name": "internal", "match": {"listener": "internal", "path": "/api/*"}, "pool": "app"},
    {"name": "beta", "match": {"path": "/api/*", "header": {"X-Beta": "1"}}, "pool": "hash"},
    {"name": "write", "match": {"path": "/api/*", "method": ["POST", "PUT"]}, "pool": "app"},
    {"name": "version", "match": {"path": "/api/{what}", "query": {"v": "2"}}, "pool": "hash"},
    {"name": "below", "match": {"host": "*.example", "path": "/a/*"}, "pool": "hash"},
    {"name": "bytes", "match": {"path": "/b*"}, "pool": "hash"},
    {"name": "rest", "match": {"host": "www.example"}, "pool": "app"},
]


class Explain(WeirTest):
    timeout = 600

    def settings(self):
        origins = {f"h{i}": self.origin(echo) for i in range(5)}
        return config(pools={
            "app": {"backends": {"one": self.origin(echo).url}},
            "hash": {"balance": {"consistent_hash": "user"}, "backends": {n: o.url for n, o in origins.items()}}},
            routes=ROUTES, keys={"user": {"first_of": [{"cookie": "user"}, {"header": "X-User"}, "path"]}},
            listeners={"web": {"bind": "127.0.0.1:0"}, "internal": {"bind": "127.0.0.1:0"}})

    def question(self, rng, number):
        """method, target, host, headers, listener: all kinds, good and bad."""
        path = rng.choice(["/", "/old", "/old/x", "/-/fine", "/api/", "/api/x", "/api/x/y", "/a/b/c", "/a", "//a/b", "/b", "/bbb", "/a/../b1", "/a/%62;x=1",
                           "/api/%2f", "/%2e%2e/x", "/nowhere"]) + rng.choice(["", "", "x", f"/{rng.randrange(50)}"])
        query = rng.choice(["", "v=1", "v=2", "w=1&v=2", "%76=2", "v=2;x"])
        headers = []
        if rng.random() < 0.4:
            headers.append(("X-Beta", rng.choice(["1", "2"])))
        if rng.random() < 0.5:
            headers.append(("Cookie", f"a=b; user={rng.randrange(1000)}"))
        if rng.random() < 0.3:
            headers.append(("X-User", f"u{rng.randrange(1000)}"))
        target = path + "?" + "&".join(p for p in (query, f"n={number}") if p)
        return (rng.choice(["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]), target,
                rng.choice(["www.example", "WWW.example:80", "old.example", "a.b.example", "other.test"]), headers, rng.choice(["web", "internal"]))

    def test_it_equals_live_routing(self):
        daemon = self.weir(self.settings())
        seed = random.randrange(1 << 30)
        rng = random.Random(seed)
        told = {}
        admin = self.client(daemon, "admin")
        clients = {name: self.client(daemon, name) for name in ("web", "internal")}
        outcomes = set()
        for number in range(COUNT):
            method, target, host, headers, listener = self.question(rng, number)
            query = [("method", method), ("url", target), ("listener", listener), ("header", f"Host: {host}")]
            query += [("header", f"{n}: {v}") for n, v in headers]
            answer = admin.get("/api/v1/explain?" + urlencode(query), host="localhost")
            self.assertEqual(answer.status, 200, answer.text)
            told[number] = json.loads(answer.text)
            outcomes.add(told[number]["outcome"])
            try:
                clients[listener].send(request(method, target, headers, b"" if method in ("POST", "PUT", "PATCH") else None, host))
                live = clients[listener].read(method)
                self.assertTrue(live.keep_alive())
            except Exception:  # the answer to a bad request ends the connection
                clients[listener] = self.client(daemon, listener)
            else:
                continue
        # The log says what happened.
        records = wait_until(lambda: (r := daemon.access_log()) and len(r) >= COUNT and r)
        compared = 0
        for record in records:
            number = int(record["target"].rpartition("n=")[2])
            said = told[number]
            live = (record["route"], record["pool"], record["backend"])
            self.assertEqual((said["route"] or "", said["pool"] or "", said["chosen"] or ""), live, f"seed {seed}, {record}, {said}")
            self.assertEqual(said["cause"], record["cause"], f"seed {seed}, {record}, {said}")
            compared += 1
        self.assertEqual(compared, COUNT)
        self.assertEqual(outcomes, {"refused", "no_route", "redirect", "respond", "forwarded"}, f"seed {seed}")

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
        for url, listener in (("http://a.test/", "more"), ("http://a.test:8080/", "web"), ("https://a.test/", "web"), ("/x", "web"), ("tcp://a.test", "db"), ("tcp://a.test:3306", "db")):
            code, out, err = run_command("explain", path, *(() if url.startswith("tcp") else ("GET",)), url)
            self.assertEqual((code, err, out.split(",")[0]), (0, "", f"listener {listener}"), url)
        code, out, err = run_command("explain", path, "GET", "http://a.test:1/")
        self.assertEqual((code, out, err), (1, "", "weir: no listener has port 1; write the port of one, or --listener NAME: web (8080), more (8081, 80), db (3306)\n"))
        self.assertIn("is of mode: http; write http://", run_command("explain", path, "tcp://a.test:8080")[2])
