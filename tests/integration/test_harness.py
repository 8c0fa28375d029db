"""The tools of these tests themselves: a test that can't fail would be worthless."""
import unittest

from harness import BlackHole, Client, Incomplete, ProtocolError, Reader, WeirTest, chunked, echo, fetch, open_socket, request, response, wait_until


def reader(*pieces):
    left = list(pieces)
    return Reader(lambda: left.pop(0) if left else b"")


class Strictness(unittest.TestCase):
    def test_reader_refuses(self):
        for raw in (b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
                    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n",
                    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"):
            with self.subTest(raw=raw), self.assertRaises(ProtocolError):
                reader(raw).read_response()

    def test_reader_notices_cut_messages(self):
        for raw in (b"", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"):
            with self.subTest(raw=raw), self.assertRaises(Incomplete):
                reader(raw).read_response()

    def test_reader_reads(self):
        body = chunked(b"abc", b"def", trailers=b"X: 1\r\n")
        raw = b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + response(404, b"x")
        for size in (1, 3, len(raw)):
            read = reader(*[raw[i:i + size] for i in range(0, len(raw), size)])
            answer = read.read_response()
            self.assertEqual((answer.status, answer.body, len(answer.interim), answer.trailers), (200, b"abcdef", 1, [("X", "1")]))
            self.assertEqual(read.read_response().status, 404)


class Origins(WeirTest):
    def test_kill_and_start(self):
        origin = self.origin(echo)
        self.assertEqual(fetch(origin.address).status, 200)
        place = origin.address
        client = Client(place)
        self.assertEqual(client.get("/").status, 200)
        origin.kill()
        client.read_to_end()
        with self.assertRaises(ConnectionRefusedError):
            open_socket(place)
        origin.start()
        self.assertEqual((origin.address, fetch(place).status), (place, 200))

    def test_every_family(self):
        for kind in ("ipv4", "ipv6", "unix"):
            origin = self.origin(echo, kind=kind)
            answer = fetch(origin.address, "POST", "/t", {"X-A": "1"}, b"body")
            self.assertTrue(answer.body.endswith(b"\n\nbody"))
            self.assertIn(b"X-A: 1\r\n", origin.raw())

    def test_reset_is_told_from_close(self):
        def handler(connection):
            message = connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\n\r\nsome")
            if message.target == "/reset":
                wait_until(lambda: False if not seen else True, 10)
                connection.reset()
        seen = []
        origin = self.origin(handler=handler)
        self.assertEqual(fetch(origin.address, target="/close").body, b"some")
        with Client(origin.address) as client:
            client.send(request("GET", "/reset"))
            client.read(body=False)
            seen.append(1)
            client.read_to_end()
            self.assertEqual(client.reader.ended, "reset")

    def test_black_hole(self):
        hole = BlackHole()
        self.addCleanup(hole.close)
        with self.assertRaises(TimeoutError):
            open_socket(hole.address, timeout=0.5)
