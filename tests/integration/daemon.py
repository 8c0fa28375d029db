"""The real daemon as a child process: started on a configuration, watched through its event lines, ended by its pid."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from client import Client, fetch
from observe import parse_metrics, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EVENT = re.compile(r"^\S+Z (info|warn|error) (\S+)(.*)$")
FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')
SANITIZER = re.compile(r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed")


def binary():
    return os.environ.get("WEIR_BIN") or os.path.join(ROOT, "build", "test", "weir")


def config(backends=None, *, pool=None, pools=None, routes=None, listener=None, listeners=None, workers=1, **top):
    """A configuration as a dict (JSON is YAML): one listener `web`, the admin listener, one pool `app` of the given origins.

    `backends`: a list of origins (named b1, b2, …) or a dict as in the file.
    """
    result = {"workers": workers}
    result["listeners"] = listeners or {"web": {"bind": "127.0.0.1:0", **(listener or {})}}
    result["admin"] = {"bind": "127.0.0.1:0"}
    if pools is not None:
        result["pools"] = pools
    elif backends is not None:
        result["pools"] = {"app": {"backends": backend_map(backends), **(pool or {})}}
    result["routes"] = routes if routes is not None else [{"pool": "app"}]
    result.update(top)
    return result


def backend_map(backends):
    if isinstance(backends, dict):
        return {n: (b if isinstance(b, (str, dict)) else b.url) for n, b in backends.items()}
    return {f"b{i}": (b if isinstance(b, (str, dict)) else b.url) for i, b in enumerate(backends, 1)}


class Event:
    def __init__(self, level, name, fields, line):
        self.level, self.name, self.fields, self.line = level, name, fields, line

    def __getattr__(self, key):
        return self.fields.get(key)

    def __repr__(self):
        return self.line


def parse_event(line):
    match = EVENT.match(line)
    if not match:
        return None
    fields = {}
    for name, value in FIELD.findall(match[3]):
        fields[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
    return Event(match[1], match[2], fields, line)


# Puts descriptors at 3, 4, … and becomes the daemon, as systemd does (sd_listen_fds(3)).
PASS_SOCKETS = """import fcntl, os, sys
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 200) for fd in sys.argv[1].split(",")]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.environ["LISTEN_FDS"] = str(len(high))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Daemon:
    """`weir run` on a configuration (dict, or YAML text); the context of a test and, at its end, the check of its end."""

    live = []  # those of the current test or class, for the report of a failure

    def __init__(self, configuration, *, access_log=True, ready=True, nofile=None, timeout=30.0, environment=None, inherit=(), files=None,
                 program=None, arguments=()):
        self.directory = tempfile.mkdtemp(prefix="weir-test-")
        self.path = os.path.join(self.directory, "weir.yaml")
        self.log_path = os.path.join(self.directory, "access.log")
        self.socket_path = os.path.join(self.directory, "admin.sock")
        self.access_log_on = access_log
        for name, text in (files or {}).items():  # beside the configuration
            with open(os.path.join(self.directory, name), "w") as file:
                file.write(text)
        self.write(configuration)
        command = [program or binary(), "run", self.path, *arguments]
        if nofile:
            command = ["prlimit", f"--nofile={nofile}:{nofile}"] + command
        fds = [s.fileno() for s in inherit]
        if fds:
            command = [sys.executable, "-c", PASS_SOCKETS, ",".join(map(str, fds))] + command
        env = dict(os.environ, **(environment or {}))
        env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:exitcode=99")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1:exitcode=99")
        env.setdefault("TSAN_OPTIONS", "exitcode=99:second_deadlock_stack=1")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env, pass_fds=fds)
        self.pid = self.process.pid
        self.stderr, self.stdout, self.events = [], [], []
        self.condition = threading.Condition()
        self.reading = threading.Event()  # cleared: what the daemon says stays where it is
        self.reading.set()
        self.readers = [threading.Thread(target=self._read, args=(self.process.stderr, self.stderr), daemon=True),
                        threading.Thread(target=self._read, args=(self.process.stdout, self.stdout), daemon=True)]
        for reader in self.readers:
            reader.start()
        self.expect_code = 0
        self.expect_stopped = True
        self.ignored_report = None  # a line with this text is no sanitizer report
        Daemon.live.append(self)
        if ready:
            self.wait_event("ready", timeout=timeout)

    def write(self, configuration):
        """Puts a configuration in the place of the file, at once (rename)."""
        if not isinstance(configuration, str):
            if self.access_log_on:
                configuration = {"log": {"access": self.log_path, "format": "json"}, **configuration}
            # Not the default: daemons of other tests, or of the machine, may have that.
            configuration = {**configuration, "admin": {"socket": self.socket_path, **configuration.get("admin", {})}}
            configuration = json.dumps(configuration, indent=1)
        with open(self.path + ".new", "w") as file:
            file.write(configuration)
        os.rename(self.path + ".new", self.path)

    def _read(self, stream, lines):
        for raw in iter(stream.readline, b""):
            self.reading.wait()
            line = raw.decode("utf-8", "replace").rstrip("\n")
            with self.condition:
                lines.append(line)
                if stream is self.process.stderr and (event := parse_event(line)):
                    self.events.append(event)
                self.condition.notify_all()
        with self.condition:
            self.condition.notify_all()

    # -- events
    def wait_event(self, name, timeout=30.0, since=0, **fields):
        """The first event of that name and those fields, from index `since` of self.events on."""
        def found():
            for event in self.events[since:]:
                if event.name == name and all(event.fields.get(k) == v for k, v in fields.items()):
                    return event
            return None
        until = time.monotonic() + timeout
        with self.condition:
            while True:
                if event := found():
                    return event
                if self.process.poll() is not None and not any(r.is_alive() for r in self.readers):
                    raise AssertionError(f"the daemon ended with {self.process.returncode} before event {name} {fields}\n{self.logs()}")
                if time.monotonic() > until:
                    raise AssertionError(f"no event {name} {fields}\n{self.logs()}")
                self.condition.wait(0.1)

    def marker(self):
        """The number of events so far, for wait_event(since=…)."""
        with self.condition:
            return len(self.events)

    def addresses(self, listener="web"):
        with self.condition:
            return [e.address for e in self.events if e.name == "listening" and e.listener == listener]

    def address(self, listener="web"):
        found = self.addresses(listener)
        if not found:
            raise AssertionError(f"no address of listener {listener}\n{self.logs()}")
        return found[-1]

    def logs(self):
        with self.condition:
            text = [f"--- stderr of pid {self.pid}"] + self.stderr[-200:]
            if self.stdout:
                text += ["--- stdout"] + self.stdout[-50:]
        if os.path.exists(self.log_path):
            with open(self.log_path, errors="replace") as file:
                text += ["--- access log (last 20)"] + file.read().splitlines()[-20:]
        return "\n".join(text)

    # -- traffic and what it shows
    def client(self, listener="web", **more):
        return Client(self.address(listener), **more)

    def fetch(self, target="/", method="GET", headers=(), body=None, listener="web", **more):
        return fetch(self.address(listener), method, target, headers, body, **more)

    def get(self, target="/", headers=(), **more):
        return self.fetch(target, "GET", headers, **more)

    def admin(self, target, method="GET", headers=(), **more):
        address = self.address("admin")
        more.setdefault("host", address)
        return fetch(address, method, target, headers, **more)

    def command(self, *arguments, **more):
        """`weir ARGUMENTS…` over its admin socket: exit code, stdout, stderr."""
        return run_command(*arguments, "--admin", self.socket_path, **more)

    def metrics(self):
        answer = self.admin("/metrics")
        assert answer.status == 200, answer
        return parse_metrics(answer.text)

    def errors(self, cause):
        """How many requests ended with that cause."""
        return self.metrics().sum("weir_request_errors_total", cause=cause)

    def backend(self, name, pool="app"):
        """What /api/v1/pools says of a backend."""
        found = next(p for p in self.pools()["pools"] if p["name"] == pool)
        return next(b for b in found["backends"] if b["name"] == name)

    def pools(self):
        answer = self.admin("/api/v1/pools")
        assert answer.status == 200, answer
        return json.loads(answer.text)

    def access_log(self):
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path, encoding="utf-8") as file:
            text = file.read()
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_log(self, predicate, timeout=20.0):
        """The first access-log record that fits."""
        return wait_until(lambda: next((r for r in self.access_log() if predicate(r)), None), timeout,
                          f"access-log record\n{self.logs()}")

    # -- the process
    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, configuration=None, ok=True, timeout=30.0):
        """SIGHUP, and the event that answers it."""
        if configuration is not None:
            self.write(configuration)
        since = self.marker()
        self.signal(signal.SIGHUP)
        return self.wait_event("reloaded" if ok else "reload_failed", timeout, since)

    def wait_exit(self, timeout=40.0):
        """The exit code, once it has ended by itself."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s\n{self.logs()}") from None
        for reader in self.readers:
            reader.join(5)
        return code

    def rss(self):
        """Resident bytes."""
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self):
        """kill -9: the end is not checked."""
        self.process.kill()
        self.process.wait()
        self.expect_stopped = False

    def stop(self):
        """SIGTERM twice, which means now, and the check of its end; called once by the test's cleanup."""
        try:
            if self.process.poll() is None:
                since = self.marker()
                self.signal(signal.SIGTERM)
                try:
                    self.wait_event("draining", since=0 if any(e.name == "draining" for e in self.events) else since)
                finally:
                    self.signal(signal.SIGTERM)
                    try:
                        self.process.wait(30)
                    except subprocess.TimeoutExpired:
                        self.process.send_signal(signal.SIGABRT)
                        self.process.wait()
                        raise AssertionError(f"did not end after two SIGTERM\n{self.logs()}") from None
            for reader in self.readers:
                reader.join(5)
            report = next((line for line in self.stderr if SANITIZER.search(line) and not (self.ignored_report and self.ignored_report in line)), None)
            if report:
                raise AssertionError(f"sanitizer report: {report}\n" + "\n".join(self.stderr[-200:]))
            if self.expect_stopped and self.process.returncode != self.expect_code:
                raise AssertionError(f"exit code {self.process.returncode}, expected {self.expect_code}\n{self.logs()}")
        finally:
            self.process.stdout.close()
            self.process.stderr.close()
            shutil.rmtree(self.directory, ignore_errors=True)


def run_command(*arguments, timeout=30.0, text=None, directory=None, environment=None):
    """`weir ARGUMENTS…` to its end: exit code, stdout, stderr."""
    done = subprocess.run([binary(), *arguments], capture_output=True, timeout=timeout, cwd=directory, input=text, text=True,
                          env=dict(os.environ, **(environment or {})))
    return done.returncode, done.stdout, done.stderr
