"""The access log: fields of one's own, rotation; and the level of events (docs/logging.md)."""
import fcntl
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

from harness import WeirTest, binary, config, echo, fetch, load, request, response, run_command, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Fields(WeirTest):
    def records(self, daemon, count):
        wait_until(lambda: len(daemon.access_log()) >= count)
        return daemon.access_log()

    def test_the_fields_of_the_file_in_their_order(self):
        origin = self.origin(lambda m, c: response(201, b"x", [("X-Cache", "HIT"), ("X-Cache", "MISS"), ("Server", "app")]))
        fields = ["status", "path", "query", "request_header.User-Agent", "request_header.x-many", "response_header.x-cache", "response_header.none",
                  "upstream_status", "method"]
        daemon = self.weir(config([origin], routes=[{"match": {"path": "/own"}, "respond": {"status": 200, "body": "x"}}, {"pool": "app"}]))
        daemon.reload(config([origin], routes=[{"match": {"path": "/own"}, "respond": {"status": 200, "body": "x"}}, {"pool": "app"}],
                             log={"access": daemon.log_path, "fields": fields}))
        with daemon.client() as client:
            client.send(request(target="/a/b?c=d", headers=[("user-agent", "curl/8"), ("X-Many", "1"), ("X-Many", "2")]))
            client.read()
            client.send(request(target="/own"))
            client.read()
        first, second = self.records(daemon, 2)
        self.assertEqual(list(first), fields)
        self.assertEqual(list(first.values()), [201, "/a/b", "c=d", "curl/8", "1, 2", "HIT, MISS", "", 201, "GET"])
        # What the first answer had must not show in the next line.
        self.assertEqual(list(second.values()), [200, "/own", "", "", "", "", "", None, "GET"])

    def test_strangers_cannot_forge_or_swell_a_line(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        daemon.reload(config([origin], log={"access": daemon.log_path, "fields": ["request_header.x-a", "status"]}))
        with daemon.client() as client:
            client.send(b'GET / HTTP/1.1\r\nHost: h\r\nX-A: \x9b[2J"},{"\xff' + "é".encode() + b"\r\n\r\n")
            client.read()
            client.send(request(headers=[("X-A", "v" * 6000)] * 3))
            client.read()
        first, second = self.records(daemon, 2)
        self.assertEqual(second, {"request_header.x-a": "v" * 1024, "status": 200})
        with open(daemon.log_path, "rb") as file:
            line = file.readline()
        self.assertNotIn(b"\x9b", line)
        self.assertIn("é".encode(), line)
        self.assertEqual(set(first), {"request_header.x-a", "status"})

    def test_trace_and_span(self):
        origin = self.origin(echo)
        tracing = {"otlp": "http://127.0.0.1:9", "sample": "0%"}
        daemon = self.weir(config([origin], tracing=tracing))
        self.assertEqual(daemon.get("/").status, 200)
        with_trace = self.records(daemon, 1)[0]
        self.assertEqual(list(with_trace)[-1], "trace_id")
        self.assertEqual(with_trace["trace_id"], origin.requests[-1].header("traceparent").split("-")[1])
        daemon.reload(config([origin], log={"access": daemon.log_path, "fields": ["trace_id", "span_id"]}, tracing=tracing))
        daemon.get("/")
        record = self.records(daemon, 2)[1]
        self.assertRegex(record["trace_id"], "^[0-9a-f]{32}$")
        self.assertRegex(record["span_id"], "^[0-9a-f]{16}$")

    def test_an_unknown_field_is_named(self):
        path = os.path.join(self.weir(config([self.origin(echo)])).directory, "bad.yaml")
        with open(path, "w") as file:
            json.dump({**config(["http://127.0.0.1:9"]), "log": {"access": "stdout", "fields": ["user-agent"]}}, file)
        code, out, err = run_command("check", path)
        self.assertEqual(code, 2)
        self.assertIn('log.fields: there is no field "user-agent"; did you mean "user_agent"?', out + err)


class Rotation(WeirTest):
    def test_reopen_loses_no_line(self):
        """A rotation every so often under load: each request is in one file, once, and a file that was given up gets nothing more."""
        daemon = self.weir(config([self.origin(echo, record=False)], workers=2))
        clients = load(daemon.address(), 4, make=lambda number, count: request(target=f"/{number}-{count}"))
        sizes = {}
        for i in range(20):
            wait_until(lambda n=i: clients.done > 50 * (n + 1))
            old = f"{daemon.log_path}.{i}"
            os.rename(daemon.log_path, old)
            if i % 4 == 3:
                daemon.signal(signal.SIGUSR1)
                wait_until(lambda: os.path.exists(daemon.log_path))
            else:
                code, out, err = daemon.command("reopen")
                self.assertEqual((code, out, err), (0, f"reopened: {daemon.log_path}\n", ""))
                sizes[old] = os.path.getsize(old)
        self.assert_no_errors(clients.stop().errors)
        wait_until(lambda: sum(1 for _ in self.lines(daemon)) >= clients.done)
        targets = [json.loads(line)["target"] for line in self.lines(daemon)]
        self.assertEqual(len(targets), len(set(targets)))
        self.assertEqual(len(targets), clients.done)
        for path, size in sizes.items():
            self.assertEqual(os.path.getsize(path), size, path)

    @staticmethod
    def lines(daemon):
        for path in glob.glob(daemon.log_path + "*"):
            with open(path) as file:
                yield from file

    def test_what_reopen_says(self):
        daemon = self.weir(config([self.origin(echo)]))
        daemon.get("/1")
        daemon.wait_log(lambda r: r["target"] == "/1")
        os.rename(daemon.log_path, daemon.log_path + ".1")
        os.mkdir(daemon.log_path)  # where no file can be opened
        code, out, err = daemon.command("reopen")
        self.assertEqual((code, out), (1, ""))
        self.assertIn(f"the access log {daemon.log_path} can't be opened: Is a directory; the old file stays in use", err)
        self.assertEqual(daemon.wait_event("access_log_reopen_failed").error, "Is a directory")
        os.rmdir(daemon.log_path)
        daemon.get("/2")
        wait_until(lambda: "/2" in open(daemon.log_path + ".1").read())
        self.assertEqual(daemon.command("reopen")[0], 0)

    def test_the_package_s_logrotate(self):
        """What it has logrotate do after the rename, done to a daemon of the test's."""
        with open(os.path.join(ROOT, "packaging", "debian", "logrotate")) as file:
            text = file.read()
        self.assertNotIn("delaycompress", text)
        script = re.search(r"postrotate\n(.*?)endscript", text, re.S)[1]
        daemon = self.weir(config([self.origin(echo)]))
        script = script.replace("/run/weir/admin.sock", daemon.socket_path).replace("weir reopen", f"{binary()} reopen --admin {daemon.socket_path}")
        daemon.get("/1")
        daemon.wait_log(lambda r: r["target"] == "/1")
        os.rename(daemon.log_path, daemon.log_path + ".1")
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=30)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        daemon.get("/2")
        daemon.wait_log(lambda r: r["target"] == "/2")

    def test_nothing_to_open(self):
        daemon = self.weir(config([self.origin(echo)]), access_log=False)
        self.assertEqual(daemon.command("reopen"), (0, "there is no access log (log.access)\n", ""))
        daemon.reload(config([self.origin(echo)], log={"access": "stdout"}))
        self.assertEqual(daemon.command("reopen"), (0, "the access log goes to stdout: there is no file to open\n", ""))
        answer = daemon.admin("/api/v1/reopen")
        self.assertEqual(answer.status, 405)

    def test_over_tcp_it_needs_a_token(self):
        daemon = self.weir(config([self.origin(echo)]))
        self.assertIn(daemon.admin("/api/v1/reopen", "POST").status, (401, 403))


class Stalled(WeirTest):
    def fill(self, daemon):
        """Whoever reads stderr stops (a log driver that hangs, Ctrl-S in a terminal), and there is more to say than the pipe holds."""
        daemon.reading.clear()
        fcntl.fcntl(daemon.process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        lost = daemon.metrics().sum("weir_events_lost_total")
        daemon.write(f"listeners: {{ {'x' * 3000}: 1 }}")
        for _ in range(50):
            self.assertEqual(daemon.command("reload")[0], 2)
            if daemon.metrics().sum("weir_events_lost_total") > lost:
                return
        self.fail("no event was lost")

    def test_who_reads_no_events_stops_nothing(self):
        daemon = self.weir(config([self.origin(echo)], workers=1))
        self.addCleanup(daemon.reading.set)
        self.fill(daemon)
        with daemon.client() as client:  # the worker has something to say, too
            client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"GET / HTTP/1.1\r\n\r\n" * 2)
            client.read_to_end()
        self.assertEqual(daemon.get("/a").status, 200)
        lost = daemon.metrics().sum("weir_events_lost_total")
        self.assertGreaterEqual(lost, 2)
        daemon.reading.set()
        since = daemon.marker()
        daemon.command("reload")
        self.assertGreaterEqual(int(daemon.wait_event("events_lost", since=since).fields["count"]), 2)
        self.fill(daemon)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.process.wait(30), 0)

    def start(self, stderr, text, **more):
        """A daemon whose stderr nobody reads; it listens at the path that is returned."""
        folder = tempfile.mkdtemp(prefix="weir-stalled-")
        self.addCleanup(shutil.rmtree, folder)
        with open(os.path.join(folder, "weir.yaml"), "w") as file:
            file.write(text + "listeners: { web: { bind: 'unix:%s/web' } }\nroutes: [ { respond: { status: 200 } } ]\n"
                       "admin: { bind: '127.0.0.1:0', socket: %s/admin }\n" % (folder, folder))
        process = subprocess.Popen([binary(), "run", file.name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, **more)
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.kill)
        wait_until(lambda: os.path.exists(folder + "/admin") and os.path.exists(folder + "/web"))
        return process, folder

    def works(self, process, folder):
        self.assertEqual(run_command("reload", "--admin", folder + "/admin")[0], 0)
        self.assertEqual(fetch(f"unix:{folder}/web").status, 200)
        process.terminate()
        self.assertEqual(process.wait(30), 0)

    def test_who_reads_them_has_gone(self):
        reading, writing = os.pipe()
        process, folder = self.start(writing, "")
        os.close(writing)
        os.close(reading)
        self.works(process, folder)

    def test_nobody_reads_the_warnings_at_a_start(self):
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writing, b"x" * 4096)
        warned = "pools: { app: { health: { type: tcp, interval: 100ms, timeout: 1s }, backends: { a: 'http://127.0.0.1:9' } } }\n"
        process, folder = self.start(writing, warned)
        os.close(writing)
        self.works(process, folder)

    def test_there_is_no_stderr(self):
        process, folder = self.start(None, "", preexec_fn=lambda: (os.close(0), os.close(1), os.close(2)))
        for fd in range(3):
            self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/{fd}"), "/dev/null")
        self.works(process, folder)


class Level(WeirTest):
    def test_events_below_the_level_are_left_out(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        daemon.write(config([origin], log={"access": daemon.log_path, "level": "warn"}))
        self.assertEqual(daemon.command("reload")[0], 0)
        since = daemon.marker()
        daemon.write("listeners: {")
        self.assertEqual(daemon.command("reload")[0], 2)
        daemon.wait_event("reload_failed", since=since)
        daemon.write(config([origin], log={"access": daemon.log_path}))
        self.assertEqual(daemon.command("reload")[0], 0)
        daemon.wait_event("reloaded", since=since)
        self.assertEqual([e.name for e in daemon.events[:since] if e.name == "reloaded"], [])
