"""What the dashboard is made of, through the real daemon: files, snapshots, sessions. The page itself: tests/browser."""
import json
import os
import tempfile

from harness import WeirTest, config, echo, fetch

TOKEN = "a-token-for-the-tests"


class Dashboard(WeirTest):
    def start(self, bind="127.0.0.1:0"):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "token")
        with open(path, "w") as file:
            file.write(TOKEN + "\n")
        self.settings = config([self.origin(echo)])
        self.settings["admin"] = {"bind": bind, "token_file": path}
        return self.weir(self.settings)

    def events(self, daemon):
        """Gives the snapshots one by one."""
        client = self.client(daemon, "admin")
        client.send(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while True:
            while b"\n\n" in received:
                piece, _, received = received.partition(b"\n\n")
                if piece.startswith(b"data: "):
                    yield json.loads(piece[6:])
            received += client.sock.recv(65536) or self.fail("the stream ended")

    def test_snapshots_follow_what_happens(self):
        daemon = self.start()
        events = self.events(daemon)
        first = next(events)
        self.assertEqual((first["status"]["generation"], first["status"]["last_reload"], first["causes"]), (1, None, {}))
        self.assertEqual(first["pools"], json.loads(daemon.admin("/api/v1/pools").text)["pools"])
        daemon.get("/")
        daemon.get("/", host="bad host")
        self.settings["pools"]["app"]["balance"] = "random"
        daemon.write(self.settings)
        self.assertEqual(daemon.command("reload")[0], 0)
        event = next(e for e in events if e["status"]["generation"] == 2)
        self.assertGreater(event["at_ms"], first["at_ms"])
        self.assertEqual(event["pools"][0]["backends"][0]["requests"], 1)
        self.assertEqual(sum(event["causes"].values()), 1, event["causes"])
        self.assertEqual(event["status"]["last_reload"]["result"], "applied")
        self.assertIn("random", event["status"]["last_reload"]["changes"][0])

    def test_a_session_beyond_loopback(self):
        daemon = self.start("0.0.0.0:0")
        address = "127.0.0.1:" + daemon.address("admin").rpartition(":")[2]

        def ask(target, method="GET", **headers):
            return fetch(address, method, target, headers, None, host=address)
        for target in ("/", "/dashboard.js", "/dashboard.css"):
            self.assertEqual(ask(target).status, 200, target)
        for target in ("/metrics", "/api/v1/pools", "/api/v1/events", "/api/v1/session"):
            self.assertEqual(ask(target).status, 401, target)
        opened = ask("/api/v1/session", "POST", Authorization=f"Bearer {TOKEN}")
        self.assertEqual(opened.status, 200)
        cookie = opened.header("set-cookie")
        self.assertTrue(cookie.endswith("; Path=/api/v1/; Max-Age=43200; HttpOnly; SameSite=Strict"), cookie)
        cookie = cookie.partition(";")[0]
        daemon.wait_event("admin_session_opened")
        self.assertEqual(ask("/api/v1/pools", Cookie=cookie).status, 200)
        drain = "/api/v1/pools/app/backends/b1/drain"
        self.assertEqual(ask(drain, "POST", Cookie=cookie).status, 401)
        self.assertEqual(ask(drain, "POST", Cookie=cookie, Origin="http://127.0.0.1:1").status, 403)
        self.assertEqual(ask(drain, "POST", Cookie=cookie, Origin=f"http://{address}").status, 200)
        self.assertEqual(ask("/api/v1/session/end", "POST", Cookie=cookie, Origin=f"http://{address}").status, 200)
        self.assertEqual(ask("/api/v1/pools", Cookie=cookie).status, 401)
