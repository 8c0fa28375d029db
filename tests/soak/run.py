#!/usr/bin/env python3
"""The soak: load, backends killed and revived at random, reloads and open WebSockets, for ten minutes.

It passes when no request failed but those whose bytes were with a killed backend, every WebSocket lived on, memory was flat (RSS at the end at
most 1.05 times that after the first fifth) and no descriptor leaked. Prints its figures; the last lines go to docs/reliability.md.

    tests/soak/run.py --binary build/release/weir [--seconds 600] [--reloads 100] [--seed N]

All traffic stays on 127.0.0.1; every process is ended by its pid.
"""
import argparse
import base64
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

BACKENDS = 4
WEBSOCKETS = 50


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Backend:
    """One `weir demo-backend` process, killed and revived on one port."""

    def __init__(self, binary, name):
        self.binary, self.name, self.port, self.process, self.kills = binary, name, free_port(), None, 0

    def start(self):
        self.process = subprocess.Popen([self.binary, "demo-backend", "--bind", f"127.0.0.1:{self.port}", "--name", self.name],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def alive(self):
        return self.process is not None and self.process.poll() is None


class WebSocket:
    """Sends a masked text frame now and then, and reads its echo."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=10)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET /ws HTTP/1.1\r\nHost: soak\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.socket.recv(1)
            if not part:
                raise OSError("closed during the handshake: %r" % head)
            head += part
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise OSError("no 101: %r" % head[:80])

    def echo(self, text):
        payload, mask = text.encode(), os.urandom(4)
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        self.socket.sendall(bytes([0x81, 0x80 | len(payload)]) + mask + masked)
        answer = b""
        while len(answer) < 2 + len(payload):
            part = self.socket.recv(4096)
            if not part:
                raise OSError("closed")
            answer += part
        return answer[2:2 + len(payload)] == payload


def configuration(port, admin, backends, stable, variant):
    """`variant` changes a weight, a time-out and a route: what a reload touches."""
    lines = [f'listeners: {{ web: {{ bind: "127.0.0.1:{port}" }} }}', f'admin: {{ bind: "127.0.0.1:{admin}" }}', "pools:", "  app:",
             "    health: { path: /healthz, interval: 500ms, timeout: 400ms, fall: 2, rise: 1 }", "    backends:"]
    for i, backend in enumerate(backends):
        lines.append(f'      {backend.name}: {{ url: "http://127.0.0.1:{backend.port}", weight: {1 + (variant + i) % 3} }}')
    lines += ["  ws:", f'    backends: {{ w: "http://127.0.0.1:{stable.port}" }}', f"    timeout: {{ response: {30 + variant % 7}s }}",
              "routes:", '  - { match: { path: "/ws" }, pool: ws }']
    if variant % 2:
        lines.append(f'  - {{ match: {{ path: "/variant/{variant}" }}, respond: {{ status: 200, body: "v" }} }}')
    lines.append("  - { pool: app }")
    return "\n".join(lines) + "\n"


class Soak:
    def __init__(self, options):
        self.options, self.random = options, random.Random(options.seed)
        self.backends = [Backend(options.binary, f"b{i}") for i in range(BACKENDS)]
        self.stable = Backend(options.binary, "stable")
        self.port, self.admin = free_port(), free_port()
        self.directory = tempfile.mkdtemp(prefix="weir-soak-")
        self.file = os.path.join(self.directory, "weir.yaml")
        self.stop = threading.Event()
        self.websocket_failures, self.echoes, self.reloads = [], 0, 0
        self.daemon = self.wrk = None

    def write(self, variant):
        with open(self.file + ".new", "w", encoding="utf-8") as out:
            out.write(configuration(self.port, self.admin, self.backends, self.stable, variant))
        os.rename(self.file + ".new", self.file)

    def rss(self):
        with open(f"/proc/{self.daemon.pid}/status", encoding="utf-8") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def causes(self):
        found = {}
        for cause, count in re.findall(r'weir_request_errors_total\{[^}]*cause="([a-z_]+)"[^}]*\} (\d+)', self.metrics()):
            found[cause] = found.get(cause, 0) + int(count)
        return found

    def disturb(self):
        """One backend at a time dies and comes back; the pool always has others."""
        while not self.stop.wait(self.random.uniform(0.5, 3)):
            victim = self.random.choice(self.backends)
            victim.kill()
            if self.stop.wait(self.random.uniform(0.2, 2)):
                break
            victim.start()
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and not self.stop.is_set():
                try:
                    socket.create_connection(("127.0.0.1", victim.port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.05)

    def reload(self):
        every, began = self.options.seconds / (self.options.reloads + 1), time.monotonic()
        for variant in range(1, self.options.reloads + 1):
            if self.stop.wait(max(0.0, began + variant * every - time.monotonic())):
                return
            self.write(variant)
            self.daemon.send_signal(signal.SIGHUP)
            self.reloads += 1

    def talk(self):
        sockets = [WebSocket(("127.0.0.1", self.port)) for _ in range(WEBSOCKETS)]
        while not self.stop.wait(1):
            for number, connection in enumerate(sockets):
                try:
                    if not connection.echo("ping %d" % number):
                        raise OSError("wrong echo")
                    self.echoes += 1
                except OSError as error:
                    self.websocket_failures.append("%d: %s" % (number, error))
                    return
        for connection in sockets:
            connection.socket.close()

    def start(self):
        for backend in self.backends + [self.stable]:
            backend.start()
        self.write(0)
        log = open(os.path.join(self.directory, "weir.log"), "w", encoding="utf-8")
        self.daemon = subprocess.Popen([self.options.binary, "run", self.file], stderr=log, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/-/ready", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("soak: weir is not ready; see " + log.name)

    def run(self):
        self.start()
        workers = [threading.Thread(target=target, daemon=True) for target in (self.disturb, self.reload, self.talk)]
        for worker in workers:
            worker.start()
        self.wrk = subprocess.Popen(["wrk", "-c", "64", "-t", "1", "-d", str(self.options.seconds), "--timeout", "10s",
                                     f"http://127.0.0.1:{self.port}/"], stdout=subprocess.PIPE, text=True)
        early = None
        began = time.monotonic()
        while self.wrk.poll() is None:
            time.sleep(1)
            since = time.monotonic() - began
            if early is None and since > self.options.seconds / 5:
                early = (self.rss(), self.descriptors())
            if int(since) % 30 == 0:
                print("soak: %d s, RSS %d KiB, %d descriptors, %d reloads" % (since, self.rss(), self.descriptors(), self.reloads), flush=True)
        output = self.wrk.stdout.read()
        final_rss = self.rss()
        self.stop.set()
        for worker in workers:
            worker.join(15)
        time.sleep(6)  # connections to backends that are idle are closed after 4 s
        return self.judge(output, early, final_rss)

    def judge(self, output, early, final_rss):
        requests = int(re.search(r"(\d+) requests in", output).group(1))
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
        sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
        failed = (int(bad.group(1)) if bad else 0) + (sum(map(int, sockets.groups())) if sockets else 0)
        causes = self.causes()
        # A request whose bytes were with the killed backend may fail, if it could not be repeated: for GET only within the answer.
        excused = sum(causes.get(cause, 0) for cause in ("upstream_truncated", "upstream_reset", "upstream_closed"))
        idle = self.descriptors()
        kills = sum(backend.kills for backend in self.backends)
        self.daemon.send_signal(signal.SIGTERM)
        code = self.daemon.wait(40)
        print(f"requests: {requests}, failed: {failed} (with a killed backend: {excused}), causes: {causes}")
        for line in output.splitlines():
            if "Socket errors" in line or "Non-2xx" in line:
                print("wrk:" + line)
        print(f"kills: {kills}, reloads: {self.reloads}, WebSocket echoes: {self.echoes}, broken WebSockets: {len(self.websocket_failures)}")
        print(f"RSS after a fifth: {early[0]} KiB, at the end: {final_rss} KiB (x{final_rss / early[0]:.3f}); descriptors then: {early[1]}, "
              f"when idle again: {idle}; exit code: {code}")
        faults = []
        if failed > excused:
            faults.append("requests failed that no killed backend explains")
        if self.websocket_failures:
            faults.append("a WebSocket broke: " + self.websocket_failures[0])
        if final_rss > early[0] * 1.05:
            faults.append("memory grew")
        if idle > early[1]:
            faults.append("descriptors leaked")
        if code != 0:
            faults.append("exit code %s" % code)
        if self.reloads < self.options.reloads:
            faults.append("only %d reloads" % self.reloads)
        for fault in faults:
            print("soak: FAILED: " + fault)
        return 1 if faults else 0

    def end(self):
        self.stop.set()
        for process in [self.daemon, self.wrk] + [backend.process for backend in self.backends + [self.stable]]:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    print("soak: seed %d, %d s" % (options.seed, options.seconds), flush=True)
    soak = Soak(options)
    try:
        return soak.run()
    finally:
        soak.end()


if __name__ == "__main__":
    sys.exit(main())
