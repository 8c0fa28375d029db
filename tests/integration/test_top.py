"""weir top: a picture where there is no terminal, a live one where there is."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

from harness import WeirTest, binary, config, echo, wait_until


class Terminal:
    """`weir top` in a terminal of our own; `text` is everything that it wrote."""

    def __init__(self, daemon, rows, columns):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        environment = {**os.environ, "TERM": "xterm"}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen([binary(), "top", "--interval", "100ms", "--admin", daemon.socket_path], stdin=slave, stdout=slave,
                                        stderr=slave, close_fds=True, env=environment, start_new_session=True)
        self.slave = slave
        self.bytes, self.text = b"", ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            self.bytes += os.read(self.master, 65536)
        self.text = self.bytes.decode(errors="replace")
        return self.text

    def wait(self, pattern, timeout=30):
        return wait_until(lambda: re.search(pattern, self.read(), re.S), timeout, lambda: f"{pattern} in {self.text[-2000:]!r}")

    def key(self, key):
        os.write(self.master, key)

    def end(self):
        code = self.process.wait(20)
        self.read()
        after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        os.close(self.master)
        return code, after == self.before


class Top(WeirTest):
    def setUp(self):
        self.daemon = self.weir(config([self.origin(echo), self.origin(echo)]))

    def terminal(self, rows=24, columns=120):
        terminal = Terminal(self.daemon, rows, columns)
        self.addCleanup(lambda: terminal.process.poll() is None and terminal.process.kill())
        return terminal

    def test_without_a_terminal_it_is_one_picture(self):
        code, out, err = self.daemon.command("top", "--interval", "200ms")
        self.assertEqual((code, err), (0, ""))
        self.assertNotIn("\x1b", out)
        self.assertRegex(out, r"\Aweir \S+  .*weir\.yaml  generation 1  ready, up ")
        self.assertRegex(out, r"\nPOOL / BACKEND .*\napp .*\n  b1 .*\n  b2 ")

    def test_live(self):
        terminal = self.terminal()
        terminal.wait(r"b2.*q quit   s sort: file")
        self.assertTrue(terminal.text.startswith("\x1b[?1049h\x1b[?25l"))
        for _ in range(20):
            self.daemon.get("/")
        self.daemon.command("disable", "app/b1")
        terminal.wait("disabled by uid")
        terminal.key(b"s")
        terminal.wait("s sort: requests")
        terminal.key(b"q")
        self.assertEqual(terminal.end(), (0, True))
        self.assertTrue(terminal.text.endswith("\x1b[?25h\x1b[?1049l"), terminal.text[-50:])

    def test_it_follows_the_window(self):
        terminal = self.terminal(rows=24, columns=120)
        terminal.wait("q quit")
        terminal.resize(8, 40)
        os.kill(terminal.process.pid, signal.SIGWINCH)
        mark = len(terminal.text)

        def narrow():
            frames = terminal.read()[mark:].split("\x1b[H")  # each begins at home
            return len(frames) > 2 and frames[-2]
        frame = wait_until(lambda: (f := narrow()) and f.count("\n") < 8 and f)
        for line in frame.replace("\r", "").split("\n"):
            self.assertLessEqual(len(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line)), 40, line)
        os.kill(terminal.process.pid, signal.SIGTERM)
        self.assertEqual(terminal.end(), (0, True))

    def test_the_daemon_may_go_and_come_back(self):
        terminal = self.terminal()
        terminal.wait("ready, up")
        self.daemon.signal(signal.SIGTERM)
        self.daemon.wait_exit()
        terminal.wait("no weir listens at")
        self.assertIsNone(terminal.process.poll())
        terminal.key(b"q")
        self.assertEqual(terminal.end(), (0, True))

    def test_bad_words(self):
        self.assertEqual(self.daemon.command("top", "--interval", "0")[0], 2)
        self.assertEqual(self.daemon.command("top", "--interval", "soon")[0], 2)
