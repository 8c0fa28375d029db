"""A pair of the manual at work: HAProxy or nginx on one side, the daemon on the other, both before the same origins."""
import re
import threading
from urllib.parse import urljoin, urlsplit

import peers
from client import Client
from harness import Origin, WeirTest, echo, response

PASSWORD = "correct horse"
HASH = "$6$saltstring$.r0X7ub5wGR2v4Xz7svCIozfnlorFh19V89t8KC9Umd81uGhFgsyTRNyzQDXDIm17fFcR9z3z7oBNdsyYBbtm/"
FILES = {"users": f"ann:{HASH}\n", "secret.keys": "0123456789012345678901234567890123456789\n", "token": "c2VjcmV0LXNlY3JldA==\n"}


class Seen:
    """An answer, and what the origin saw of its request; `origin` is the address that the manual gives it, None: no origin answered."""

    def __init__(self, answer, host, target):
        self.status, self.answer = answer.status, answer
        self.origin = answer.header("x-origin")
        self.location = self._location(answer.header("location"), host, target)
        self.target, self.fields = None, []
        if self.origin:
            head = answer.text.partition("\n\n")[0].splitlines()
            self.target = head[0].split(" ")[1]
            self.fields = [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "") for line in head[1:]]

    @staticmethod
    def _location(value, host, target):
        """Absolute, without the port that the kernel chose."""
        if value is None:
            return None
        parts = urlsplit(urljoin(f"http://{host}{target}", value))
        return f"{parts.scheme}://{parts.hostname}{parts.path}" + (f"?{parts.query}" if parts.query else "")

    def header(self, name):
        """What the origin got, as a list."""
        return [value for n, value in self.fields if n.lower() == name.lower()]

    def facts(self, *headers):
        return {"status": self.status, "origin": self.origin, "target": self.target, "location": self.location,
                "host": self.header("host"), **{h: self.header(h) for h in headers}}


class Side:
    def __init__(self, address):
        self.address = address

    def ask(self, target="/", method="GET", host="www.example.com", headers=(), body=None):
        with Client(self.address) as client:
            return Seen(client.request(method, target, headers, body, host), host, target)


class Pair:
    """`theirs` and `ours`, each a Side; `origins`: address in the manual → origin."""

    def __init__(self, theirs, ours, origins, daemon, peer):
        self.theirs, self.ours, self.origins, self.daemon, self.peer = theirs, ours, origins, daemon, peer

    @property
    def sides(self):
        return (self.theirs, self.ours)


class PairTest(WeirTest):
    page = kind = None

    def held(self, request, connection):
        """/hold is answered when the test says so."""
        if request.target == "/hold":
            self.holding.release()
            self.let_go.wait(30)

    def start_origin(self, address):
        def reply(request, connection):
            self.held(request, connection)
            status = 200
            if request.target.startswith("/verify"):  # the service that decides, of auth_request and the like
                status = 204 if request.header("x-token") == "good" else 401
            answer = echo(request, connection)
            body = answer.partition(b"\r\n\r\n")[2] if status != 204 else b""
            return response(status, body, {"X-Origin": address, "Server": "origin", "X-User": "ann", "Cache-Control": "max-age=60"})
        return self.origin(reply)

    def pair(self, name, faster=()):
        """Both sides of <!-- pair: NAME --> of the page; `faster`: (text, text) put in the place of times, on either side."""
        self.holding, self.let_go = threading.Semaphore(0), threading.Event()
        self.addCleanup(self.let_go.set)
        theirs, ours = peers.pairs(self.page)[name]
        texts = [peers.haproxy_text(theirs.text) if self.kind == "haproxy" else peers.nginx_text(theirs.text, "/"), peers.weir_text(ours.text)]
        origins = {a: self.start_origin(a) for text in texts for a in dict.fromkeys(peers.BACKEND.findall(text))}
        places = {a: o.address for a, o in origins.items()}
        their_text, our_text = theirs.text, texts[1]
        for old, new in faster:
            self.assertTrue(old in their_text or old in our_text, old)
            their_text, our_text = their_text.replace(old, new), our_text.replace(old, new)
        folder = peers.Folder(FILES)
        self.addCleanup(folder.remove)
        peer = peers.Peer(self.kind, their_text, places, folder)
        self.addCleanup(peer.stop)
        our_text = folder.localized(peers.BACKEND.sub(lambda m: places[m[0]], our_text))
        our_text = re.sub(r'bind: ":\d+"', 'bind: "127.0.0.1:0"', our_text)
        listener = re.search(r"listeners:\s*\{?\s*(\w+):", our_text)[1]
        daemon = self.weir(f'workers: 1\nadmin: {{ socket: off, bind: "127.0.0.1:0" }}\n{our_text}', access_log=False)
        return Pair(Side(peer.address()), Side(daemon.address(listener)), origins, daemon, peer)

    def assert_same(self, pair, *headers, **request):
        """Both sides make the same of a request: status, origin, path, Host, the named headers; gives ours."""
        theirs, ours = pair.theirs.ask(**request), pair.ours.ask(**request)
        self.assertEqual(theirs.facts(*headers), ours.facts(*headers), request)
        return ours
