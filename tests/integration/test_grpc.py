"""gRPC: real clients and servers with the daemon between them; its own errors in gRPC's words; health checks of grpc.health.v1."""
import os
import struct
import subprocess

import h2origin
from daemon import ROOT
from grpcs import PYTHON, GrpcClient, GrpcServer
from harness import config, request, wait_until
from test_http2_backends import Http2Test

HEADERS = [("Content-Type", "application/grpc"), ("TE", "trailers")]


def message(data):
    return struct.pack(">BI", 0, len(data)) + data


class GrpcTest(Http2Test):
    timeout = 120

    def server(self, *arguments, **named):
        server = GrpcServer(*arguments, **named)
        self.addCleanup(server.close)
        return server

    def grpc_client(self, daemon, **named):
        client = GrpcClient(daemon.address("web"), **named)
        self.addCleanup(client.close)
        return client

    def pair(self, pool=None, **more):
        server = self.server()
        daemon = self.serve([server], pool=pool, **more)
        return daemon, self.grpc_client(daemon)


class Calls(GrpcTest):
    def test_unary(self):
        daemon, client = self.pair()
        for _ in range(3):
            done = client.call(send=["hello"])
            self.assertEqual((done["code"], done["values"]), ("OK", ["hello"]))
            self.assertEqual(done["initial"]["x-server"], "one")
            self.assertEqual(done["trailing"]["x-trailer"], "told")
            self.assertEqual(done["trailing"]["x-bin-bin"], [0, 255])
        wait_until(lambda: daemon.metrics().sum("weir_grpc_responses_total", grpc_status="0") == 3, what="the statuses")

    def test_streams(self):
        _, client = self.pair()
        self.assertEqual(client.call("server", "ServerStream", send=["500"])["values"], [str(i) for i in range(500)])
        self.assertEqual(client.call("server", "ServerStream", send=["5"], metadata={"pause": "1"})["values"], list("01234"))
        self.assertEqual(client.call("client", "ClientStream", send=["a"] * 300)["values"], ["300"])
        done = client.call("bidi", "Bidi", send=[f"{i:03}" for i in range(50)])
        self.assertEqual(done["values"], [f"{i:03}"[::-1] for i in range(50)])
        self.assertEqual(done["code"], "OK")

    def test_large_messages(self):
        _, client = self.pair()
        self.assertEqual(client.call(size=5_000_000)["values"], [5_000_000])
        self.assertEqual(client.call("client", "ClientStream", size=500_000, times=10)["values"], ["5000000"])

    def test_errors_of_the_service(self):
        daemon, client = self.pair()
        for code, number in (("NOT_FOUND", 5), ("UNAVAILABLE", 14), ("INTERNAL", 13)):
            done = client.call(send=["x"], metadata={"fail": code})
            self.assertEqual((done["code"], done["details"]), (code, "as you wish: 100 %"))
            self.assertEqual(done["trailing"]["x-trailer"], "told")
            wait_until(lambda n=number: daemon.metrics().sum("weir_grpc_responses_total", grpc_status=str(n)) == 1, what="the status")
        self.assertEqual(client.call(method="Nothing", send=["x"])["code"], "UNIMPLEMENTED")

    def test_many_at_a_time(self):
        daemon, client = self.pair()
        self.assertEqual(client.call("many", times=300, metadata={"sleep": "0.1"})["values"], list(range(300)))
        self.assertLessEqual(daemon.metrics().sum("weir_backend_connects_total"), 5)

    def test_deadlines(self):
        _, client = self.pair()
        done = client.call(send=["x"], timeout=0.4, metadata={"sleep": "3"})
        self.assertEqual(done["code"], "DEADLINE_EXCEEDED")
        self.assertEqual(client.call(send=["x"])["code"], "OK")

    def test_a_cancelled_call(self):
        _, client = self.pair()
        self.assertEqual(len(client.call("server", "Endless", send=["x"], cancel_after=3)["values"]), 3)
        wait_until(lambda: client.call(method="Count", send=["cancelled"])["values"] == ["1"], what="the server to be told")

    def test_by_tls_on_both_sides(self):
        certificate = self.ca.issue("both", ["IP:127.0.0.1"])
        server = self.server(certificate=certificate)
        daemon = self.weir(config([server], pool={"protocol": "h2", "tls": {"ca": self.ca.pem}},
                                  listener={"tls": {"certificate": certificate[0], "key": certificate[1]}}))
        client = self.grpc_client(daemon, ca=self.ca.pem)
        self.assertEqual(client.call(send=["x"])["values"], ["x"])
        self.assertEqual(client.call("bidi", "Bidi", send=["ab", "cd"])["values"], ["ba", "dc"])

    def test_a_killed_server_under_load(self):
        one, two = self.server("one"), self.server("two")
        daemon = self.serve([one, two], pool={"eject": {"after": 2}})
        client = self.grpc_client(daemon)
        self.assertEqual(client.call("many", times=50)["values"], list(range(50)))
        one.process.kill()
        one.process.wait(30)
        for _ in range(50):
            self.assertEqual(client.call(send=["x"])["code"], "OK")

    def test_errors_of_ours(self):
        server = self.server()
        daemon = self.weir(config(routes=[{"match": {"path": "/test.Echo/Nobody"}, "pool": "dead"}, {"match": {"path": "/test.Echo/*"}, "pool": "app"}],
                                  pools={"app": {"protocol": "h2c", "backends": {"a": server.url}},
                                         "dead": {"protocol": "h2c", "retry": False, "backends": {"a": f"http://127.0.0.1:{self.free_port()}"}}}))
        client = self.grpc_client(daemon)
        done = client.call(method="Nobody", send=["x"])
        self.assertEqual((done["code"], done["details"]), ("UNAVAILABLE", "The backend refused the connection."))
        daemon.wait_log(lambda r: r["cause"] == "connect_refused")

    def free_port(self):
        """Nobody listens there: a socket that is bound alone holds it."""
        import socket
        held = socket.socket()
        held.bind(("127.0.0.1", 0))
        self.addCleanup(held.close)
        return held.getsockname()[1]


class Example(GrpcTest):
    def test_it_runs(self):
        folder = os.path.join(ROOT, "packaging", "examples", "grpc")
        ports = []
        for name in ("one", "two"):
            server = subprocess.Popen([PYTHON, os.path.join(folder, "server.py"), name, "0"], stdout=subprocess.PIPE, text=True)
            self.addCleanup(lambda s=server: (s.kill(), s.wait(), s.stdout.close()))
            ports.append(server.stdout.readline().split()[1])
        with open(os.path.join(folder, "weir.yaml")) as file:
            text = file.read() + 'admin: { bind: "127.0.0.1:0" }\n'
        daemon = self.weir(text, environment={"WEIR_PORT": "0", "PORT_ONE": ports[0], "PORT_TWO": ports[1]}, access_log=False)
        wait_until(lambda: all(b["status"] == "up" for b in daemon.pools()["pools"][0]["backends"]), what="the servers to be up")
        done = subprocess.run([PYTHON, os.path.join(folder, "client.py"), daemon.address("web")], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("from one", done.stdout)
        self.assertIn("from two", done.stdout)
        self.assertIn("watch: 0 1 2", done.stdout)


class ByHttp1(GrpcTest):
    """What a client of HTTP/1.1 sees: rare, but the same code without HTTP/2 in front."""

    def ask(self, daemon, path="/test.Echo/Unary", body=b"hi", headers=()):
        client = self.client(daemon)
        client.send(request("POST", path, [*HEADERS, *headers], message(body)))
        head = client.read("POST", body=False)
        raw = bytearray()
        if head.header("Transfer-Encoding"):
            while not raw.endswith(b"\r\n\r\n"):
                raw += client.read_exactly(1)
        return head, bytes(raw)

    def test_a_call(self):
        daemon = self.serve([self.server()])
        head, raw = self.ask(daemon)
        self.assertEqual(head.status, 200)
        self.assertIn(message(b"hi"), raw)
        self.assertIn(b"grpc-status: 0\r\n", raw)
        self.assertIn(b"x-trailer: told\r\n", raw)

    def test_an_answer_without_a_body(self):
        daemon = self.serve([self.server()])
        head, _ = self.ask(daemon, "/test.Echo/Nothing")
        self.assertEqual((head.header("grpc-status"), head.header("Content-Length")), ("12", "0"))

    def test_deadlines_are_ours_too(self):
        silent = self.h2(lambda r: None if r.header(":path") == "/silent" else r.answer(b"answer"))
        daemon = self.serve([silent], pool={"eject": {"after": 1}})
        head, _ = self.ask(daemon, "/silent", headers=[("grpc-timeout", "300m")])
        self.assertEqual((head.status, head.header("grpc-status")), (200, "4"))
        daemon.wait_log(lambda r: r["cause"] == "grpc_deadline" and r["status"] == 200)
        self.assertEqual(daemon.backend("b1")["status"], "unknown")  # it is not to blame for its client's haste
        wait_until(lambda: silent.requests[0].reset == h2origin.CANCEL, what="the reset")
        self.assertEqual(silent.requests[0].header("grpc-timeout"), "300m")
        head, _ = self.ask(daemon, "/", headers=[("grpc-timeout", "nonsense")])
        self.assertEqual(head.status, 200)

    def test_a_servers_own_deadline(self):
        daemon = self.serve([self.server()])
        head, _ = self.ask(daemon, headers=[("grpc-timeout", "300m"), ("sleep", "3")])
        self.assertEqual((head.status, head.header("grpc-status")), (200, "4"))
        daemon.wait_log(lambda r: r["cause"] in ("none", "grpc_deadline") and r["status"] == 200)

    def test_the_routes_deadline_is_the_upper_bound(self):
        daemon = self.serve([self.server()], routes=[{"pool": "app", "timeout": {"total": "300ms"}}])
        head, _ = self.ask(daemon, headers=[("grpc-timeout", "30S"), ("sleep", "5")])
        self.assertEqual(head.header("grpc-status"), "4")
        daemon.wait_log(lambda r: r["cause"] == "total_timeout")

    def test_errors_in_grpcs_words(self):
        origin = self.origin()
        routes = [{"match": {"path": "/limited/*"}, "pool": "app", "rate_limit": {"key": "client", "rate": "1/h", "burst": 1}},
                  {"match": {"path": "/denied/*"}, "pool": "app", "deny": ["127.0.0.0/8"]}, {"match": {"path": "/known/*"}, "pool": "app"}]
        daemon = self.weir(config([origin], routes=routes))
        daemon.reload(config([origin], routes=routes, log={"access": daemon.log_path, "fields": ["target", "status", "cause", "grpc_status"]}))
        daemon.fetch("/limited/x")
        for path, status, text in (("/nowhere/x", "12", "No route matches"), ("/denied/x", "7", None), ("/limited/x", "8", None)):
            head, _ = self.ask(daemon, path)
            self.assertEqual((head.status, head.header("grpc-status"), head.header("Content-Type"), head.header("Content-Length")),
                             (200, status, "application/grpc", "0"))
            if text:
                self.assertIn(text, head.header("grpc-message"))
            daemon.wait_log(lambda r, p=path, s=status: r["target"] == p and r["grpc_status"] == int(s))
        self.assertEqual(daemon.fetch("/nowhere/x").status, 404)  # who doesn't speak gRPC gets what HTTP has for it
        daemon.wait_log(lambda r: r["target"] == "/nowhere/x" and r["grpc_status"] is None)


class Checks(GrpcTest):
    FAST = {"interval": "100ms", "timeout": "5s", "fall": 1, "rise": 1}

    def wait_for(self, daemon, status, reason=None, name="b1"):
        wait_until(lambda: daemon.backend(name)["status"] == status and (not reason or reason in daemon.backend(name)["reason"]), what=lambda: str(daemon.backend(name)))

    def test_grpc_health(self):
        server = self.server()
        daemon = self.serve([server], pool={"health": {"service": "test.Echo", **self.FAST}})
        self.wait_for(daemon, "up")
        for status, reason in ((2, "it is NOT_SERVING, expected SERVING"), (1, None)):
            self.set_health(server, "test.Echo", status)
            self.wait_for(daemon, "down" if reason else "up", reason)

    def set_health(self, server, service, status):
        client = GrpcClient(f"127.0.0.1:{server.port}")
        self.addCleanup(client.close)
        self.assertEqual(client.call(method="SetHealth", send=[f"{service}={status}"])["code"], "OK")

    def test_grpc_health_that_is_not_there(self):
        server = self.server()
        self.wait_for(self.serve([server], pool={"health": {"service": "test.Other", **self.FAST}}), "down", "it doesn't know the service")
        other = self.h2(lambda r: r.answer(headers=[("content-type", "application/grpc"), ("grpc-status", "12")]))
        daemon = self.serve([other], pool={"health": {"type": "grpc", **self.FAST}})
        self.wait_for(daemon, "down", "it has no grpc.health.v1.Health")

    def test_http_checks_speak_http2(self):
        good = self.h2(lambda r: r.answer(b"all is well"))
        bad = self.h2(lambda r: r.answer(b"no", status=500))
        health = {"path": "/healthz", "expect": {"body": "well"}, **self.FAST}
        daemon = self.serve([good, bad], pool={"health": health})
        self.wait_for(daemon, "up")
        self.wait_for(daemon, "down", "status 500", name="b2")
        self.assertEqual((good.requests[0].header(":path"), good.requests[0].header(":authority")), ("/healthz", good.address))

    def test_checks_of_what_does_not_speak_http2(self):
        daemon = self.serve([self.origin()], pool={"health": {"path": "/healthz", **self.FAST}})
        self.wait_for(daemon, "down")

    def test_checks_by_tls(self):
        certificate = self.ca.issue("both", ["IP:127.0.0.1"])
        for alpn, status, reason in ((("h2",), "up", None), (("http/1.1",), "down", "it has not chosen h2")):
            origin = self.h2(certificate=certificate, alpn=alpn)
            daemon = self.weir(config([origin], pool={"protocol": "h2", "tls": {"ca": self.ca.pem}, "health": {"path": "/", **self.FAST}}))
            self.wait_for(daemon, status, reason)
