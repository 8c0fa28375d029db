#!/usr/bin/env python3
"""Runs the integration tests: every test_*.py beside this file, two modules at a time, each in a process of its own.

    tests/integration/run.py [--binary build/test/weir] [-k PATTERN] [-v] [-j 2] [MODULE…]
"""
import argparse
import fnmatch
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


class TimedOut(BaseException):
    """Not an Exception, so that no test swallows it."""


class Recorder(unittest.TestResult):
    """Writes one JSON line a finished test to `out`; ends a test that takes longer than its `timeout`."""

    def __init__(self, out):
        super().__init__()
        self.out, self.began, self.test = out, 0.0, None
        signal.signal(signal.SIGALRM, self._alarm)

    def _alarm(self, *_):
        raise TimedOut(f"{self.test} took longer than {getattr(self.test, 'timeout', 60)} s")

    def startTest(self, test):
        super().startTest(test)
        from daemon import Daemon
        Daemon.live[:] = [d for d in Daemon.live if d.process.poll() is None]
        self.began, self.test, self.outcome, self.detail = time.monotonic(), test, "ok", ""
        signal.setitimer(signal.ITIMER_REAL, getattr(test, "timeout", 60), 1)  # again, should a sub-test swallow it

    def stopTest(self, test):
        signal.setitimer(signal.ITIMER_REAL, 0)
        super().stopTest(test)
        self._write(test.id(), self.outcome, self.detail, time.monotonic() - self.began)

    def _write(self, name, outcome, detail, seconds):
        self.out.write(json.dumps({"test": name, "outcome": outcome, "detail": detail, "seconds": seconds}) + "\n")
        self.out.flush()

    def _fail(self, test, error):
        from daemon import Daemon
        # Not through traceback objects of the test: the logs of the daemons say more than frames do.
        text = "".join(traceback.format_exception(*error))
        for daemon in Daemon.live[-3:]:
            logs = daemon.logs()
            if logs not in text:
                text += "\n" + logs
        if self.test is None or test is not self.test and not hasattr(test, "_testMethodName"):
            self._write(str(test), "failed", text, 0.0)  # setUpClass and its kin
        elif isinstance(test, unittest.case._SubTest):
            self.outcome, self.detail = "failed", self.detail + f"\n[{test._subDescription()}]\n{text}"
        else:
            self.outcome, self.detail = "failed", self.detail + text

    def addError(self, test, err):
        super().addError(test, err)
        self._fail(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._fail(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.outcome = "failed"
            self.detail += f"\n[{subtest._subDescription()}]\n" + "".join(traceback.format_exception(*err))[-3000:]

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.outcome, self.detail = "skipped", reason


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def run_module(name, pattern, out_path):
    """The child: one module, its results as JSON lines."""
    sys.path.insert(0, HERE)
    sys.setswitchinterval(0.001)
    with open(out_path, "w") as out:
        recorder = Recorder(out)
        suite = unittest.defaultTestLoader.loadTestsFromName(name)
        tests = [t for t in flatten(suite) if not pattern or fnmatch.fnmatch(t.id(), pattern) or pattern in t.id()]
        try:
            unittest.TestSuite(tests).run(recorder)
        except TimedOut as error:
            recorder._write(str(recorder.test.id()), "failed", f"{error}\n{traceback.format_exc()}", 0.0)
    sys.stdout.flush()
    os._exit(0)  # threads of origins may still be waiting


def read_results(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def run_in_child(module, options, results, lock):
    began = time.monotonic()
    with tempfile.NamedTemporaryFile(prefix="weir-results-") as file:
        command = [sys.executable, os.path.abspath(__file__), "--child", module, "--out", file.name]
        if options.pattern:
            command += ["-k", options.pattern]
        environment = dict(os.environ, WEIR_BIN=options.binary, PYTHONDONTWRITEBYTECODE="1")
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        try:
            output, _ = child.communicate(timeout=options.module_timeout)
            ended = child.returncode
        except subprocess.TimeoutExpired:
            child.kill()
            output, ended = child.communicate()[0], "time-out"
        found = read_results(file.name)
    if ended != 0:
        text = output.decode("utf-8", "replace")[-4000:]
        found.append({"test": f"{module} (module)", "outcome": "failed", "detail": f"the module's process ended with {ended}\n{text}", "seconds": 0})
    with lock:
        results += found
        failed = sum(r["outcome"] == "failed" for r in found)
        if found:
            print(f"{module}: {len(found)} tests, {failed} failed, {time.monotonic() - began:.1f} s", flush=True)
        for result in found:
            if options.verbose:
                print(f"  {result['outcome']:7} {result['seconds']:6.2f} s  {result['test']}", flush=True)
            if result["outcome"] == "failed":
                print(f"FAILED {result['test']} ({result['seconds']:.2f} s)\n{indent(result['detail'])}", flush=True)


def indent(text):
    return "\n".join("    " + line for line in text.strip().splitlines())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="names of modules; default: all")
    parser.add_argument("-k", dest="pattern", help="only tests whose name contains or matches this")
    parser.add_argument("-v", dest="verbose", action="store_true")
    parser.add_argument("-j", dest="jobs", type=int, default=2, help="modules at a time")
    parser.add_argument("--binary", default=os.environ.get("WEIR_BIN", os.path.join(os.path.dirname(os.path.dirname(HERE)), "build", "test", "weir")))
    parser.add_argument("--module-timeout", type=float, default=600.0)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_module(options.child, options.pattern, options.out)

    options.binary = os.path.abspath(options.binary)
    if not os.access(options.binary, os.X_OK):
        sys.exit(f"integration: no daemon at {options.binary}; build it, or name it with --binary")
    modules = sorted((os.path.basename(p)[:-3] for p in glob.glob(os.path.join(HERE, "test_*.py"))),
                     key=lambda m: -os.path.getsize(os.path.join(HERE, m + ".py")))
    if options.modules:
        wanted = [os.path.basename(m).removesuffix(".py") for m in options.modules]
        modules = [m for m in modules if m in wanted or m.removeprefix("test_") in wanted]
    queue, results, lock = list(modules), [], threading.Lock()
    began = time.monotonic()

    def work():
        while True:
            with lock:
                if not queue:
                    return
                module = queue.pop(0)
            run_in_child(module, options, results, lock)

    threads = [threading.Thread(target=work) for _ in range(max(1, options.jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = [r for r in results if r["outcome"] == "failed"]
    if failed:
        print("\nfailed:")
        for result in failed:
            print(f"  {result['test']} ({result['seconds']:.2f} s)")
    skipped = [r for r in results if r["outcome"] == "skipped"]
    for result in skipped:
        print(f"skipped: {result['test']}: {result['detail']}")
    passed = sum(r["outcome"] == "ok" for r in results)
    print(f"integration: {passed} passed, {len(failed)} failed" + (f", {len(skipped)} skipped" if skipped else "") + f" ({time.monotonic() - began:.0f} s)")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
