"""Tables on a terminal: no line is longer than it is wide. Where there is none, they are as they are."""
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios

from harness import WeirTest, binary, config, echo, response, wait_until


def on_terminal(daemon, width, *words, columns=None):
    """What a command writes on a terminal of `width` columns, as lines."""
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | {"NO_COLOR": "1"}
    if columns:
        environment["COLUMNS"] = str(columns)
    process = subprocess.Popen([binary(), *words, "--admin", daemon.socket_path], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    data = b""
    while select.select([master], [], [], 30)[0]:
        try:
            more = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        data += more
    os.close(master)
    process.wait(30)
    return data.decode().replace("\r\n", "\n").splitlines()


class Tables(WeirTest):
    def setUp(self):
        bad = self.origin(lambda message, connection: response(503, b"x"))
        self.daemon = self.weir(config(pools={
            "checkout-of-the-shop": {"health": {"path": "/", "interval": "100ms", "fall": 1}, "backends": {"checkout-in-the-first-zone": self.origin(echo).url, "checkout-in-the-second-zone": bad.url}},
            "app": {"eject": False, "backends": {"a": self.origin(echo).url, "b": bad.url}}},
            routes=[{"match": {"path": "/checkout*"}, "pool": "checkout-of-the-shop"}, {"pool": "app"}]))
        wait_until(lambda: self.daemon.backend("checkout-in-the-second-zone", "checkout-of-the-shop")["status"] == "down")
        for i in range(6):
            self.daemon.get(f"/a/rather/long/path/that/goes/on/for/some/time?number={i}")

    def test_status(self):
        plain = self.daemon.command("status")[1].splitlines()
        self.assertIn("REASON", next(line for line in plain if line.startswith("POOL ")))
        for width in (40, 60, 80, 100, 120, 160, 300):
            lines = on_terminal(self.daemon, width, "status")
            table = lines[next(i for i, line in enumerate(lines) if line.startswith("POOL")):]
            self.assertLessEqual(max(map(len, table)), width, table)
            if width >= 80:
                self.assertIn("status 503, expected 200-299"[:width], "\n".join(table))
                self.assertIn("STATUS", table[0])
                self.assertRegex("\n".join(table), r" ~[0-9.]+ ms\b")
        self.assertIn("                      └ status 503, expected 200-299", on_terminal(self.daemon, 80, "status"))
        self.assertIn("REASON", "\n".join(on_terminal(self.daemon, 80, "status", columns=300)))

    def test_why(self):
        for width in (40, 60, 80, 100, 120, 160, 300):
            lines = on_terminal(self.daemon, width, "why")
            self.assertLessEqual(max(map(len, lines)), width, lines)
        listed = [line for line in on_terminal(self.daemon, 80, "why") if " 503 " in line]
        self.assertEqual(len(listed), 3, listed)
        # The id is cut, and will do as it is shown.
        shown = listed[0].split()[-1]
        self.assertRegex(shown, r"\A[0-9a-f]{8,}…\Z")
        code, out, err = self.daemon.command("why", shown)
        self.assertEqual((code, err), (0, ""))
        self.assertIn(f"request {shown[:-1]}", out)
        self.assertRegex(self.daemon.command("why")[1], r"(?m)^2\d{3}-\d\d-\d\dT.* [0-9a-f]{32}$")

    def test_explain(self):
        for width in (40, 80, 200):
            lines = on_terminal(self.daemon, width, "explain", "--live", "GET", "http://www.example.com/checkout")
            table = lines[next(i for i, line in enumerate(lines) if "BACKEND" in line):-1]
            self.assertLessEqual(max(map(len, table)), width, table)

    def test_drain_stays_in_its_line(self):
        lines = on_terminal(self.daemon, 30, "drain", "checkout-of-the-shop/checkout-in-the-first-zone")
        for piece in lines[0].split("\r")[:-1]:
            self.assertLess(len(piece.removesuffix("\x1b[K")), 30, lines)
