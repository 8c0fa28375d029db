"""HAProxy and nginx beside the daemon: the blocks of the manual, completed to whole configurations, checked and run.

What a block may leave out is the same on both sides, and is added here: a listener on port 80, everything to `app`, and its
backend 10.0.0.1:8080.
"""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BACKEND = re.compile(r"\b10\.0\.\d+\.\d+:\d+\b")
THEIRS = {"haproxy": shutil.which("haproxy") or "/usr/sbin/haproxy", "nginx": shutil.which("nginx") or "/usr/sbin/nginx"}


class Block:
    def __init__(self, page, line, language, pair, text):
        self.page, self.line, self.language, self.pair, self.text = page, line, language, pair, text

    def __repr__(self):
        return f"{self.page}:{self.line}"


def blocks(page):
    """The fenced blocks of a page of docs/, each with the `<!-- pair: NAME -->` that it and the block before or behind it have."""
    with open(os.path.join(ROOT, "docs", page), encoding="utf-8") as file:
        lines = file.read().splitlines()
    found, pair, language, text, begin = [], None, None, [], 0
    for number, line in enumerate(lines, 1):
        if language is not None:
            if line == "```":
                found.append(Block(page, begin, language, pair, "\n".join(text) + "\n"))
                pair = None if language == "yaml" else pair
                language = None
            else:
                text.append(line)
        elif line.startswith("```"):
            language, text, begin = line[3:], [], number + 1
        elif line.startswith("#"):
            pair = None
        elif mark := re.match(r"<!-- pair: ([\w-]+) -->", line):
            pair = mark[1]
    return found


def pairs(page):
    """Name → (their block, our block)."""
    found = {}
    for block in blocks(page):
        if block.pair:
            theirs, ours = found.get(block.pair, (None, None))
            if block.language in THEIRS:
                theirs = block
            elif block.language == "yaml":
                ours = block
            found[block.pair] = (theirs, ours)
    return found


def has(text, beginning):
    return re.search(rf"^{beginning}", text, re.M) is not None


STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"  # Debian ships it apart


def weir_text(text):
    if "mode: tcp" in text:
        return text
    if has(text, "pools:") and "backends:" not in text:
        text += '    backends: { a: "http://10.0.0.1:8080" }\n'
    if not has(text, "pools:"):
        text += 'pools: { app: { backends: { a: "http://10.0.0.1:8080" } } }\n'
    if not has(text, "listeners:"):
        text += 'listeners: { web: { bind: ":80" } }\n'
    if not has(text, "routes:"):
        text += "routes: [ { pool: app } ]\n"
    return text


def haproxy_text(text):
    if not has(text, "defaults"):
        text = "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n" + text
    if not has(text, "(frontend|listen) "):
        text += "frontend web\n  bind :80\n  default_backend app\n"
    if re.search(r"_backend app\b", text) and not has(text, "backend app"):
        text += "backend app\n  server a 10.0.0.1:8080\n"
    return text


def nginx_text(text, folder):
    if "http://app" in text and not has(text, "upstream app "):
        text += "upstream app { server 10.0.0.1:8080; }\n"
    elif has(text, "upstream app ") and not has(text, "server "):
        text += "server { listen 80; location / { proxy_pass http://app; } }\n"
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;\n" if os.geteuid() == 0 else ""
    if has(text, "stream {"):
        module = f"load_module {STREAM};\n" if os.path.exists(STREAM) else ""
        return f"{module}{user}daemon off;\npid {folder}/nginx.pid;\nerror_log stderr error;\nworker_processes 1;\nevents {{ worker_connections 256; }}\n{text}"
    log = "" if "access_log" in text else "access_log off;\n"
    return (f"{user}daemon off;\npid {folder}/nginx.pid;\nerror_log stderr error;\nworker_processes 1;\nevents {{ worker_connections 256; }}\n"
            f"http {{\n{temporary}{log}{text}}}\n")


class Folder:
    """A folder of its own for the files that configurations name."""

    def __init__(self, files=()):
        self.path = tempfile.mkdtemp(prefix="weir-peer-")
        for name, content in dict(files).items():
            with open(os.path.join(self.path, name), "w") as file:
                file.write(content)

    def localized(self, text):
        return re.sub(r"/(?:etc|run|var/log|var/run)/(?:haproxy|nginx|weir)/", self.path + "/", text)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


class Peer:
    """HAProxy or nginx in the foreground. Its sockets are opened here and handed over, so no port can be lost to another program."""

    def __init__(self, kind, text, backends, folder):
        self.sockets = {}
        environment = dict(os.environ)
        text = haproxy_text(text) if kind == "haproxy" else nginx_text(text, folder.path)
        text = folder.localized(BACKEND.sub(lambda m: backends[m[0]], text))
        if kind == "haproxy":
            text = "global\n  nbthread 1\n" + re.sub(r"(?m)^(\s+bind) :(\d+)", lambda m: f"{m[1]} fd@{self._socket(m[2]).fileno()}", text)
        else:
            text = re.sub(r"\blisten (\d+)", lambda m: "listen 127.0.0.1:%d" % self._socket(m[1]).getsockname()[1], text)
            environment["NGINX"] = "".join(f"{s.fileno()};" for s in self.sockets.values())
        self.text = text
        path = os.path.join(folder.path, kind + ".cfg")
        with open(path, "w") as file:
            file.write(text)
        command = [THEIRS[kind], "-db", "-q", "-f", path] if kind == "haproxy" else [THEIRS[kind], "-p", folder.path, "-c", path]
        self.errors = open(os.path.join(folder.path, "stderr"), "w+")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors, env=environment,
                                        pass_fds=[s.fileno() for s in self.sockets.values()])

    def _socket(self, port):
        if port not in self.sockets:
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            sock.listen(128)
            self.sockets[port] = sock
        return self.sockets[port]

    def address(self, port=None):
        return "127.0.0.1:%d" % (self.sockets[port] if port else next(iter(self.sockets.values()))).getsockname()[1]

    def said(self):
        self.errors.flush()
        with open(self.errors.name) as file:
            return f"{self.text}\n--- it said (code {self.process.poll()})\n{file.read()}"

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for sock in self.sockets.values():
            sock.close()
        self.errors.close()


def check(block, folder):
    """What `haproxy -c` or `nginx -t` has against a block; empty if nothing. Warnings count."""
    path = os.path.join(folder.path, block.language + ".cfg")
    text = folder.localized(block.text)
    if block.language == "haproxy":
        text, command = haproxy_text(text), [THEIRS["haproxy"], "-c", "-dW", "-f", path]
    else:
        # It opens what it would listen on: unix sockets need no port.
        text = re.sub(r"\blisten (\d+)", lambda m: f"listen unix:{folder.path}/{m[1]}.sock", nginx_text(text, folder.path))
        command = [THEIRS["nginx"], "-t", "-q", "-p", folder.path, "-c", path]
    with open(path, "w") as file:
        file.write(text)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    for name in re.findall(r"\blisten unix:(\S+\.sock)", text):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    return "" if done.returncode == 0 and "warn" not in said else f"{block}: {said}\n{text}"
