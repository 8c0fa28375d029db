"""WebSocket and other upgrades: a tunnel after 101, in both directions, until one side ends it."""
import os
import threading
import time

import h2origin
from h2origin import Http2Origin
from harness import WeirTest, config, request, response, wait_until

UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"


def echo_tunnel(connection, first=b""):
    """An origin's connection handler: 101 (with `first` right behind it), then everything is sent back."""
    message = connection.read_request()
    if message is None:
        return
    if not message.has("upgrade"):
        connection.send(response(426, b"upgrade me"))
        return
    connection.send(SWITCH + first)
    while True:
        data = bytes(connection.reader.buffer)
        connection.reader.buffer.clear()
        if data:
            connection.send(data)
        elif not connection.reader.fill():
            return


class Tunnels(WeirTest):
    def setUp(self):
        self.origin_ = self.origin(handler=echo_tunnel)

    def open(self, daemon, more=b""):
        client = self.client(daemon)
        client.send(request("GET", "/chat", UPGRADE) + more)
        answer = client.read()
        self.assertEqual(answer.status, 101, answer.raw_head)
        self.assertEqual(answer.header("upgrade"), "websocket")
        self.assertIn("upgrade", answer.header("connection").lower())
        self.assertEqual(answer.header("sec-websocket-accept"), "x")
        return client

    def test_echo(self):
        daemon = self.weir(config([self.origin_]))
        client = self.open(daemon)
        seen = self.origin_.requests[0]
        self.assertEqual((seen.header("upgrade"), seen.header("connection").lower()), ("websocket", "upgrade"))
        self.assertTrue(seen.has("sec-websocket-key"))
        for size in (1, 100, 70000):
            data = os.urandom(size)
            client.send(data)
            self.assertEqual(client.read_exactly(size), data)
        self.assertEqual(daemon.metrics().sum("weir_tunnels_open"), 1)
        client.close()
        wait_until(lambda: daemon.metrics().sum("weir_tunnels_open") == 0)
        wait_until(lambda: self.origin_.connections[0].closed.is_set())
        daemon.wait_log(lambda r: r["status"] == 101)

    def test_data_right_behind_the_request(self):
        daemon = self.weir(config([self.origin_]))
        client = self.open(daemon, b"early data")
        self.assertEqual(client.read_exactly(10), b"early data")

    def test_data_right_behind_the_101(self):
        origin = self.origin(handler=lambda c: echo_tunnel(c, b"hello from the origin"))
        daemon = self.weir(config([origin]))
        client = self.open(daemon)
        self.assertEqual(client.read_exactly(21), b"hello from the origin")
        client.send(b"x")
        self.assertEqual(client.read_exactly(1), b"x")

    def test_half_close_of_the_client(self):
        def handler(connection):
            connection.read_request()
            connection.send(SWITCH)
            while connection.reader.fill():
                pass
            connection.send(b"you sent %d bytes" % len(connection.reader.buffer))
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin]))
        client = self.open(daemon)
        client.send(b"x" * 1000).half_close()
        self.assertEqual(client.read_to_end(), b"you sent 1000 bytes")
        self.assertEqual(client.reader.ended, "eof")

    def test_half_close_of_the_origin(self):
        got = []
        def handler(connection):
            connection.read_request()
            connection.send(SWITCH + b"bye")
            connection.half_close()
            while connection.reader.fill():
                pass
            got.append(bytes(connection.reader.buffer))
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin]))
        client = self.open(daemon)
        self.assertEqual(client.read_to_end(), b"bye")
        client.send(b"still here")
        client.half_close()
        wait_until(lambda: got == [b"still here"], what=lambda: f"what the origin got: {got}")

    def test_reset_is_passed_on(self):
        def handler(connection):
            connection.read_request()
            connection.send(SWITCH)
            connection.reader.fill()
            connection.reset()
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin]))
        client = self.open(daemon)
        client.send(b"x")
        client.read_to_end()
        self.assertIn(client.reader.ended, ("reset", "eof"))
        self.assertEqual(daemon.wait_log(lambda r: r["status"] == 101)["cause"], "upstream_reset")

    def test_a_reset_stream_of_http2(self):
        origin = Http2Origin(lambda r: (r.head(200), r.rst(h2origin.CANCEL)), settings={h2origin.CONNECT_PROTOCOL: 1}, early=True)
        self.addCleanup(origin.close)
        daemon = self.weir(config([origin], pool={"protocol": "h2c"}))
        client = self.client(daemon)
        client.send(request("GET", "/chat", UPGRADE))
        client.read_to_end()
        self.assertEqual(daemon.wait_log(lambda r: r["status"] == 101)["cause"], "upstream_reset")

    def test_client_reset_ends_the_origin(self):
        daemon = self.weir(config([self.origin_]))
        client = self.open(daemon)
        client.reset()
        wait_until(lambda: self.origin_.connections[0].closed.is_set())

    def test_megabytes_both_ways(self):
        daemon = self.weir(config([self.origin_]))
        client = self.open(daemon)
        data = os.urandom(1 << 20) * 8
        sender = threading.Thread(target=lambda: (client.sock.sendall(data), client.half_close()), daemon=True)
        sender.start()
        self.assertEqual(client.read_exactly(len(data)), data)
        sender.join(10)
        self.assertEqual(client.read_to_end(), b"")

    def test_refused_upgrade_is_an_ordinary_answer(self):
        origin = self.origin(lambda m, c: response(403, b"no"))
        daemon = self.weir(config([origin]))
        client = self.client(daemon)
        for _ in range(2):
            client.send(request("GET", "/chat", UPGRADE))
            answer = client.read()
            self.assertEqual((answer.status, answer.body), (403, b"no"))

    def test_every_line_of_the_request_is_examined(self):
        """h2c is never asked for (A10), whichever line names it."""
        daemon = self.weir(config([self.origin_]))
        for lines in (("websocket", "h2c"), ("h2c", "websocket"), ("websocket", "x, H2C")):
            with self.subTest(lines=lines), daemon.client() as client:
                client.send(request("GET", "/chat", [("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAAA")] + [("Upgrade", line) for line in lines]))
                self.assertEqual(client.read().status, 426)
                self.assertFalse(self.origin_.requests[-1].has("upgrade"))
                self.assertNotIn(b"h2c", self.origin_.requests[-1].raw_head.lower())

    def test_every_line_of_the_answer_is_examined(self):
        def handler(connection):
            message = connection.read_request()
            if message:
                connection.send(SWITCH.replace(b"Upgrade: websocket\r\n", b"".join(b"Upgrade: %s\r\n" % p.encode() for p in message.target[1:].split("+"))))
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin], pool={"eject": False}))
        for answered, status in (("websocket", 101), ("other", 101), ("websocket+other", 101), ("websocket+h2c", 502), ("spdy", 502)):
            with self.subTest(answered=answered), daemon.client() as client:
                client.send(request("GET", "/" + answered, [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Upgrade", "other")]))
                self.assertEqual(client.read().status, status)

    def test_silence_ends_it(self):
        daemon = self.weir(config([self.origin_], pool={"timeout": {"tunnel": "1s"}}))
        client = self.open(daemon)
        self.assertEqual(client.read_to_end(), b"")
        daemon.wait_log(lambda r: r["cause"] == "tunnel_timeout")
        wait_until(lambda: self.origin_.connections[0].closed.is_set())

    def test_other_time_outs_do_not_end_it(self):
        daemon = self.weir(config([self.origin_], pool={"timeout": {"response": "300ms", "idle": "300ms", "tunnel": "60s"}},
                                  listener={"timeout": {"header": "300ms", "keep_alive": "300ms"}}))
        client = self.open(daemon)
        time.sleep(1.0)
        client.send(b"alive")
        self.assertEqual(client.read_exactly(5), b"alive")

    def test_it_is_not_counted_as_time_or_used_again(self):
        daemon = self.weir(config([self.origin_]))
        client = self.open(daemon)
        client.close()
        wait_until(lambda: self.origin_.connections[0].closed.is_set())
        self.assertEqual(daemon.get("/plain").status, 426)
        self.assertEqual(len(self.origin_.connections), 2)

    def test_over_ipv6_and_unix(self):
        for kind in ("ipv6", "unix"):
            with self.subTest(kind=kind):
                origin = self.origin(handler=echo_tunnel, kind=kind)
                daemon = self.weir(config([origin]))
                client = self.open(daemon)
                client.send(b"through")
                self.assertEqual(client.read_exactly(7), b"through")
