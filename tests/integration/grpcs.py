"""Real gRPC servers and clients as child processes: Debian's python3 has the module, whichever runs the tests."""
import json
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"


class GrpcProcess:
    def __init__(self, script, *arguments):
        environment = {**os.environ, "GRPC_VERBOSITY": "ERROR"}
        environment.pop("PYTHONPATH", None)
        self.process = subprocess.Popen([PYTHON, os.path.join(HERE, script), *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment)

    def read_line(self):
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"{self.process.args[1]} has ended with {self.process.wait(10)}; it needs Debian's python3-grpcio")
        return line

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        self.process.stdin.close()
        self.process.stdout.close()


class GrpcServer(GrpcProcess):
    def __init__(self, name="one", port=0, certificate=()):
        super().__init__("grpc_server.py", name, port, *certificate)
        self.scheme = "https" if certificate else "http"
        self.port = int(self.read_line())

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"


class GrpcClient(GrpcProcess):
    def __init__(self, address, ca=None):
        super().__init__("grpc_client.py", address, *([ca] if ca else []))

    def call(self, kind="unary", method="Unary", **more):
        self.process.stdin.write(json.dumps({"kind": kind, "method": method, **more}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.read_line())
