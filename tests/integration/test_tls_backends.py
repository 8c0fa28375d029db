"""TLS to backends: verified, reused, resumed; what a wrong certificate leads to; health checks."""
import os
import ssl

from harness import config, request, response, wait_until
from test_tunnels import UPGRADE, echo_tunnel
from tls import Authority, CertifiedTest, TlsOrigin


class Backends(CertifiedTest):
    timeout = 120

    def setUp(self):
        super().setUp()
        self.good = self.ca.issue("good", ["IP:127.0.0.1", "DNS:backend.test"])

    def tls_origin(self, *arguments, certificate=None, **named):
        origin = TlsOrigin(certificate or self.good, *arguments, **named)
        self.addCleanup(origin.close)
        return origin

    def serve(self, origins, tls=None, pool=None, **more):
        return self.weir(config(origins, pool={"tls": {"ca": self.ca.pem, **(tls or {})}, "retry": False, "eject": False, **(pool or {})}, **more))

    def test_requests_share_a_connection(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            origin = self.tls_origin(lambda m, c: response(200, m.body), version=version)
            daemon = self.serve([origin])
            with daemon.client() as client:
                for size in (0, 1, 20_000, 500_000):
                    body = os.urandom(size)
                    self.assertEqual(client.request("POST", "/", body=body).body, body)
            self.assertEqual(len(origin.handshakes), 1)
            self.assertEqual(origin.handshakes[0][1], None)  # an address is no name to ask for
            self.assertEqual(daemon.metrics().sum("weir_backend_connections_reused_total"), 3)

    def test_name_and_resumption(self):
        origin = self.tls_origin(lambda m, c: response(200, b"ok", {"Connection": "close"}), certificate=self.ca.issue("named", ["DNS:app.internal"]))
        daemon = self.serve([origin], tls={"server_name": "app.internal"})
        for _ in range(3):
            self.assertEqual(daemon.get("/").text, "ok")
        self.assertEqual([h[1] for h in origin.handshakes], ["app.internal"] * 3)
        self.assertEqual([h[0] for h in origin.handshakes], [False, True, True])

    def refused(self, daemon, cause, error, reason=None, detail=None):
        answer = daemon.get("/")
        self.assertEqual(answer.status, 502)
        self.assertIn(f"error={error}", answer.header("Proxy-Status"))
        self.assertEqual(daemon.wait_log(lambda r: r["cause"] == cause)["status"], 502)
        event = daemon.wait_event("backend_tls_failed", **({"reason": reason} if reason else {}))
        if detail:
            self.assertIn(detail, event.fields["detail"])

    def test_wrong_certificates(self):
        expired = self.ca.issue("expired", ["IP:127.0.0.1"], start="20200101000000Z", end="20210101000000Z")
        other_name = self.ca.issue("other", ["DNS:other.test"])
        stranger = Authority(self.folder, "strangers").issue("stranger", ["IP:127.0.0.1"])
        for certificate, detail in ((expired, "expired"), (other_name, "IP address mismatch"), (stranger, "unable to get local issuer")):
            origin = self.tls_origin(certificate=certificate)
            daemon = self.serve([origin])
            self.refused(daemon, "upstream_tls_certificate", "tls_certificate_error", "certificate_refused", detail)
            self.assertEqual(origin.requests, [])

    def test_without_verification(self):
        origin = self.tls_origin(certificate=Authority(self.folder, "strangers").issue("stranger", ["DNS:x"]))
        daemon = self.weir(config([origin], pool={"tls": {"verify": False}}))
        self.assertEqual(daemon.get("/").status, 200)
        self.assertIn("without verification", "\n".join(daemon.stderr))

    def test_what_is_no_tls(self):
        def plain(connection):
            connection.reader.fill()
            connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        daemon = self.serve({"b1": "https://" + self.origin(handler=plain).address})
        self.refused(daemon, "upstream_tls_protocol", "tls_protocol_error", "plain_http")
        early = self.origin(handler=lambda c: (c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), c.stall()))
        daemon = self.serve({"b1": "https://" + early.address})
        self.refused(daemon, "upstream_tls_protocol", "tls_protocol_error", "plain_http")

    def test_our_own_certificate(self):
        ours = self.ca.issue("weir")
        origin = self.tls_origin(client_ca=self.ca.pem, version=ssl.TLSVersion.TLSv1_2)
        daemon = self.serve([origin], tls={"certificate": ours[0], "key": ours[1]})
        self.assertEqual(daemon.get("/").status, 200)
        self.assertEqual(origin.handshakes[0][2], "weir")
        self.refused(self.serve([origin]), "upstream_tls_alert", "tls_alert_received", "alert")

    def test_a_truncated_answer_is_told(self):
        def cut(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end, or")
            os.close(connection.sock.detach())  # FIN without close_notify
        daemon = self.serve([self.tls_origin(handler=cut)])
        client = self.client(daemon)
        client.send(request())
        with self.assertRaises(Exception):
            client.read()
        daemon.wait_log(lambda r: r["cause"] == "upstream_truncated")

    def test_an_answer_until_the_end(self):
        def whole(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
            connection.sock = connection.sock.unwrap()
        daemon = self.serve([self.tls_origin(handler=whole)])
        self.assertEqual(daemon.get("/").text, "until the end")

    def test_a_tunnel(self):
        daemon = self.serve([self.tls_origin(handler=echo_tunnel)])
        client = self.client(daemon)
        client.send(request("GET", "/", UPGRADE))
        self.assertEqual(client.read().status, 101)
        data = os.urandom(100_000)
        client.send(data)
        self.assertEqual(client.read_exactly(len(data)), data)

    def test_another_backend_is_tried(self):
        bad = self.tls_origin(certificate=self.ca.issue("other", ["DNS:other.test"]))
        good = self.tls_origin(lambda m, c: response(200, b"good"))
        daemon = self.serve([bad, good], pool={"retry": {"attempts": 1}})
        for _ in range(4):
            self.assertEqual(daemon.get("/").text, "good")

    def test_health_checks(self):
        good = self.tls_origin(lambda m, c: response(200, b"ok"))
        bad = self.tls_origin(certificate=self.ca.issue("other", ["DNS:other.test"]))
        plain = self.origin()
        daemon = self.serve({"good": good.url, "bad": bad.url, "plain": "https://" + plain.address},
                            pool={"health": {"path": "/healthz", "interval": "100ms", "timeout": "3s", "fall": 1}})
        wait_until(lambda: [daemon.metrics().sum("weir_backend_up", backend=b) for b in ("good", "bad", "plain")] == [1, 0, 0])
        self.assertIn("IP address mismatch", daemon.wait_event("backend_down", backend="bad").fields["reason"])
        self.assertIn("TLS: ", daemon.wait_event("backend_down", backend="plain").fields["reason"])
        self.assertEqual(good.requests[0].target, "/healthz")

    def test_a_reload_that_changes_whom_we_trust(self):
        origin = self.tls_origin()
        daemon = self.serve([origin])
        with daemon.client() as client:
            client.get("/")
            daemon.reload()
            client.get("/")
            self.assertEqual(len(origin.handshakes), 1)  # the same settings: the connection is kept
            other = Authority(self.folder, "strangers")
            daemon.reload(config([origin], pool={"tls": {"ca": other.pem}, "retry": False}))
            wait_until(lambda: daemon.get("/").status == 502)
            self.assertEqual(client.get("/").status, 502)

    def test_what_is_wrong_with_the_files(self):
        origin = self.tls_origin()
        daemon = self.serve([origin])
        with open(self.ca.pem, "w") as file:
            file.write("nothing")
        since = daemon.marker()
        daemon.reload(ok=False)
        self.assertIn(f"pool app: tls.ca: {self.ca.pem} has no certificate in it", "\n".join(e.line for e in daemon.events[since:]))
        self.assertEqual(daemon.get("/").status, 200)
