"""The blocks of the pages that begin with "To try it": each runs as it stands, and prints what its comments say after an arrow."""
import glob
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import WeirTest, binary

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BLOCK = re.compile(r"^To try it.*?\n\n?```sh\n(.*?)^```$", re.M | re.S)
PORT = re.compile(r"((?:127\.0\.0\.1|localhost):)(\d{4,5})\b")
LISTENS = re.compile(r"(?:(?:-b|--bind) |bind: \")127\.0\.0\.1:(\d+)")
PAGES = """admin affinity balancing command-line dashboard discovery health http2-backends logging metrics retries routing tcp tls tracing""".split()

# `sleep` first waits until all that the block has started listens: 1 s may be too short on a machine that is busy.
PREAMBLE = r"""set -eo pipefail
trap 'kill $(jobs -p) 2> /dev/null' EXIT
sleep() {
  for port in %s; do
    for _ in $(seq 600); do (exec 3<> /dev/tcp/127.0.0.1/$port) 2> /dev/null && break; command sleep 0.05; done
  done
  command sleep "$1"
}
"""


def blocks():
    for path in sorted(glob.glob(os.path.join(ROOT, "docs", "*.md"))):
        with open(path) as file:
            for block in BLOCK.findall(file.read()):
                yield os.path.basename(path)[:-3], block


def free_ports(count):
    """Not those that the kernel gives to clients: who waits for one of these to be listened at could get connected to itself."""
    ports = []
    while len(ports) < count:
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", random.randint(15000, 32000)))
            except OSError:
                continue
            if (port := attempt.getsockname()[1]) not in ports:
                ports.append(port)
    return ports


class TryIt(WeirTest):
    timeout = 120

    def test_pages_have_one(self):
        self.assertEqual(sorted({page for page, _ in blocks()}), PAGES)

    def run_block(self, page, block):
        """All that it printed, once everything that it had started has ended."""
        with tempfile.TemporaryDirectory(prefix="weir-try-") as folder:
            os.mkdir(os.path.join(folder, "bin"))
            os.symlink(binary(), os.path.join(folder, "bin", "weir"))
            for name in re.findall(r"packaging/examples/\S+", block):
                os.makedirs(os.path.join(folder, os.path.dirname(name)), exist_ok=True)
                with open(os.path.join(ROOT, name)) as file:
                    block += f"# {name}\n{file.read()}"
            script, _, examples = block.partition("# packaging/")
            used = sorted({number for _, number in PORT.findall(block)})
            ports = dict(zip(used, map(str, free_ports(len(used)))))

            def moved(text):
                text = PORT.sub(lambda match: match[1] + ports[match[2]], text)
                return text.replace("/tmp/weir.sock", os.path.join(folder, "weir.sock"))
            if examples:
                name, _, text = examples.partition("\n")
                with open(os.path.join(folder, "packaging", name), "w") as file:
                    file.write(moved(text))
            # Nothing of this machine: not its daemon's socket, not what is in its home.
            script = re.sub(r"^END\n", "admin: { socket: off }\nEND\n", moved(script), flags=re.M) if "admin:" not in script else moved(script)
            script = PREAMBLE % " ".join(LISTENS.findall(script)) + script
            environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": folder, "XDG_STATE_HOME": f"{folder}/.local/state"}
            shell = subprocess.Popen(["bash", "-c", script], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     stdin=subprocess.DEVNULL, text=True, start_new_session=True)
            try:
                out, _ = shell.communicate(timeout=100)
            except subprocess.TimeoutExpired:
                os.killpg(shell.pid, signal.SIGKILL)
                self.fail(f"docs/{page}.md: the block doesn't end; it said:\n{shell.communicate()[0]}")
            self.assertEqual(shell.returncode, 0, f"docs/{page}.md: it said:\n{out}")
            for wanted in re.findall(r"# → ([^;\n]+)", moved(block)):
                self.assertIn(wanted, out, f"docs/{page}.md: the block doesn't print what it says")


def add_test(page, block):
    def test(self):
        if not shutil.which("curl"):
            self.skipTest("no curl here")
        self.run_block(page, block)
    setattr(TryIt, f"test_{page.replace('-', '_')}", test)


for each in blocks():
    add_test(*each)
