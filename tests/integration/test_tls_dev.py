"""`--dev`: a self-signed certificate where a listener has none; and what testssl.sh finds wrong with TLS as it is by default."""
import json
import os
import ssl
import stat
import subprocess

from harness import config, response, run_command
from tls import CertifiedTest, TlsClient

# What testssl.sh may find: its id, and why that is no fault of the listener's.
ALLOWED = {
    "engine_problem": "of testssl.sh's own openssl",
    "cert_revocation": "the test's authority publishes no revocations",
    "security_headers": "an application's business",
    # The resumption itself is tested in test_tls.py.
    "sessionresumption_ticket": "it hangs up after the handshake, and tickets come with the first answer: whether it gets one is chance",
}


class Dev(CertifiedTest):
    def setUp(self):
        super().setUp()
        self.state = {"XDG_STATE_HOME": os.path.join(self.folder, "state")}
        self.pem = os.path.join(self.folder, "state", "weir", "dev.pem")
        self.origin_ = self.origin(lambda m, c: response(200, b"hello"))

    def serve(self, tls):
        return self.weir(config([self.origin_], listener={"tls": tls}), arguments=["--dev"], environment=self.state)

    def get(self, daemon, server_name="localhost"):
        client = TlsClient(daemon.address(), ssl.create_default_context(cafile=self.pem), server_name)
        self.addCleanup(client.close)
        return client.get("/").text

    def test_made_once_and_kept(self):
        daemon = self.serve({})
        made = daemon.wait_event("dev_certificate_made")
        self.assertEqual(made.fields["file"], self.pem)
        self.assertEqual(stat.S_IMODE(os.stat(self.pem).st_mode), 0o600)
        self.assertEqual(self.get(daemon), "hello")
        self.assertEqual(self.get(daemon, "127.0.0.1"), "hello")
        with open(self.pem) as file:
            first = file.read()
        daemon.reload(config([self.origin_], listener={"tls": {"hsts": "1h"}}))
        self.assertEqual(self.get(daemon), "hello")
        again = self.serve({})
        self.assertEqual(self.get(again), "hello")
        with open(self.pem) as file:
            self.assertEqual(file.read(), first, "a browser that trusts it need not be asked again")
        self.assertEqual([e for e in again.events if e.name == "dev_certificate_made"], [])

    def test_one_that_is_broken_is_made_anew(self):
        os.makedirs(os.path.dirname(self.pem))
        with open(self.pem, "w") as file:
            file.write("no certificate")
        self.assertEqual(self.get(self.serve({})), "hello")

    def test_stands_in_for_files_that_are_not_there(self):
        daemon = self.serve({"certificate": ["/nowhere/site.pem", "/nowhere/*.crt"], "key": "/nowhere/site.key"})
        self.assertEqual(self.get(daemon), "hello")
        warnings = [line for line in daemon.stderr if "stands in" in line]
        self.assertEqual(len(warnings), 2, daemon.logs())
        self.assertIn("/nowhere/site.key can't be read (No such file or directory) and is left out", daemon.logs())
        self.assertNotIn("belongs to none", daemon.logs())
        self.assertIn(f"/nowhere/site.pem can't be read (No such file or directory); the self-signed {self.pem} stands in", warnings[0])

    def test_own_certificates_are_left_alone(self):
        pem, key = self.ca.issue("own", ["DNS:localhost"])
        daemon = self.serve({"certificate": pem, "key": key})
        client = TlsClient(daemon.address(), self.ca.client_context(), "localhost")
        self.addCleanup(client.close)
        self.assertEqual(client.get("/").text, "hello")

    def test_check_and_bad_ground(self):
        path = os.path.join(self.folder, "weir.yaml")
        with open(path, "w") as file:
            json.dump(config([self.origin_], listener={"tls": {}}), file)
        code, _, errors = run_command("check", path)
        self.assertEqual(code, 2)
        self.assertIn("certificate is missing; write certificate: PATH, or try it by weir run --dev", errors)
        self.assertEqual(run_command("check", "--dev", path, environment=self.state)[0], 0)
        code, _, errors = run_command("run", "--dev", path, environment={"XDG_STATE_HOME": "/proc/nowhere"})
        self.assertEqual(code, 1)
        self.assertIn("--dev can't keep its certificate: /proc/nowhere/weir/dev.pem.new: No such file or directory; set XDG_STATE_HOME", errors)


class Scan(CertifiedTest):
    timeout = 400

    def test_testssl_finds_nothing(self):
        pem, key = self.ca.issue("site", ["DNS:localhost"])
        daemon = self.weir(config([self.origin()], listener={"tls": {"certificate": pem, "key": key, "hsts": "8760h"}}))
        findings = os.path.join(self.folder, "findings.json")
        done = subprocess.run(["testssl", "--add-ca", self.ca.pem, "--severity", "MEDIUM", "--quiet", "--warnings", "off", "--color", "0",
                               "--jsonfile", findings, "localhost:" + daemon.address().rpartition(":")[2]], capture_output=True, text=True, timeout=380,
                              stdin=subprocess.DEVNULL)
        with open(findings) as file:
            found = json.load(file)
        self.assertIn("Done", done.stdout, done.stdout + done.stderr)
        self.assertIn("TLSv1.3", done.stdout)
        self.assertEqual([f for f in found if f["id"] not in ALLOWED], [], done.stdout)
        self.assertLessEqual(len(ALLOWED), 5)
