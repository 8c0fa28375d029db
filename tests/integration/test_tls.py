"""TLS of a listener: the handshake, names, certificates of clients, tickets, reload, and what is no TLS at all."""
import hashlib
import json
import os
import socket
import ssl
import subprocess
import threading
import time

from harness import config, fetch, open_socket, request, response, run_command, wait_until
from test_tunnels import UPGRADE, echo_tunnel
from tls import Authority, CertifiedTest, TlsClient
from upgradable import Upgradable


class TlsTest(CertifiedTest):
    timeout = 120

    def setUp(self):
        super().setUp()
        self.a = self.ca.issue("a", ["DNS:a.test", "DNS:localhost", "IP:127.0.0.1"])

    def serve(self, backends=None, tls=None, **more):
        backends = backends if backends is not None else [self.origin()]
        tls = {"certificate": self.a[0], "key": self.a[1], **(tls or {})}
        listener = {"tls": tls, **more.pop("listener", {})}
        return self.weir(config(backends, listener=listener, **more))

    def check(self, tls):
        """What `weir check` says."""
        path = os.path.join(self.folder, "weir.yaml")
        with open(path, "w") as file:
            json.dump(config([self.origin()], listener={"tls": {"certificate": self.a[0], "key": self.a[1], **tls}}), file)
        return run_command("check", path)[2]

    def tls_client(self, daemon, server_name="a.test", session=None, context=None, address=None, **how):
        client = TlsClient(address or daemon.address(), context or self.ca.client_context(**how), server_name, session)
        self.addCleanup(client.close)
        return client


class Termination(TlsTest):
    def test_both_versions(self):
        origin = self.origin(lambda m, c: response(200, b"hello"))
        daemon = self.serve([origin])
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            client = self.tls_client(daemon, version=version, alpn=["h3", "http/1.1"])
            self.assertEqual((client.sock.version(), client.sock.selected_alpn_protocol()), (name, "http/1.1"))
            for _ in range(3):
                self.assertEqual(client.get("/").text, "hello")
            self.assertTrue(client.end())
        metrics = daemon.metrics()
        self.assertEqual(metrics.sum("weir_tls_handshakes_total", version="1.2"), 1)
        self.assertEqual(metrics.sum("weir_tls_handshakes_total", version="1.3"), 1)
        self.assertEqual(metrics.sum("weir_tls_handshake_failures_total"), 0)

    def test_what_backends_and_clients_are_told(self):
        origin = self.origin()
        daemon = self.serve([origin], tls={"hsts": {"max_age": "1h", "subdomains": True}}, http={"forwarded": True},
                            routes=[{"match": {"path": "/r"}, "redirect": {"path": "/x"}}, {"pool": "app"}])
        client = self.tls_client(daemon)
        answer = client.get("/", host="a.test")
        self.assertEqual(answer.header("Strict-Transport-Security"), "max-age=3600; includeSubDomains")
        seen = origin.requests[0]
        self.assertEqual(seen.header("X-Forwarded-Proto"), "https")
        self.assertIn("proto=https", seen.header("Forwarded"))
        self.assertEqual(client.get("/r", host="a.test").header("Location"), "https://a.test/x")
        self.assertEqual(client.get("https://a.test/", host="a.test").status, 200)
        self.assertEqual(client.get("http://a.test/", host="a.test").status, 400)

    def test_bodies_of_any_size_both_ways(self):
        origin = self.origin(lambda m, c: response(200, m.body))
        daemon = self.serve([origin])
        client = self.tls_client(daemon)
        for size in (1, 1000, 16383, 16384, 16385, 70_000, 3_000_000):
            body = os.urandom(size)
            got = client.request("POST", "/", body=body)
            self.assertEqual(hashlib.sha256(got.body).digest(), hashlib.sha256(body).digest(), size)

    def test_a_slow_reader_gets_every_byte(self):
        body = os.urandom(6_000_000)
        origin = self.origin(lambda m, c: response(200, body))
        daemon = self.serve([origin])
        raw = open_socket(daemon.address(), receive_buffer=4096)
        sock = self.ca.client_context().wrap_socket(raw, server_hostname="a.test")
        self.addCleanup(sock.close)
        sock.sendall(request("GET", "/", {"Connection": "close"}))
        got = bytearray()
        pauses = 3
        while True:
            if pauses and len(got) > (4 - pauses) * 1_000_000:
                time.sleep(0.3)  # the daemon's buffers fill up meanwhile
                pauses -= 1
            piece = sock.recv(65536)
            if not piece:
                break
            got += piece
        self.assertEqual(bytes(got.partition(b"\r\n\r\n")[2]), body)

    def test_pipelined_and_in_small_records(self):
        origin = self.origin(lambda m, c: response(200, m.target.encode()))
        daemon = self.serve([origin])
        client = self.tls_client(daemon)
        client.send(b"".join(request("GET", f"/{i}") for i in range(20)))
        self.assertEqual([client.read().text for i in range(20)], [f"/{i}" for i in range(20)])
        client.send_pieces(request("POST", "/p", {"X-Long": "x" * 3000}, body=b"y" * 100), 7)
        self.assertEqual(client.read().text, "/p")

    def test_a_tunnel(self):
        daemon = self.serve([self.origin(handler=echo_tunnel)])
        client = self.tls_client(daemon)
        client.send(request("GET", "/", UPGRADE))
        self.assertEqual(client.read().status, 101)
        for size in (1, 5000, 200_000):
            data = os.urandom(size)
            client.send(data)
            self.assertEqual(client.read_exactly(size), data)

    def test_the_end_is_told(self):
        """close_notify before FIN: an answer of unknown length that has ended is told from one that was cut."""
        origin = self.origin(lambda m, c: c.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"))
        daemon = self.serve([origin])
        client = self.tls_client(daemon)
        client.send(request("GET", "/", version="1.0"))
        self.assertTrue(client.read_to_end().endswith(b"until the end"))
        self.assertEqual(client.reader.ended, "eof")  # without close_notify ssl raises

    def test_a_broken_answer_is_no_complete_one(self):
        origin = self.origin(lambda m, c: (c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), c.close())[1])
        daemon = self.serve([origin])
        client = self.tls_client(daemon)
        client.send(request("GET", "/"))
        with self.assertRaises(Exception):
            client.read()
        daemon.wait_log(lambda r: r["cause"] == "upstream_truncated")

    def test_keep_alive_ends_in_order(self):
        daemon = self.serve(listener={"timeout": {"keep_alive": "300ms"}})
        client = self.tls_client(daemon)
        client.get("/")
        self.assertEqual(client.read_to_end(), b"")
        self.assertEqual(client.reader.ended, "eof")


class Names(TlsTest):
    def setUp(self):
        super().setUp()
        self.b = self.ca.issue("b", ["DNS:b.test", "DNS:*.b.test"])
        self.c = self.ca.issue("c", ["DNS:c.test"])
        self.both = {"certificate": [self.a[0], self.b[0], self.c[0]], "key": [self.c[1], self.a[1], self.b[1]]}

    def test_the_certificate_follows_the_name(self):
        daemon = self.serve(tls=self.both)
        for name, shown in (("a.test", "a.test"), ("b.test", "b.test"), ("x.b.test", "b.test"), ("C.test", "c.test")):
            self.assertEqual(self.tls_client(daemon, name).shown(), shown)
        lenient = self.ca.client_context()
        lenient.check_hostname = False
        for name in ("unknown.test", "x.y.b.test", None):
            self.assertEqual(self.tls_client(daemon, name, context=lenient).shown(), "a.test")

    def test_strict_names(self):
        daemon = self.serve(tls={**self.both, "strict_sni": True})
        for name in ("a.test", "x.b.test", "C.test"):
            self.assertEqual(self.tls_client(daemon, name).get("/", host=name).status, 200)
        for version, name, alert in ((ssl.TLSVersion.TLSv1_2, "unknown.test", "UNRECOGNIZED_NAME"), (ssl.TLSVersion.TLSv1_3, "unknown.test", "UNRECOGNIZED_NAME"),
                                     (ssl.TLSVersion.TLSv1_2, None, "HANDSHAKE_FAILURE"), (ssl.TLSVersion.TLSv1_3, None, "MISSING_EXTENSION")):
            lenient = self.ca.client_context(version=version)
            lenient.check_hostname = False
            with self.assertRaises(ssl.SSLError) as failed:
                self.tls_client(daemon, name, context=lenient)
            self.assertIn(alert, str(failed.exception))
        event = daemon.wait_event("tls_handshake_failed", reason="server_name")
        self.assertEqual((event.listener, event.detail), ("web", "no certificate for the name, or no name"))
        self.assertEqual(daemon.metrics().sum("weir_tls_handshake_failures_total", reason="server_name"), 4)
        self.assertEqual(daemon.metrics().sum("weir_tls_handshake_failures_total"), 4)

    def test_rsa_and_ecdsa_for_one_name(self):
        rsa = self.ca.issue("a", ["DNS:a.test", "DNS:localhost", "IP:127.0.0.1"], rsa=True, file="a-rsa")
        daemon = self.serve(tls={"certificate": [self.a[0], rsa[0]], "key": [self.a[1], rsa[1]]})
        old = self.ca.client_context(version=ssl.TLSVersion.TLSv1_2)
        for ciphers, kind in (("ECDHE-RSA-AES128-GCM-SHA256", "RSA"), ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDSA")):
            old.set_ciphers(ciphers)
            self.assertIn(kind, self.tls_client(daemon, context=old).sock.cipher()[0])

    def test_misdirected(self):
        daemon = self.serve(tls=self.both)
        client = self.tls_client(daemon)
        self.assertEqual(client.get("/", host="a.test:443").status, 200)
        self.assertEqual(client.get("/", host="localhost").status, 200)  # of the same certificate
        self.assertEqual(client.get("/", host="elsewhere.test").status, 200)  # of none
        answer = client.get("/", host="x.b.test:443")
        self.assertEqual((answer.status, answer.header("Connection")), (421, "close"))
        self.assertEqual(daemon.wait_log(lambda r: r["status"] == 421)["cause"], "misdirected")
        without = self.ca.client_context()
        without.check_hostname = False
        self.assertEqual(self.tls_client(daemon, None, context=without).get("/", host="b.test").status, 200)


class Clients(TlsTest):
    """Mutual TLS."""

    def setUp(self):
        super().setUp()
        self.people = Authority(self.folder, "people")
        self.ann = self.people.issue("ann", ["DNS:ann.people.test", "email:ann@people.test"], subject="/O=Weir/OU=A, B/CN=ann")
        self.stranger = self.ca.issue("stranger")

    FORGED = {"X-Client-Cert-Subject": "CN=root", "x-client-cert-anything": "1"}

    def test_required(self):
        origin = self.origin()
        daemon = self.serve([origin], tls={"client_ca": self.people.pem})
        self.tls_client(daemon, certificate=self.ann).get("/", self.FORGED)
        seen = origin.requests[0]
        self.assertEqual(seen.all("X-Client-Cert-Subject"), ["CN=ann,OU=A\\, B,O=Weir"])
        self.assertEqual(seen.header("X-Client-Cert-Issuer"), "CN=Test CA people")
        self.assertEqual(seen.header("X-Client-Cert-Names"), "ann.people.test")
        with open(self.ann[0]) as file:
            der = ssl.PEM_cert_to_DER_cert(file.read())
        self.assertEqual(seen.header("X-Client-Cert-Fingerprint"), hashlib.sha256(der).hexdigest())
        self.assertIsNone(seen.header("X-Client-Cert-Anything"))
        for certificate, reason in ((None, "certificate_missing"), (self.stranger, "certificate_refused")):
            with self.assertRaises(OSError):
                self.tls_client(daemon, certificate=certificate).get("/")
            daemon.wait_event("tls_handshake_failed", reason=reason)
            self.assertEqual(daemon.metrics().sum("weir_tls_handshake_failures_total", reason=reason), 1)
        self.assertEqual(len(origin.requests), 1)

    def test_optional(self):
        origin = self.origin()
        daemon = self.serve([origin], tls={"client_ca": self.people.pem, "client_auth": "optional"})
        self.tls_client(daemon).get("/", self.FORGED)
        self.assertIsNone(origin.requests[0].header("X-Client-Cert-Subject"))
        self.tls_client(daemon, certificate=self.ann).get("/")
        self.assertIn("CN=ann", origin.requests[1].header("X-Client-Cert-Subject"))

    def test_forged_ones_never_get_through(self):
        origin = self.origin()
        plain = self.weir(config([origin]))
        plain.get("/", self.FORGED)
        tls = self.serve([origin], tls={"client_ca": self.people.pem, "client_auth": "optional"}, trusted_proxies=["127.0.0.0/8"])
        self.tls_client(tls).get("/", self.FORGED)
        for seen in origin.requests:
            self.assertIsNone(seen.header("X-Client-Cert-Subject"))

    def test_a_resumed_session_keeps_its_identity(self):
        origin = self.origin()
        daemon = self.serve([origin], tls={"client_ca": self.people.pem})
        context = self.ca.client_context(certificate=self.ann)
        first = self.tls_client(daemon, context=context)
        first.get("/")
        second = self.tls_client(daemon, context=context, session=first.sock.session)
        self.assertTrue(second.sock.session_reused)
        second.get("/")
        self.assertIn("CN=ann", origin.requests[1].header("X-Client-Cert-Subject"))


class Tickets(TlsTest):
    def resumes(self, context, session, daemon, **how):
        client = self.tls_client(daemon, context=context, session=session, **how)
        client.get("/")
        return client.sock.session_reused

    def session(self, context, daemon, **how):
        client = self.tls_client(daemon, context=context, **how)
        client.get("/")
        return client.sock.session

    def test_over_workers_reloads_and_versions(self):
        daemon = self.serve(workers=3)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.ca.client_context(version=version)
            session = self.session(context, daemon)
            for _ in range(6):
                self.assertTrue(self.resumes(context, session, daemon))
            daemon.reload()
            self.assertTrue(self.resumes(context, session, daemon))
        self.assertEqual(daemon.metrics().sum("weir_tls_handshakes_total", resumed="true"), 14)

    def test_over_instances_with_the_same_file(self):
        def keys(name, *lines):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write("\n".join(lines) + "\n")
            return os.path.join(self.folder, name)
        old, new = "old-" + "k" * 40, "new-" + "k" * 40
        one = self.weir(self.config_with(keys("one", old)))
        rotated = self.weir(self.config_with(keys("rotated", new, old)))
        other = self.weir(self.config_with(keys("other", new)))
        context = self.ca.client_context()
        session = self.session(context, one)
        self.assertTrue(self.resumes(context, session, rotated))
        self.assertFalse(self.resumes(context, session, other))

    def test_over_an_upgrade_without_keys(self):
        daemon = Upgradable(config([self.origin()], listener={"tls": {"certificate": self.a[0], "key": self.a[1]}}))
        self.addCleanup(daemon.stop)
        context = self.ca.client_context()
        session = self.session(context, daemon)
        for _ in range(2):
            daemon.upgrade()
            self.assertTrue(self.resumes(context, session, daemon))

    def config_with(self, keys):
        return config([self.origin()], listener={"tls": {"certificate": self.a[0], "key": self.a[1]}}, tls={"ticket_keys": keys})

    def test_not_from_one_listener_to_another(self):
        strict = {"certificate": self.a[0], "key": self.a[1], "client_ca": self.ca.pem}
        daemon = self.weir(config([self.origin()], listeners={
            "open": {"bind": "127.0.0.1:0", "tls": {"certificate": self.a[0], "key": self.a[1]}},
            "strict": {"bind": "127.0.0.1:0", "tls": strict}}))
        context = self.ca.client_context()
        session = self.session(context, daemon, address=daemon.address("open"))
        with self.assertRaises(OSError):
            self.resumes(context, session, daemon, address=daemon.address("strict"))


class BadHandshakes(TlsTest):
    def test_plain_http(self):
        daemon = self.serve()
        answer = fetch(daemon.address())
        self.assertEqual((answer.status, answer.header("Connection")), (400, "close"))
        self.assertIn("https://", answer.text)
        daemon.wait_event("tls_handshake_failed", reason="plain_http")
        self.assertEqual(daemon.wait_log(lambda r: r["status"] == 400)["cause"], "plain_http_on_tls")
        self.assertEqual(daemon.metrics().sum("weir_tls_handshake_failures_total", reason="plain_http"), 1)

    def test_nothing_else_is_disturbed(self):
        daemon = self.serve(listener={"timeout": {"header": "1s"}})
        good = self.tls_client(daemon)
        good.get("/")
        hello = bytes.fromhex("1603010200010001fc0303") + os.urandom(32)
        for data in (b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"z" * 70_000, os.urandom(5000), hello, hello[:7], b"\x15\x03\x01\x00\x02\x02\x28", b"\x16"):
            sock = open_socket(daemon.address())
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except OSError:
                pass
            sock.close()
        self.assertEqual(good.get("/").status, 200)
        self.assertEqual(self.tls_client(daemon).get("/").status, 200)
        self.assertEqual(daemon.metrics().sum("weir_tls_handshake_failures_total"), 7)

    def test_versions_ciphers_and_protocols_that_are_not_shared(self):
        daemon = self.serve(tls={"min_version": "1.3"})
        with self.assertRaises(OSError):
            self.tls_client(daemon, version=ssl.TLSVersion.TLSv1_2)
        daemon.wait_event("tls_handshake_failed", reason="version")
        with self.assertRaises(OSError):
            self.tls_client(daemon, alpn=["spdy/1"])
        daemon.wait_event("tls_handshake_failed", reason="alpn")
        with self.assertRaises(OSError):  # a client that doesn't know our authority
            self.tls_client(daemon, context=ssl.create_default_context())
        daemon.wait_event("tls_handshake_failed", reason="alert")

    def test_a_handshake_has_its_time(self):
        daemon = self.serve(listener={"timeout": {"header": "500ms"}})
        sock = open_socket(daemon.address())
        self.addCleanup(sock.close)
        sock.sendall(b"\x16\x03\x01\x02\x00")
        self.assertEqual(sock.recv(100), b"")
        daemon.wait_event("tls_handshake_failed", reason="timeout")

    def test_a_bound_on_handshakes(self):
        daemon = self.serve(limits={"handshakes": 3})
        waiting = []
        for i in range(6):
            sock = open_socket(daemon.address())
            self.addCleanup(sock.close)
            sock.sendall(b"\x16\x03\x01\x02\x00")
            waiting.append(sock)
            wait_until(lambda: daemon.metrics().sum("weir_connections_accepted_total") == i + 1)
        for sock in waiting[:3]:  # the oldest ones made room
            self.assertEqual(sock.recv(100), b"")
        self.assertEqual(self.tls_client(daemon).get("/").status, 200)
        self.assertEqual(daemon.metrics().sum("weir_tls_handshake_failures_total", reason="overload"), 4)

    def test_no_renegotiation(self):
        daemon = self.serve()
        done = subprocess.run(["openssl", "s_client", "-connect", daemon.address(), "-tls1_2", "-CAfile", self.ca.pem], input=b"R\nGET / HTTP/1.1\r\n",
                              capture_output=True, timeout=60)
        self.assertIn(b"no renegotiation", done.stderr)


class Reloading(TlsTest):
    def test_a_certificate_is_renewed_under_load_without_a_failure(self):
        origin = self.origin(lambda m, c: response(200, b"ok"), record=False)
        daemon = self.serve([origin], workers=2)
        stop, failures, done = threading.Event(), [], [0, 0]

        def run(index, keep):
            context = self.ca.client_context()
            client = None
            try:
                while not stop.is_set():
                    client = client or TlsClient(daemon.address(), context)
                    if client.get("/").status != 200:
                        failures.append("status")
                    done[index] += 1
                    if not keep:
                        client.end()
                        client = None
            except Exception as error:
                failures.append(repr(error))
        threads = [threading.Thread(target=run, args=(i, i == 0)) for i in (0, 1)]
        for thread in threads:
            thread.start()
        serials = set()
        for _ in range(8):
            self.ca.issue("a", ["DNS:a.test", "DNS:localhost", "IP:127.0.0.1"])
            since = daemon.marker()
            daemon.reload()
            self.assertIn("was renewed", "\n".join(e.line for e in daemon.events[since:]))
            before = list(done)
            wait_until(lambda: failures or (done[0] > before[0] + 5 and done[1] > before[1] + 5))
            client = self.tls_client(daemon)
            serials.add(client.sock.getpeercert()["serialNumber"])
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(len(serials), 8)

    def refused(self, daemon, *expected):
        since = daemon.marker()
        daemon.reload(ok=False)
        said = "\n".join(e.line for e in daemon.events[since:])
        for piece in expected:
            self.assertIn(piece, said)
        self.assertEqual(self.tls_client(daemon).get("/").status, 200)

    def test_what_is_wrong_is_named_and_changes_nothing(self):
        daemon = self.serve()
        good = {path: open(path).read() for path in self.a}
        other = self.ca.issue("other")
        for path, text, expected in ((self.a[1], open(other[1]).read(), f"the key in {self.a[1]} doesn't belong to the certificate in {self.a[0]}"),
                                     (self.a[0], "nothing", f"{self.a[0]} has no certificate in it"),
                                     (self.a[1], "nothing", f"{self.a[1]} has no private key in it"),
                                     (self.a[0], good[self.a[0]][:300] + "\n-----END CERTIFICATE-----\n", "that can't be read"),
                                     (self.a[0], None, f"{self.a[0]} can't be read (No such file or directory)")):
            if text is None:
                os.unlink(path)
            else:
                with open(path, "w") as file:
                    file.write(text)
            self.refused(daemon, expected, "listener web: tls.")
            with open(path, "w") as file:
                file.write(good[path])
        daemon.reload()

    def test_expiry_is_told(self):
        self.ca.issue("a", ["DNS:a.test"], start="20200101000000Z", end="20210101000000Z")
        self.assertIn(f"warning: listener web: tls.certificate: the certificate in {self.a[0]} has expired at 2021-01-01 00:00:00 UTC; renew it", self.check({}))
        daemon = self.serve()
        self.assertEqual(daemon.metrics().sum("weir_tls_certificate_expiry_timestamp_seconds", listener="web", server_name="a.test"), 1609459200)

    def test_from_plain_to_tls_and_back(self):
        origin = self.origin()
        plain = config([origin])
        daemon = self.weir(plain)
        with_tls = config([origin], listener={"tls": {"certificate": self.a[0], "key": self.a[1]}})
        daemon.reload(with_tls)
        wait_until(lambda: fetch(daemon.address()).status == 400)
        self.assertEqual(self.tls_client(daemon).get("/").status, 200)
        daemon.reload(plain)
        wait_until(lambda: self.plain_status(daemon) == 200)

    @staticmethod
    def plain_status(daemon):
        try:
            return fetch(daemon.address()).status
        except Exception:
            return 0


class Stapling(TlsTest):
    def test_a_file_is_stapled(self):
        answer = self.ca.ocsp(self.a[0], os.path.join(self.folder, "a.ocsp"))
        daemon = self.serve(tls={"ocsp": answer})
        done = subprocess.run(["openssl", "s_client", "-connect", daemon.address(), "-servername", "a.test", "-CAfile", self.ca.pem, "-status"],
                              input=b"", capture_output=True, timeout=60)
        self.assertIn(b"OCSP Response Status: successful", done.stdout)
        self.assertIn(b"Cert Status: good", done.stdout)

    def test_what_is_no_answer_is_refused_and_what_is_of_another_warned_of(self):
        other = self.ca.issue("other")
        files = {"bad.ocsp": "is no OCSP response", "other.ocsp": "is about none of the certificates"}
        self.ca.ocsp(other[0], os.path.join(self.folder, "other.ocsp"))
        with open(os.path.join(self.folder, "bad.ocsp"), "w") as file:
            file.write("nothing")
        for name, expected in files.items():
            self.assertIn(expected, self.check({"ocsp": os.path.join(self.folder, name)}))
