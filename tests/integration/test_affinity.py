"""Session affinity: sessions stay with their backend over instances, rotations of keys, drains and failures."""
import base64
import hashlib
import hmac
import json
import os
import tempfile
import threading
import time

from harness import WeirTest, config, echo, request, response, run_command, wait_until

KEY, OTHER = "k" * 40, "o" * 40
COOKIE = "weir_affinity"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(key, backend, expiry, pool="app", session="c2Vzc2lv"):
    """A cookie as docs/affinity.md has it."""
    own = hmac.new(key.encode(), b"weir affinity " + pool.encode(), hashlib.sha256).digest()
    text = f"v1.{b64(hmac.new(own, b'backend:' + backend.encode(), hashlib.sha256).digest()[:12])}.{session}.{expiry}"
    return f"{text}.{b64(hmac.new(own, text.encode(), hashlib.sha256).digest())}"


class SessionServer:
    """A backend that keeps sessions for itself, as PHP's files do: a session that it doesn't know is lost (409)."""

    def __init__(self, name):
        self.name, self.sessions, self.lock = name, {}, threading.Lock()

    def __call__(self, message, connection):
        jar = dict(pair.strip().partition("=")[::2] for n, v in message.fields if n.lower() == "cookie" for pair in v.split(";"))
        assert COOKIE not in jar, "the affinity cookie was passed on"
        with self.lock:
            if message.target == "/login":
                sid = f"{self.name}-{len(self.sessions)}"
                self.sessions[sid] = 0
                return response(200, self.name.encode(), [("Set-Cookie", f"SID={sid}; Path=/")])
            if jar.get("SID") not in self.sessions:
                return response(409, f"{self.name} does not know {jar.get('SID')}".encode())
            self.sessions[jar["SID"]] += 1
            return response(200, self.name.encode())


def cookies_of(answer):
    return dict(value.partition(";")[0].partition("=")[::2] for name, value in answer.fields if name.lower() == "set-cookie")


class Session:
    """A browser: keeps the cookies that it is given."""

    def __init__(self, daemon):
        self.jar = {}
        self.home = self.get(daemon, "/login").text

    def headers(self):
        return [("Cookie", "; ".join(f"{n}={v}" for n, v in self.jar.items()))] if self.jar else []

    def take(self, answer):
        self.jar.update(cookies_of(answer))
        return answer

    def get(self, daemon, target="/"):
        return self.take(daemon.get(target, self.headers()))

    def many(self, daemon, count):
        """Pipelined over one connection; how many did not reach the session's server."""
        lost = 0
        with daemon.client() as client:
            client.send(request("GET", "/", self.headers()) * count)
            for _ in range(count):
                answer = self.take(client.read())
                lost += answer.status != 200 or answer.text != self.home
        return lost


class Affinity(WeirTest):
    timeout = 240

    def setUp(self):
        super().setUp()
        handle, self.secret = tempfile.mkstemp(prefix="weir-secret-")
        os.close(handle)
        self.addCleanup(os.unlink, self.secret)
        self.write_keys(KEY)

    def write_keys(self, *keys):
        with open(self.secret, "w") as file:
            file.write("# first signs\n" + "".join(f"{key}\n" for key in keys))

    def settings(self, backends, affinity=None, **more):
        return config(backends, pool={"affinity": affinity or {}, **more}, workers=2, secret=self.secret)

    def servers(self, count=3):
        self.handlers = [SessionServer(f"b{i}") for i in range(1, count + 1)]
        return [self.origin(handler, record=False) for handler in self.handlers]

    def results(self, daemon):
        metrics = daemon.metrics()
        return {r: int(metrics.sum("weir_affinity_requests_total", result=r)) for r in ("hit", "new", "broken", "forged")}

    def test_two_instances_no_session_is_lost(self):
        """10,000 requests over both (100,000 with tests/run --full): none reaches another server than its session's."""
        servers = self.servers()
        one, two = self.weir(self.settings(servers)), self.weir(self.settings(servers))
        rounds = 50 if os.environ.get("WEIR_FULL") else 5
        sessions = [Session((one, two)[i % 2]) for i in range(40)]
        self.assertEqual({s.home for s in sessions}, {"b1", "b2", "b3"})
        lost = sum(session.many(daemon, 25) for _ in range(rounds) for session in sessions for daemon in (one, two))
        self.assertEqual(lost, 0)
        for daemon in (one, two):
            self.assertEqual(self.results(daemon), {"hit": rounds * 1000, "new": 20, "broken": 0, "forged": 0})

    def test_the_cookie(self):
        origin = self.origin(echo)
        daemon = self.weir(self.settings([origin]))
        answer = daemon.get("/", [("Cookie", "a=1")])
        line = next(v for n, v in answer.fields if n.lower() == "set-cookie")
        value, _, attributes = line.partition("; ")
        self.assertEqual(attributes, "Path=/; HttpOnly; SameSite=Lax")
        value = value.partition("=")[2]
        session, expiry = value.split(".")[2], int(value.split(".")[3])
        self.assertTrue(abs(expiry - time.time() - 8 * 3600) < 60, expiry)
        self.assertEqual(value, sign(KEY, "b1", expiry, session=session))
        # It is not sent again, and the backend sees the other cookies alone.
        answer = daemon.get("/", [("Cookie", f"a=1; {COOKIE}={value}; b=2")])
        self.assertEqual(cookies_of(answer), {})
        self.assertIn("Cookie: a=1; b=2\n", answer.text)
        self.assertNotIn("v1.", answer.text)
        # Past half of its time it is.
        answer = daemon.get("/", [("Cookie", f"{COOKIE}={sign(KEY, 'b1', int(time.time()) + 3 * 3600, session=session)}")])
        self.assertEqual(list(cookies_of(answer)), [COOKIE])
        self.assertEqual(cookies_of(answer)[COOKIE].split(".")[2], session, "it is still the same session")
        self.assertEqual(self.results(daemon), {"hit": 2, "new": 1, "broken": 0, "forged": 0})

    def test_forged_and_expired_count_as_none(self):
        daemon = self.weir(self.settings(self.servers()))
        now = int(time.time())
        good = sign(KEY, "b2", now + 3600 * 8)
        for i, (value, result) in enumerate(((good[:-1] + ("A" if good[-1] != "A" else "B"), "forged"), ("x", "forged"), ("", "forged"),
                                             (sign(OTHER, "b2", now + 3600), "forged"), (sign(KEY, "b2", now + 3600, "shop"), "forged"),
                                             (good.replace(f".{now + 3600 * 8}.", f".{now + 3600 * 9}."), "forged"),
                                             (sign(KEY, "b2", now - 5), "new"), (sign(KEY, "b9", now + 3600), "broken"))):
            before = self.results(daemon)
            answer = daemon.get("/login", [("Cookie", f"{COOKIE}={value}")])
            self.assertIn(COOKIE, cookies_of(answer), value)
            after = self.results(daemon)
            self.assertEqual({r: after[r] - before[r] for r in after if after[r] != before[r]}, {result: 1}, value)
        # A good one behind a bad one counts.
        answers = {daemon.get("/login", [("Cookie", f"{COOKIE}=x; {COOKIE}={good}")]).text for _ in range(6)}
        self.assertEqual(answers, {"b2"})

    def test_keys_are_rotated_without_losing_a_session(self):
        servers = self.servers()
        settings = self.settings(servers)
        daemon = self.weir(settings)
        sessions = [Session(daemon) for _ in range(12)]
        for keys in ((KEY, OTHER), (OTHER, KEY)):
            self.write_keys(*keys)
            self.assertEqual(daemon.reload(settings).changes, "1")
            self.assertEqual(sum(s.many(daemon, 5) for s in sessions), 0, keys)
        # A new session is signed with the new key; the old key goes when its cookies have expired.
        young = Session(daemon)
        self.write_keys(OTHER)
        daemon.reload(settings)
        self.assertEqual(young.many(daemon, 5), 0)
        self.assertEqual(self.results(daemon)["forged"], 0)
        daemon.get("/", sessions[0].headers())
        self.assertEqual(self.results(daemon)["forged"], 1)
        # A bad file keeps the keys that run, says where, and shows nothing of them.
        self.write_keys(OTHER, "short")
        daemon.reload(settings, ok=False)
        self.assertIn(f"{self.secret}:3:1", daemon.logs())
        self.assertNotIn(OTHER, daemon.logs())
        self.assertEqual(young.many(daemon, 5), 0)

    def test_draining_keeps_its_sessions_until_the_deadline(self):
        daemon = self.weir(self.settings(self.servers(), {"drain": "4s"}))
        sessions = [Session(daemon) for _ in range(12)]
        at_b1 = [s for s in sessions if s.home == "b1"]
        self.assertTrue(at_b1)
        began = time.monotonic()
        code, out, err = daemon.command("drain", "app/b1", "--timeout", "100ms")
        self.assertEqual(code, 1, (out, err))
        self.assertIn(" (its sessions may come until ", err)
        self.assertTrue(daemon.backend("b1")["sessions_until"])
        asked = 0
        while True:
            lost = sum(s.many(daemon, 2) for s in at_b1)
            if time.monotonic() - began >= 4:
                break  # part of these may have come too late
            self.assertEqual(lost, 0)
            asked += 1
            self.assertNotIn("b1", {daemon.get("/login").text for _ in range(4)}, "a new session")
        self.assertGreater(asked, 0)
        wait_until(lambda: daemon.backend("b1")["sessions_until"] is None, what="the deadline")
        moved = daemon.get("/login", at_b1[0].headers())
        self.assertNotEqual(moved.text, "b1")
        self.assertGreater(self.results(daemon)["broken"], 0)
        code, out, err = daemon.command("drain", "app/b1", "--timeout", "30s")
        self.assertEqual((code, err), (0, ""))

    def test_draining_at_load_loses_no_session(self):
        """Two instances, six clients, 60 sessions; b1 is drained on both while they go on, and keeps its own until the deadline."""
        seconds = 60 if os.environ.get("WEIR_FULL") else 3
        settings = self.settings(self.servers(), {"drain": f"{seconds + 60}s"})
        both = self.weir(settings), self.weir(settings)
        sessions = [Session(both[i % 2]) for i in range(60)]
        lost, asked, ended = [], [], threading.Event()

        def client(own):
            while not ended.is_set():
                for session in own:
                    for daemon in both:
                        lost.append(session.many(daemon, 5))
                        asked.append(5)
        threads = [threading.Thread(target=client, args=(sessions[i::6],)) for i in range(6)]
        for thread in threads:
            thread.start()
        self.addCleanup(lambda: [ended.set()] + [thread.join(60) for thread in threads])
        for daemon in both:
            self.assertEqual(daemon.command("drain", "app/b1", "--no-wait")[0], 0)
        drained, known = len(asked), len(self.handlers[0].sessions)
        at_b1 = sum(s.home == "b1" for s in sessions)
        self.assertGreater(at_b1, 0)
        for daemon in both:
            wait_until(lambda: abs(daemon.backend("b1")["sessions_left"] - at_b1) <= 4, what=f"{at_b1} sessions left")
        time.sleep(seconds)
        wait_until(lambda: len(asked) > drained + 120, what="every session was asked after the order")
        ended.set()
        for thread in threads:
            thread.join(60)
        self.assertEqual(sum(lost), 0, f"of {sum(asked)} requests")
        self.assertEqual(len(self.handlers[0].sessions), known, "a new session at the draining backend")
        for daemon in both:
            self.assertEqual(daemon.metrics().sum("weir_backend_sessions_left", backend="b1"), daemon.backend("b1")["sessions_left"])
        print(f"    {sum(asked)} requests, {at_b1} of 60 sessions at the draining backend, {sum(lost)} lost")

    def test_drain_ends_when_no_session_comes_any_more(self):
        daemon = self.weir(self.settings(self.servers(), {"drain": "1h", "idle": "2s"}))
        sessions = [Session(daemon) for _ in range(12)]
        result = []
        thread = threading.Thread(target=lambda: result.append(daemon.command("drain", "app/b1", timeout=120)))
        thread.start()
        wait_until(lambda: daemon.backend("b1")["status"] == "draining")
        at_b1 = [s for s in sessions if s.home == "b1"]
        self.assertTrue(at_b1)
        # While they go on it waits, for longer than `idle`; unless this machine was away for so long.
        until, left, said = time.monotonic() + 4, 0, ""
        while time.monotonic() < until and thread.is_alive():
            self.assertEqual(sum(s.many(daemon, 1) for s in at_b1), 0)
            left = max(left, daemon.backend("b1")["sessions_left"])
            said = said or daemon.command("status")[1]
        self.assertAlmostEqual(left, len(at_b1), delta=3)
        self.assertRegex(said, r"about \d+ sessions? left; drained by uid \d+")
        thread.join(60)
        code, out, err = result[0]
        self.assertEqual((code, err), (0, ""), out)
        self.assertRegex(out, r"app/b1: 0 in flight, about \d+ sessions? left, 59:\d\d to the deadline\n")
        self.assertRegex(out, r"app/b1: drained, nothing in flight and its sessions over after \d")
        # They are still its own, if they come back before the deadline.
        self.assertEqual(sessions[0].many(daemon, 1), 0)
        self.assertEqual(daemon.command("enable", "app/b1")[0], 0)
        self.assertIsNone(daemon.backend("b1")["sessions_left"])
        self.assertEqual(sum(s.many(daemon, 1) for s in at_b1), 0)

    def test_drain_without_sessions_ends_at_the_deadline_at_the_latest(self):
        for affinity in ({"drain": "1s"}, {"drain": "1h", "idle": "1s"}, {"drain": "1s", "idle": "off"}):
            daemon = self.weir(self.settings(self.servers(), affinity))
            code, out, err = daemon.command("drain", "app/b1")
            self.assertEqual((code, err), (0, ""), (affinity, out))
            self.assertRegex(out, r"\A(app/b1: 0 in flight, no session seen yet, over in 0:0\d if none comes\n)?app/b1: drained, ")
            daemon.stop()

    def test_disabled_gets_nothing_and_the_session_moves_for_good(self):
        daemon = self.weir(self.settings(self.servers()))
        session = Session(daemon)
        self.assertEqual(daemon.command("disable", f"app/{session.home}")[0], 0)
        answer = session.get(daemon, "/login")
        self.assertNotEqual(answer.text, session.home)
        self.assertEqual(daemon.command("enable", f"app/{session.home}")[0], 0)
        self.assertEqual({session.get(daemon).text for _ in range(9)}, {answer.text})

    def test_a_dead_backend_breaks_its_sessions_and_no_request(self):
        origins = self.servers(2)
        daemon = self.weir(self.settings(origins, eject=False))
        session = Session(daemon)
        origins[int(session.home[1]) - 1].kill()
        answer = session.get(daemon, "/login")
        self.assertEqual(answer.status, 200)
        self.assertNotEqual(answer.text, session.home)
        self.assertEqual({session.get(daemon).text for _ in range(5)}, {answer.text})
        self.assertEqual(self.results(daemon), {"hit": 5, "new": 1, "broken": 1, "forged": 0})

    def test_a_full_backend_keeps_its_sessions(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def slow(message, connection):
            if message.target == "/slow":
                release.wait(60)
            return response(200, str(connection.origin.name).encode())
        origins = [self.origin(slow, name=f"b{i}") for i in (1, 2)]
        daemon = self.weir(self.settings(origins, limits={"per_backend": 1}))
        headers = [("Cookie", f"{COOKIE}={sign(KEY, 'b2', int(time.time()) + 8 * 3600)}")]
        with daemon.client() as client:
            client.send(request("GET", "/slow", headers))
            wait_until(lambda: origins[1].inflight == 1, what="the slow request")
            answer = daemon.get("/", headers)
            self.assertEqual((answer.text, cookies_of(answer)), ("b1", {}))
            release.set()
            self.assertEqual(client.read().text, "b2")
        wait_until(lambda: daemon.backend("b2")["inflight"] == 0)
        self.assertEqual(daemon.get("/", headers).text, "b2")

    def test_pools_without_it_see_every_cookie(self):
        daemon = self.weir(config([self.origin(echo)], secret=self.secret))
        answer = daemon.get("/", [("Cookie", f"{COOKIE}=x")])
        self.assertIn(f"Cookie: {COOKIE}=x\n", answer.text)
        self.assertEqual(cookies_of(answer), {})
        self.assertNotIn("weir_affinity_requests_total", daemon.admin("/metrics").text)

    def test_explain_says_whose_the_session_is(self):
        daemon = self.weir(self.settings(self.servers()))
        cookie = f"{COOKIE}={sign(KEY, 'b3', int(time.time()) + 8 * 3600)}"
        code, out, err = daemon.command("explain", "--live", "GET", "/", "-H", f"Cookie: {cookie}")
        self.assertEqual((code, err), (0, ""))
        self.assertIn(f"affinity: cookie {COOKIE}: names b3", out)
        self.assertIn("→ b3: the session's cookie names it", out)
        code, out, err = run_command("explain", daemon.path, "GET", "/", "--json", "-H", "Cookie: " + cookie)
        self.assertEqual((code, json.loads(out)["chosen"]), (0, "b3"), err)
