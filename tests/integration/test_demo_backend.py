"""`weir demo-backend`: what the quickstart and the manuals promise of it."""
import json
import os
import signal
import subprocess
import tempfile

from harness import Client, Incomplete, WeirTest, binary, fetch, run_command, wait_until
from daemon import parse_event


class Demo:
    """A demo backend as a child; addresses by name."""

    def __init__(self, test, *arguments):
        self.log = tempfile.NamedTemporaryFile(prefix="weir-demo-")
        test.addCleanup(self.log.close)
        self.process = subprocess.Popen([binary(), "demo-backend", *arguments], stdin=subprocess.DEVNULL, stderr=self.log)
        test.addCleanup(self.end)
        names = max(1, arguments.count("--bind"))
        wait_until(lambda: len(self.events("listening")) >= names or self.process.poll() is not None, timeout=20)
        self.addresses = [e.fields["address"] for e in self.events("listening")]
        self.address = self.addresses[0]

    def events(self, name):
        with open(self.log.name) as file:
            found = [parse_event(line.rstrip("\n")) for line in file]
        return [e for e in found if e and e.name == name]

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def get(self, target="/", **more):
        return fetch(self.address, "GET", target, **more)

    def post(self, target, body=b""):
        return fetch(self.address, "POST", target, (), body)


class DemoBackend(WeirTest):
    def demo(self, *arguments):
        return Demo(self, "--bind", "127.0.0.1:0", "--name", "a", *arguments)

    def test_says_who_it_is_and_what_it_got(self):
        demo = self.demo()
        self.assertEqual(demo.get().text, "hello from a (request 1)\n")
        answer = demo.get("/headers?x=1", headers=[("X-One", "1"), ("X-One", "2")])
        seen = json.loads(answer.text)
        self.assertEqual((seen["backend"], seen["request"], seen["method"], seen["target"]), ("a", 2, "GET", "/headers?x=1"))
        self.assertEqual(seen["headers"]["x-one"], "1, 2")
        self.assertEqual(answer.header("X-Backend"), "a")

    def test_statuses_sizes_and_bodies(self):
        demo = self.demo()
        self.assertEqual([demo.get(f"/status/{s}").status for s in (200, 204, 304, 404, 503)], [200, 204, 304, 404, 503])
        self.assertEqual(len(demo.get("/bytes/300000").body), 300000)
        head = fetch(demo.address, "HEAD", "/bytes/300000")
        self.assertEqual((head.header("Content-Length"), head.body), ("300000", b""))
        body = os.urandom(200000)
        self.assertEqual(demo.post("/echo", body).body, body)
        events = demo.get("/stream?n=3&every=1ms").text
        self.assertEqual(events.count("data: "), 3)

    def test_fails_and_recovers_when_told(self):
        demo = self.demo()
        self.assertEqual(demo.get("/-/fail").status, 405)
        demo.post("/-/fail?status=500")
        self.assertEqual((demo.get().status, demo.get("/healthz").status), (500, 503))
        demo.post("/-/ok")
        self.assertEqual((demo.get().status, demo.get("/healthz").status), (200, 200))
        demo.post("/-/fail?only=health")
        self.assertEqual((demo.get().status, demo.get("/healthz").status), (200, 503))
        demo.post("/-/fail?only=requests")
        self.assertEqual((demo.get().status, demo.get("/healthz").status), (503, 200))
        self.assertEqual(demo.post("/-/nonsense").status, 400)

    def test_times_have_units_and_unknown_parameters_are_refused(self):
        demo = self.demo()
        for order in ("/-/slow?by=300", "/-/slow", "/-/slow?ms=300", "/-/die?for=3", "/-/die?after=3s", "/-/fail?status=abc", "/-/fail?only=some", "/-/ok?x"):
            answer = demo.post(order)
            self.assertEqual((answer.status, len(answer.text.splitlines())), (400, 1), order)
        self.assertIn("it has: by", demo.post("/-/slow?ms=300").text)
        for target in ("/slow?ms=1", "/slow?by=1", "/stream?ms=1&n=1", "/stream?every=1&n=1"):
            self.assertEqual(demo.get(target).status, 400, target)
        self.assertEqual([demo.get(t).status for t in ("/", "/slow?by=1ms", "/slow?by=0", "/?any=thing")], [200] * 4)

    def test_dies_with_its_connections_and_comes_back(self):
        demo = self.demo()
        with Client(demo.address) as open_client:
            open_client.request("GET", "/")
            self.assertEqual(demo.post("/-/die?for=200ms").status, 200)
            with self.assertRaises((OSError, Incomplete)):
                open_client.request("GET", "/")
        wait_until(lambda: len(demo.events("listening")) == 2, timeout=20)
        self.assertEqual(demo.get().status, 200)
        demo.post("/-/die")
        self.assertEqual(demo.process.wait(20), 0)

    def test_options_make_it_fail(self):
        self.assertEqual(self.demo("--fail", "100%").get().status, 503)
        self.assertEqual(self.demo("--status", "201").get().status, 201)

    def test_several_in_one_process_end_together(self):
        demo = Demo(self, "--bind", "127.0.0.1:0", "--bind", "[::1]:0", "--name", "a", "--name", "b")
        self.assertEqual([fetch(a).text for a in demo.addresses], ["hello from a (request 1)\n", "hello from b (request 1)\n"])
        demo.process.send_signal(signal.SIGTERM)
        self.assertEqual(demo.process.wait(20), 0)

    def test_port_in_use_is_one_clear_line(self):
        demo = self.demo()
        code, _, err = run_command("demo-backend", "--bind", demo.address)
        self.assertEqual(code, 1)
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertIn(demo.address, err)

    def test_wrong_usage(self):
        for arguments in (["--delay", "5x"], ["--delay", "200"], ["--fail", "101%"], ["--fail", "20"], ["--bindd", "x"], ["--name", "a", "--name", "b"]):
            code, _, err = run_command("demo-backend", *arguments)
            self.assertEqual((code, len(err.splitlines())), (2, 1), err)
        self.assertIn("2 names for 1 address;", run_command("demo-backend", "--bind", "127.0.0.1:0", "--name", "a", "--name", "b")[2])
