#!/usr/bin/env python3
"""What a second client feels of one that resets its streams of HTTP/2 and comes again as fast as it can (CVE-2023-44487), and what is left of it.

    tests/integration/http2_flood.py [--binary build/release/weir] [--seconds 10] [--waits] [--realtime]

One worker on a processor of its own, one request after another, a connection kept; the attacker sends 2,000 HEADERS, each with its RST_STREAM, in one go, and
hangs up with a reset (--waits: when it was told to go). --realtime: whatever else the machine does, it doesn't do it to the daemon, its backend and the second
client (root).
"""
import argparse
import os
import socket
import struct
import subprocess
import sys
import time

import http2
from client import Client
from daemon import Daemon, binary, config, parse_event

STREAMS = 2000


def attack(address, seconds, waits):
    packed, block = http2.Http2Client.packed, http2.Http2Client.literal(http2.Http2Client.fields(path="/hello"))
    cancel = struct.pack("!I", http2.CANCEL)
    flood = http2.PREFACE + packed(http2.SETTINGS) + b"".join(
        packed(http2.HEADERS, 5, i, block) + packed(http2.RST_STREAM, 0, i, cancel) for i in range(1, 2 * STREAMS, 2))
    host, _, port = address.rpartition(":")
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        with socket.create_connection((host, int(port))) as sock:
            try:
                sock.sendall(flood)
                while waits and sock.recv(65536):
                    pass
            except OSError:
                pass
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        count += 1
    print(count)


def ask(address, seconds):
    """Milliseconds of each request, sorted."""
    took, end = [], time.monotonic() + seconds
    with Client(address) as client:
        while time.monotonic() < end:
            began = time.perf_counter()
            client.get("/hello")
            took.append((time.perf_counter() - began) * 1e3)
            time.sleep(0.002)
    return sorted(took)


def share(sorted_values, part):
    return sorted_values[min(int(len(sorted_values) * part), len(sorted_values) - 1)]


def pin(pid, cpus, priority):
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), cpus)
        if priority:
            os.sched_setscheduler(int(task), os.SCHED_FIFO, os.sched_param(priority))


def measure(daemon, seconds, waits, prepare=None):
    """`prepare` runs when the attacker has been started. (quiet, beside the flood, connections of the attacker, growth in bytes)"""
    ask(daemon.address(), 0.5)
    quiet, before = ask(daemon.address(), seconds), daemon.rss()
    attacker = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--attack", daemon.address(), "--seconds", str(seconds), *["--waits"] * waits],
                                stdout=subprocess.PIPE, text=True)
    if prepare:
        prepare(attacker.pid)
    time.sleep(min(0.5, seconds / 4))
    beside = ask(daemon.address(), max(seconds - 1, seconds / 2))
    connections = int(attacker.communicate(timeout=60)[0])
    return quiet, beside, connections, daemon.rss() - before


def start():
    """A daemon, its backend's process, and what ends both."""
    backend = subprocess.Popen([binary(), "demo-backend", "--bind", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    address = parse_event(backend.stderr.readline()).address
    daemon = Daemon(config(pools={"app": {"health": False, "backends": {"a": "http://" + address}}}), access_log=False)

    def stop():
        daemon.stop()
        backend.terminate()
        backend.communicate(timeout=10)
    return daemon, backend, stop


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--binary", default="build/release/weir")
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--waits", action="store_true")
    options.add_argument("--realtime", action="store_true")
    options.add_argument("--attack")
    given = options.parse_args()
    if given.attack:
        return attack(given.attack, given.seconds, given.waits)
    os.environ["WEIR_BIN"] = os.path.abspath(given.binary)
    daemon, backend, stop = start()
    try:
        first, *others = sorted(os.sched_getaffinity(0))
        others = set(others) or {first}
        pin(daemon.pid, {first}, 5 * given.realtime)
        pin(backend.pid, others, 8 * given.realtime)
        pin(os.getpid(), others, 10 * given.realtime)

        def prepare(attacker):
            os.sched_setscheduler(attacker, os.SCHED_OTHER, os.sched_param(0))
        quiet, beside, connections, growth = measure(daemon, given.seconds, given.waits, prepare)
        for name, took in (("quiet", quiet), ("beside the flood", beside)):
            print(f"{name}: {len(took)} requests, p50 {share(took, 0.5):.2f} ms, p99 {share(took, 0.99):.2f} ms, longest {took[-1]:.1f} ms")
        print(f"attacker: {connections} connections; the daemon grew by {growth / 2**20:.1f} MiB")
        metrics = daemon.metrics()
        print(f"streams decoded {metrics.sum('weir_http2_streams_total'):.0f}, connections {metrics.sum('weir_http2_connections_total'):.0f}, "
              f"floods {metrics.sum('weir_http2_floods_total'):.0f}")
    finally:
        stop()


if __name__ == "__main__":
    main()
