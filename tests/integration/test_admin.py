"""The operator's listener: metrics that promtool accepts, pools as JSON, health and readiness, and who may ask."""
import json
import shutil
import subprocess
import tempfile

from harness import Client, WeirTest, config, echo, fetch, response, run_command, wait_until


class Admin(WeirTest):
    def traffic(self, daemon):
        """Some of everything."""
        for i in range(30):
            daemon.get(f"/{i}")
        daemon.get("/x", {"X_Under": "1"})
        daemon.fetch("/", "POST", body=b"x" * 10000)
        with daemon.client() as client:
            client.send(b"BAD\r\n\r\n")
            client.read_to_end()
        daemon.get("/nothing", host="none.example")

    def start(self, **more):
        good, bad = self.origin(echo), self.origin(start=False)
        return self.weir(config([good, bad], workers=2, pool={"health": {"type": "tcp", "interval": "200ms"}},
                                routes=[{"name": "five", "match": {"path": "/5"}, "pool": "app"}, {"match": {"host": "test.example"}, "pool": "app"}], **more))

    def test_metrics_are_clean(self):
        daemon = self.start()
        self.traffic(daemon)
        answer = daemon.admin("/metrics")
        self.assertIn("text/plain", answer.header("content-type"))
        if not shutil.which("promtool"):
            self.skipTest("no promtool")
        done = subprocess.run(["promtool", "check", "metrics"], input=answer.text, capture_output=True, text=True, timeout=30)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_metrics_count_what_happened(self):
        daemon = self.start()
        self.traffic(daemon)
        wait_until(lambda: daemon.metrics().sum("weir_requests_total", pool="app", code="2xx") == 32)
        metrics = daemon.metrics()
        self.assertEqual(metrics.sum("weir_backend_requests_total", pool="app", backend="b1"), 32)
        self.assertEqual(metrics.sum("weir_request_duration_seconds_count"), metrics.sum("weir_request_duration_seconds_bucket", le="+Inf"))
        self.assertEqual(metrics.sum("weir_backend_response_seconds_count", backend="b1"), 32)
        self.assertGreater(metrics.sum("weir_memory_resident_bytes"), 1 << 20)
        self.assertEqual(daemon.errors("no_route"), 1)
        self.assertEqual(daemon.errors("bad_request"), 1)
        wait_until(lambda: daemon.metrics().sum("weir_connections_open") == 0)

    def test_counters_never_fall(self):
        daemon = self.start()
        last = {}
        for _ in range(5):
            self.traffic(daemon)
            for name, labels, value in daemon.metrics().samples:
                if name.endswith(("_total", "_count", "_bucket")):
                    key = (name, tuple(sorted(labels.items())))
                    self.assertGreaterEqual(value, last.get(key, 0), key)
                    last[key] = value

    def test_pools(self):
        daemon = self.start()
        self.traffic(daemon)
        answer = daemon.admin("/api/v1/pools")
        self.assertEqual((answer.status, answer.header("content-type")), (200, "application/json"))
        pool = json.loads(answer.text)["pools"][0]
        self.assertEqual((pool["name"], pool["algorithm"], [b["name"] for b in pool["backends"]]), ("app", "round_robin", ["b1", "b2"]))
        wait_until(lambda: daemon.backend("b2")["status"] == "down")
        self.assertIn("refused", daemon.backend("b2")["reason"].lower())
        self.assertEqual(daemon.backend("b1")["requests"], 32)
        lines = daemon.admin("/api/v1/pools").text.splitlines()
        self.assertIn('          "effective_weight": 1,', lines, "plain decimals, one to a line")

    def test_healthy_and_ready(self):
        daemon = self.start()
        self.assertEqual(daemon.admin("/-/healthy").status, 200)
        wait_until(lambda: daemon.admin("/-/ready").status == 200)

    def test_unknown_paths_and_methods(self):
        daemon = self.start()
        self.assertEqual(daemon.admin("/nothing").status, 404)
        answer = daemon.admin("/api/v1/reload")
        self.assertEqual((answer.status, answer.header("allow")), (405, "POST"))
        self.assertEqual(daemon.admin("/metrics", "HEAD").status, 200)

    def test_hosts_of_other_sites_are_refused(self):
        daemon = self.start()
        for path in ("/metrics", "/api/v1/pools"):
            answer = daemon.admin(path, host="evil.example")
            self.assertIn(answer.status, (403, 421), path)
            self.assertNotIn("weir_", answer.text)
        for host in ("[::1]evil.example", "localhost:evil"):
            self.assertEqual(daemon.admin("/metrics", host=host).status, 403, host)
        self.assertEqual(daemon.admin("/metrics", host="localhost").status, 200)
        self.assertEqual(daemon.admin("/metrics", headers={"Origin": "http://evil.example"}).status, 403)

    def test_not_on_a_proxy_listener(self):
        daemon = self.start()
        self.assertIn("GET /metrics", daemon.get("/metrics").text)

    def test_metrics_listener(self):
        origin = self.origin(echo)
        settings = config([origin])
        settings["admin"] = {"bind": "127.0.0.1:0", "metrics": {"bind": "127.0.0.1:0"}}
        daemon = self.weir(settings)
        address = daemon.address("metrics")
        self.assertEqual(fetch(address, target="/metrics", host=address).status, 200)
        self.assertEqual(fetch(address, target="/-/healthy", host=address).status, 200)
        self.assertEqual(fetch(address, target="/api/v1/pools", host=address).status, 404)

    def test_admin_beyond_this_machine_is_refused(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump({**config(["http://127.0.0.1:1"]), "admin": {"bind": "0.0.0.0:0"}}, file)
            file.flush()
            code, out, err = run_command("check", file.name)
        self.assertEqual(code, 2, out + err)

    def test_slow_and_many_askers_do_not_hurt(self):
        daemon = self.start()
        address = daemon.address("admin")
        idle = [Client(address) for _ in range(20)]
        self.addCleanup(lambda: [c.close() for c in idle])
        for client in idle[:10]:
            client.send(b"GET /met")
        for _ in range(20):
            self.assertEqual(daemon.admin("/-/healthy").status, 200)
        self.assertEqual(daemon.get("/").status, 200)


class Logs(WeirTest):
    def test_json_fields(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        daemon.fetch("/path?query=1", "POST", {"User-Agent": "agent", "Referer": "http://r/"}, b"12345", host="h.example")
        record = daemon.wait_log(lambda r: True)
        self.assertEqual({k: record[k] for k in ("client", "method", "target", "host", "status", "cause", "attempts", "listener", "pool", "backend", "user_agent", "referer", "protocol")},
                         {"client": "127.0.0.1", "method": "POST", "target": "/path?query=1", "host": "h.example", "status": 200, "cause": "none", "attempts": 1,
                          "listener": "web", "pool": "app", "backend": "b1", "user_agent": "agent", "referer": "http://r/", "protocol": "HTTP/1.1"})
        self.assertRegex(record["time"], r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z\Z")
        self.assertGreaterEqual(record["duration_ms"], record["upstream_ms"])
        self.assertGreater(record["bytes_in"], 5)
        self.assertGreater(record["bytes_out"], 100)

    def test_combined(self):
        origin = self.origin(lambda m, c: response(404, b"not here"))
        settings = config([origin])
        daemon = self.weir({**settings, "log": {"access": "stdout", "format": "combined"}}, access_log=False)
        daemon.get("/p?q", {"User-Agent": 'a"b', "Referer": "http://r/"})
        line = wait_until(lambda: daemon.stdout and daemon.stdout[0])
        self.assertRegex(line, r'\A127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /p\?q HTTP/1\.1" 404 \d+ "http://r/" "a\\("|x22)b"\Z')

    def test_off(self):
        origin = self.origin()
        daemon = self.weir({**config([origin]), "log": {"access": "off"}}, access_log=False)
        daemon.get("/")
        daemon.signal(15)
        daemon.wait_exit()
        self.assertEqual(daemon.stdout, [])

    def test_every_request_of_a_connection_has_its_line(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], workers=2))
        with daemon.client() as client:
            for i in range(50):
                client.get(f"/line/{i}")
        wait_until(lambda: len(daemon.access_log()) == 50)
        self.assertEqual([r["target"] for r in daemon.access_log()], [f"/line/{i}" for i in range(50)])
