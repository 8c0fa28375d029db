"""What a test looks at: metrics in the Prometheus text format, and waiting for a state instead of sleeping."""
import os
import re
import time

SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def wait_until(predicate, timeout=30.0, what="the expected state", interval=0.02):
    """The first true value of predicate(); AssertionError after a generous time-out."""
    until = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(interval)


def open_files(pid):
    """What the descriptors of a process name ("/a/file", "socket:[7]"); those that close meanwhile are left out."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass
    return found


class Metrics:
    def __init__(self, samples):
        self.samples = samples  # (name, labels, value)

    def sum(self, name, **labels):
        """The sum over all samples of that name that carry those labels; 0 if there is none."""
        return sum(v for n, l, v in self.samples if n == name and all(l.get(k) == w for k, w in labels.items()))

    def has(self, name, **labels):
        return any(n == name and all(l.get(k) == w for k, w in labels.items()) for n, l, _ in self.samples)

    def names(self):
        return sorted({n for n, _, _ in self.samples})


def parse_metrics(text):
    samples = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        if not match:
            raise AssertionError(f"not a sample: {line!r}")
        labels = {k: re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], v) for k, v in LABEL.findall(match[2] or "")}
        samples.append((match[1], labels, float(match[3])))
    return Metrics(samples)
