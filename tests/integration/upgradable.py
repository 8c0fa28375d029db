"""A daemon that passes itself on: its program is a name that can be made to mean another one, and every process is looked after."""
import ctypes
import os
import re
import shutil
import signal
import socket
import stat
import tempfile
import time

from daemon import Daemon, binary

PR_SET_CHILD_SUBREAPER = 36


class Upgradable(Daemon):
    """`self.pid` is the process that serves; `self.process` the first one."""

    def __init__(self, configuration, **named):
        # Processes whose parent has ended become our children, so that their end can be seen.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.folder = tempfile.mkdtemp(prefix="weir-upgrade-")
        self.program = os.path.join(self.folder, "weir")
        self.exits = {}
        self.use_binary()
        super().__init__(configuration, program=self.program, **named)

    def use_binary(self):
        os.symlink(binary(), self.program + ".new")
        os.rename(self.program + ".new", self.program)

    def use_script(self, text):
        with open(self.program + ".new", "w") as file:
            file.write("#!/bin/sh\n" + text + "\n")
        os.chmod(self.program + ".new", stat.S_IRWXU)
        os.rename(self.program + ".new", self.program)

    # -- processes
    def started(self):
        """All that ever were, the oldest first."""
        with self.condition:
            return [self.process.pid] + [int(e.fields["pid"]) for e in self.events if e.name == "upgrade_started"]

    def alive(self, pid):
        if pid == self.process.pid:
            return self.process.poll() is None
        if pid in self.exits:
            return False
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self.exits[pid] = os.waitstatus_to_exitcode(status)
                return False
        except ChildProcessError:
            pass  # its parent still lives
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    def running(self):
        return [pid for pid in self.started() if self.alive(pid)]

    def signal(self, number):
        os.kill(self.pid, number)

    # -- upgrades
    def upgrade(self, timeout=60.0):
        """`weir upgrade`, which must go well: what it printed."""
        code, out, err = self.command("upgrade", timeout=timeout)
        assert code == 0, (code, out, err, self.logs())
        self.pid = int(re.search(r"^pid (\d+), weir \S+: serves", out, re.M)[1])
        self.wait_event("ready", pid=str(self.pid))  # and the addresses before it
        return out

    def failed_upgrade(self, timeout=60.0):
        """`weir upgrade`, which must go wrong: exit code and stderr."""
        code, _, err = self.command("upgrade", timeout=timeout)
        assert code != 0, self.logs()
        return code, err

    def stop(self):
        """Every process gets SIGTERM twice, which means now; none may be left."""
        try:
            for number, patience in ((signal.SIGTERM, 0.3), (signal.SIGTERM, 20), (signal.SIGABRT, 10)):
                for pid in self.running():
                    os.kill(pid, number)
                until = time.monotonic() + patience
                while self.running() and time.monotonic() < until:
                    time.sleep(0.02)
                assert number != signal.SIGABRT or not self.running(), "nothing ends it"
                if not self.running():
                    break
            else:
                raise AssertionError(f"did not end after two SIGTERM\n{self.logs()}")
        finally:
            super().stop()
            shutil.rmtree(self.folder, ignore_errors=True)


class Forerunner:
    """Plays the old process of an upgrade for a daemon, which gets its end of the channel, so that another version can be tried. lb/net/handover.hpp"""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(30)
        self.heard = self.ours.makefile("r", encoding="utf-8")

    def close(self):
        self.heard.close()
        self.ours.close()
        self.theirs.close()

    def start(self, configuration, *lines, inherit=()):
        """A daemon that is handed these lines, each a list of fields, and, from 4 on, these descriptors."""
        self.say("handover", ["version", "0.0.1"], ["upgrades", "0", "0"], *lines)
        return Daemon(configuration, inherit=[self.theirs, *inherit], environment={"WEIR_UPGRADE": "3"}, ready=False)

    def say(self, word, *lines):
        self.ours.sendall("\n".join([word, *("\t".join(line) for line in lines), ".", ""]).encode())

    def hear(self, word):
        """The lines of its next message, which must be this one."""
        lines = [line.rstrip("\n") for line in iter(self.heard.readline, ".\n")]
        assert lines[0] == word, lines
        return [line.split("\t") for line in lines[1:]]

    def hand_over(self, *orders):
        """Once it is ready, it serves. What it said when it was."""
        ready = self.hear("ready")
        self.say("go", *orders)
        self.hear("serving")
        return ready
