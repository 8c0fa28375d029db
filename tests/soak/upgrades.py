#!/usr/bin/env python3
"""Reloads and upgrades under load: no request may fail, and nothing may grow.

    tests/soak/upgrades.py --binary build/release/weir [--upgrades 50] [--reloads 200] [--requests 1000000]

Two wrk (connections that are kept, and one for each request) and a few strict clients ask all the time, while the configuration is reloaded and the
program is upgraded, evenly spread over --seconds, or longer until there were enough requests. One upgrade in the middle starts a program that crashes. Ends with 1
if a request failed, a process was left over, or memory or descriptors grew by more than 5 %.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))


class Wrk:
    def __init__(self, name, address, connections, seconds, header=None):
        self.name = name
        self.output = tempfile.TemporaryFile("w+")
        command = ["wrk", "-t", "1", "-c", str(connections), "-d", str(seconds), "--timeout", "10s"] + (["-H", header] if header else [])
        self.process = subprocess.Popen(command + [f"http://{address}/"], stdout=self.output, text=True)

    def end(self):
        """Requests and failures; SIGINT has wrk print what it has."""
        if self.process.poll() is None:
            self.process.send_signal(2)
        self.process.wait(60)
        self.output.seek(0)
        text = self.output.read()
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        if bad or sockets:
            print(f"upgrades: {self.name}: {[m.group(0) for m in (bad, sockets) if m]}")
        return int(re.search(r"(\d+) requests in", text)[1]), (int(bad[1]) if bad else 0) + (sum(map(int, sockets.groups())) if sockets else 0)


def demo_backends(binary, count):
    """Their process, and their addresses."""
    process = subprocess.Popen([binary, "demo-backend"] + ["--bind", "127.0.0.1:0"] * count, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    addresses = []
    while len(addresses) < count:
        line = process.stdout.readline()
        if not line:
            raise SystemExit("upgrades: the demo backend ended")
        addresses += re.findall(r"127\.0\.0\.1:[1-9]\d*", line)
    return process, addresses


class Run:
    def __init__(self, options):
        from harness import config, load
        from upgradable import Upgradable
        self.options, self.load = options, load
        self.backends, self.addresses = demo_backends(options.binary, 2)
        self.config = config
        self.variant = 0
        self.daemon = Upgradable(self.shape(), access_log=False)
        self.memory, self.descriptors, self.most_processes, self.failures = [], [], 1, []

    def shape(self):
        self.variant += 1
        routes = [{"pool": "app"}]
        if self.variant % 2:
            routes.insert(0, {"match": {"path": f"/variant/{self.variant}"}, "respond": {"status": 200, "body": "v"}})
        backends = {f"b{i}": {"url": f"http://{a}", "weight": 1 + (self.variant + i) % 3} for i, a in enumerate(self.addresses)}
        return self.config(backends, workers=2, routes=routes, pool={"health": {"type": "tcp", "interval": "1s"}})

    def upgrade(self, crashes):
        if not crashes:
            self.daemon.upgrade()
            return
        pid = self.daemon.pid
        self.daemon.use_script("exit 3")
        code, message = self.daemon.failed_upgrade()
        self.daemon.use_binary()
        print(f"upgrades: the one that crashes: exit code {code}: {message.splitlines()[0]}", flush=True)
        if code != 1 or self.daemon.running()[-1] != pid:
            self.failures.append("the crash at the start was not reported, or ended the old process")

    def act(self):
        """Reloads and upgrades in turn."""
        o = self.options
        steps = sorted([((i + 0.5) / o.reloads, "reload") for i in range(o.reloads)] + [((i + 1) / o.upgrades, "upgrade") for i in range(o.upgrades)])
        began, upgrades, reloads = time.monotonic(), 0, 0
        for share, what in steps:
            time.sleep(max(0.0, began + share * o.seconds - time.monotonic()))
            if what == "reload":
                self.daemon.write(self.shape())
                code, _, error = self.daemon.command("reload")
                reloads += 1
                if code:
                    self.failures.append("a reload failed: " + error)
                continue
            self.memory.append(self.daemon.rss())
            self.descriptors.append(self.daemon.descriptors())
            self.most_processes = max(self.most_processes, len(self.daemon.running()))
            upgrades += 1
            self.upgrade(upgrades == (o.upgrades + 1) // 2)
            if upgrades % 10 == 0:
                print(f"upgrades: {upgrades}, {reloads} reloads, {time.monotonic() - began:.0f} s, {self.memory[-1] >> 10} KiB", flush=True)
        return began

    def run(self):
        address, o = self.daemon.address(), self.options
        strict = [self.load(address, clients=2, keep_alive=keep) for keep in (True, False)]
        wrks = [Wrk("kept connections", address, 24, 4 * o.seconds + 600), Wrk("new connections", address, 8, 4 * o.seconds + 600, "Connection: close")]
        began = self.act()
        time.sleep(2)  # the last one serves, too
        counts = [wrk.end() for wrk in wrks] + [(each.stop().done, len(each.errors)) for each in strict]
        for error in [error for each in strict for error in each.errors][:5]:
            print("upgrades: strict client: " + error)
        return self.judge(counts, time.monotonic() - began)

    def judge(self, counts, seconds):
        o = self.options
        requests, failed = (sum(column) for column in zip(*counts))
        end = time.monotonic() + 60
        while len(self.daemon.running()) > 1 and time.monotonic() < end:
            time.sleep(0.2)
        left = len(self.daemon.running())
        def growth(samples):
            tenth = max(1, len(samples) // 5)
            early, late = statistics.median(samples[1:1 + tenth]), statistics.median(samples[-tenth:])
            return early, late, late / early
        memory, descriptors = growth(self.memory), growth(self.descriptors)
        print(f"requests: {requests:,} (kept {counts[0][0] + counts[2][0]:,}, new connections {counts[1][0] + counts[3][0]:,}) in {seconds:.0f} s, failed: {failed}; "
              f"reloads: {o.reloads}, upgrades: {o.upgrades}, one of them crashing")
        print(f"RSS of the serving process before an upgrade: {memory[0] / 1024:.0f} -> {memory[1] / 1024:.0f} KiB (x{memory[2]:.3f}), descriptors "
              f"{descriptors[0]:.0f} -> {descriptors[1]:.0f}; processes at most: {self.most_processes}, at the end: {left}")
        if failed:
            self.failures.append("requests failed")
        if requests < o.requests:
            self.failures.append(f"only {requests} requests; give it more --seconds")
        if memory[2] > 1.05:
            self.failures.append("memory grew")
        if descriptors[2] > 1.25:  # connections come and go
            self.failures.append("descriptors grew")
        if left != 1 or self.most_processes > 5:
            self.failures.append("processes piled up")
        for failure in self.failures:
            print("upgrades: FAILED: " + failure)
        return 1 if self.failures else 0

    def end(self):
        try:
            self.daemon.stop()
        finally:
            self.backends.kill()
            self.backends.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--upgrades", type=int, default=50)
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=300)
    options = parser.parse_args()
    options.binary = os.environ["WEIR_BIN"] = os.path.abspath(options.binary)
    run = Run(options)
    try:
        return run.run()
    finally:
        run.end()


if __name__ == "__main__":
    sys.exit(main())
