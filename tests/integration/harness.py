"""The base of every integration test: origins and daemons that clean up after themselves. See README.md in this folder."""
import threading
import unittest

from client import Client, exchange, fetch, open_socket
from daemon import Daemon, backend_map, binary, config, run_command
from observe import Metrics, parse_metrics, wait_until
from origin import BlackHole, Connection, Origin, echo
from wire import Incomplete, Message, ProtocolError, Reader, chunked, request, response

__all__ = ["BlackHole", "Client", "Connection", "Daemon", "Incomplete", "Message", "Metrics", "Origin", "ProtocolError", "Reader", "SharedTest",
           "WeirTest", "backend_map", "binary", "chunked", "config", "echo", "exchange", "fetch", "load", "open_socket",
           "parse_metrics", "request", "response", "run_command", "wait_until"]


class WeirTest(unittest.TestCase):
    timeout = 60      # seconds a test may take; run.py ends it then
    maxDiff = 4000

    def origin(self, *arguments, **named):
        origin = Origin(*arguments, **named)
        self.addCleanup(origin.close)
        return origin

    def weir(self, configuration, **named):
        daemon = Daemon(configuration, **named)
        self.addCleanup(daemon.stop)
        return daemon

    def client(self, daemon, listener="web", **named):
        client = daemon.client(listener, **named)
        self.addCleanup(client.close)
        return client

    def assert_closed(self, client):
        """Nothing more comes, and the connection ends with FIN."""
        self.assertEqual(client.read_to_end(), b"")
        self.assertEqual(client.reader.ended, "eof")

    def assert_no_errors(self, errors, limit=5):
        self.assertEqual(len(errors), 0, "first errors: " + "; ".join(map(str, errors[:limit])))


class SharedTest(WeirTest):
    """One daemon before one echoing origin for all tests of the class; `settings()` gives more of the configuration."""

    @classmethod
    def settings(cls):
        return {}

    @classmethod
    def make_origin(cls):
        return Origin(echo)

    @classmethod
    def setUpClass(cls):
        cls.origin_ = cls.make_origin()
        cls.addClassCleanup(cls.origin_.close)
        cls.daemon = Daemon(config([cls.origin_], **cls.settings()))
        cls.addClassCleanup(cls.daemon.stop)
        cls.serial = 0

    @classmethod
    def unique(cls, prefix="case"):
        """A name that no other request of this class carries."""
        SharedTest.serial = getattr(SharedTest, "serial", 0) + 1
        return f"{prefix}-{SharedTest.serial}-x"

    def parse_one(self, data, method="GET"):
        """Exactly one complete answer in `data`."""
        pieces = [data]
        reader = Reader(lambda: pieces.pop() if pieces else b"")
        try:
            answer = reader.read_response(method)
        except Incomplete as error:
            self.fail(f"no complete answer in {data[:300]!r}: {error}")
        self.assertEqual(bytes(reader.buffer), b"", "bytes after the answer")
        return answer

    def assert_refused(self, data, status, piece=None):
        """The bytes are answered with `status` and the connection is closed; the origin sees none of them.

        `data` holds the word UNIQUE where a name goes that must not reach the origin.
        """
        name = self.unique("bad").encode()
        data = data.replace(b"UNIQUE", name)
        with self.daemon.client() as client:
            try:
                if piece:
                    client.send_pieces(data, piece)
                else:
                    client.send(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # answered and closed while we were still sending
            answer = self.parse_one(client.read_to_end(), data.partition(b" ")[0].decode("latin-1"))
            self.assertEqual(client.reader.ended, "eof", "ended with a reset: the answer could be lost")
        self.assertEqual(answer.status, status, answer.raw_head)
        self.assertEqual((answer.header("connection") or "").lower(), "close", answer.raw_head)
        barrier = "/" + self.unique("barrier")
        self.assertEqual(self.daemon.get(barrier).status, 200)
        wait_until(lambda: barrier in self.origin_.targets(), what="the request after the refused one")
        self.assertNotIn(name, self.origin_.raw(), "the origin saw bytes of a refused request")
        return answer

    def assert_accepted(self, data, status=200):
        """The bytes are one request that is answered with `status`; gives what the origin saw."""
        before = self.origin_.count()
        with self.daemon.client() as client:
            client.send(data)
            answer = client.read(data.partition(b" ")[0].decode("latin-1"))
        self.assertEqual(answer.status, status, (answer.raw_head, answer.body[:200]))
        self.assertEqual(self.origin_.count(), before + 1)
        return self.origin_.requests[-1]


class Load:
    """Clients in threads that ask again and again until stopped; what went wrong is in `errors`, how often it went well in `done`."""

    def __init__(self, address, clients, keep_alive, make, check, method):
        self.address, self.keep_alive, self.make, self.check, self.method = address, keep_alive, make, check, method
        self.errors, self.done = [], 0
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        client, count = None, 0
        while not self.ending.is_set():
            try:
                if client is None:
                    client = Client(self.address)
                data = self.make(number, count)
                client.send(data)
                answer = client.read(self.method)
                problem = self.check(answer)
                if problem:
                    raise AssertionError(f"{problem}: {answer.status} {answer.text[:200]}")
                with self.lock:
                    self.done += 1
                if not self.keep_alive or not answer.keep_alive():
                    client.close()
                    client = None
            except Exception as error:  # noqa: BLE001 - every kind of failure counts
                with self.lock:
                    self.errors.append(f"client {number} request {count}: {type(error).__name__} {error}")
                if client:
                    client.close()
                client = None
            count += 1
        if client:
            client.close()

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(60)
        return self


def load(address, clients=4, keep_alive=True, make=None, check=None, method="GET"):
    """Starts a Load; `make(client number, count)` gives the bytes of a request, `check(answer)` a complaint or None."""
    make = make or (lambda number, count: request(target=f"/load/{number}/{count}"))
    check = check or (lambda answer: None if answer.status == 200 else "status")
    return Load(address, clients, keep_alive, make, check, method)
