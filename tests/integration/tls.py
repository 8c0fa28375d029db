"""Certificates made on the spot with openssl, and a client that speaks TLS."""
import os
import shutil
import ssl
import subprocess
import tempfile

from client import Client
from harness import WeirTest
from origin import Origin
from wire import Reader


class Authority:
    """A certificate authority in a directory; certificates are files NAME.pem and NAME.key beside it."""

    def __init__(self, directory, name="ca"):
        self.directory, self.name = directory, name
        self.pem, self.key = self.path(name + ".pem"), self.path(name + ".key")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out", self.pem,
                      "-subj", f"/CN=Test CA {name}", "-days", "3650")

    def path(self, name):
        return os.path.join(self.directory, name)

    def issue(self, name, names=(), subject=None, days=365, rsa=False, file=None, start=None, end=None):
        """`names`: "DNS:a.test", "IP:127.0.0.1". `start`, `end`: YYYYMMDDHHMMSSZ in place of `days`. Returns the paths of certificate and key."""
        file = file or name
        pem, key, request, extensions = (self.path(file + suffix) for suffix in (".pem", ".key", ".csr", ".ext"))
        kind = ["-newkey", "rsa:2048"] if rsa else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        self._openssl("req", *kind, "-nodes", "-keyout", key, "-out", request, "-subj", subject or f"/CN={name}")
        with open(extensions, "w") as out:
            out.write(f"subjectAltName={','.join(names or ['DNS:' + name])}\n")
        if end:
            self._sign_with_dates(request, pem, extensions, start, end)
        else:
            self._openssl("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.key, "-CAcreateserial", "-out", pem,
                          "-days", str(days), "-extfile", extensions)
        return pem, key

    def _sign_with_dates(self, request, pem, extensions, start, end):
        """`openssl x509` has no dates in Debian 12's version; `openssl ca` does, with a database."""
        folder = self.path("database-" + os.path.basename(pem))
        os.makedirs(folder)
        with open(os.path.join(folder, "index.txt"), "w"):
            pass
        with open(os.path.join(folder, "ca.cnf"), "w") as out:
            out.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\ndefault_md=sha256\npolicy=p\nrand_serial=yes\n[p]\ncommonName=supplied\n")
        self._openssl("ca", "-batch", "-notext", "-config", os.path.join(folder, "ca.cnf"), "-cert", self.pem, "-keyfile", self.key, "-in", request,
                      "-out", pem, "-startdate", start, "-enddate", end, "-extfile", extensions)

    def ocsp(self, pem, out, days=7):
        """An OCSP response (DER) that says that the certificate is good."""
        serial = self._openssl("x509", "-in", pem, "-noout", "-serial").split("=")[1].strip()
        index = self.path(os.path.basename(out) + ".index")
        with open(index, "w") as file:
            file.write(f"V\t391231000000Z\t\t{serial}\tunknown\t/CN=x\n")
        request = self.path("request.der")
        self._openssl("ocsp", "-issuer", self.pem, "-cert", pem, "-reqout", request)
        self._openssl("ocsp", "-index", index, "-rsigner", self.pem, "-rkey", self.key, "-CA", self.pem, "-reqin", request, "-respout", out,
                      *(["-ndays", str(days)] if days else []))
        return out

    def client_context(self, certificate=None, version=None, alpn=None):
        context = ssl.create_default_context(cafile=self.pem)
        if certificate:
            context.load_cert_chain(*certificate)
        if version:
            context.minimum_version = context.maximum_version = version
        if alpn:
            context.set_alpn_protocols(alpn)
        return context

    @staticmethod
    def _openssl(*arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise AssertionError(f"openssl {' '.join(arguments)}: {done.stderr}")
        return done.stdout


class TlsClient(Client):
    def __init__(self, address, context, server_name="a.test", session=None, **more):
        super().__init__(address, **more)
        try:
            self.sock = context.wrap_socket(self.sock, server_hostname=server_name, session=session, suppress_ragged_eofs=False)
        except BaseException:
            self.sock.close()
            raise
        self.reader = Reader(lambda: self.sock.recv(262144))

    def shown(self):
        """The first name of the certificate that was shown."""
        return self.sock.getpeercert()["subjectAltName"][0][1]

    def end(self):
        """close_notify, and waits for the other one; True if it comes."""
        self.sock.unwrap().close()
        return True


class TlsOrigin(Origin):
    """An origin that speaks TLS; `handshakes` has what each was: (resumed, name asked for, subject of the client's certificate)."""

    def __init__(self, certificate, *arguments, client_ca=None, version=None, **named):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        if version:
            self.context.minimum_version = self.context.maximum_version = version
        if client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_ca)
        self.context.sni_callback = self._name_asked_for
        self.handshakes, self.refusals = [], []
        super().__init__(*arguments, **named)

    @staticmethod
    def _name_asked_for(sock, name, _):
        sock.asked_for = name

    def _run(self, connection):
        try:
            connection.sock.settimeout(30)
            connection.sock = self.context.wrap_socket(connection.sock, server_side=True, suppress_ragged_eofs=True)
            subject = dict(pair[0] for pair in (connection.sock.getpeercert() or {}).get("subject", ()))
            self.handshakes.append((connection.sock.session_reused, getattr(connection.sock, "asked_for", None), subject.get("commonName")))
        except OSError as error:
            self.refusals.append(str(error))
            connection.close()
            connection.closed.set()
            return
        super()._run(connection)

    @property
    def url(self):
        return "https://" + self.address


class CertifiedTest(WeirTest):
    """A test with an authority of its own, `self.ca`, in a folder that ends with it."""

    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="weir-tls-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.ca = Authority(self.folder)
