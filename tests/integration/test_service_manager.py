"""What the daemon tells its service manager (sd_notify(3)): ready, reloading, stopping, a sign of life."""
import os
import signal
import socket
import tempfile
import time

from harness import WeirTest, config, echo, run_command


class Manager:
    """The socket that NOTIFY_SOCKET names."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(30)
        self.name = "@" + address[1:] if address.startswith("\0") else address

    def next(self):
        message = self.socket.recv(4096).decode()
        return dict(line.split("=", 1) for line in message.split("\n"))

    def wait(self, key):
        """The next message with that key; signs of life between are passed over."""
        while True:
            message = self.next()
            if key in message:
                return message
            assert message == {"WATCHDOG": "1"}, message

    def waiting(self):
        """What is there now."""
        self.socket.setblocking(False)
        found = []
        try:
            while True:
                found.append(self.next())
        except BlockingIOError:
            return found
        finally:
            self.socket.settimeout(30)


class ServiceManager(WeirTest):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="weir-manager-")
        self.addCleanup(self.folder.cleanup)
        self.manager = self.listen(os.path.join(self.folder.name, "notify"))
        self.backend = self.origin(echo)

    def listen(self, address):
        manager = Manager(address)
        self.addCleanup(manager.socket.close)
        return manager

    def start(self, manager=None, environment=None, **more):
        return self.weir(config([self.backend], workers=2, **more), environment={"NOTIFY_SOCKET": (manager or self.manager).name, **(environment or {})})

    def test_the_life_of_a_service(self):
        daemon = self.start(drain_delay="1s", drain_timeout="20s")
        message = self.manager.next()
        self.assertEqual(message["READY"], "1")
        self.assertIn("generation 1", message["STATUS"])
        self.assertIn("backends 1", message["STATUS"])
        before = time.monotonic_ns() // 1000
        daemon.reload()
        message = self.manager.next()
        self.assertEqual(message["RELOADING"], "1")
        self.assertTrue(before <= int(message["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000, message)
        message = self.manager.next()
        self.assertEqual(message["READY"], "1")
        self.assertIn("generation 2", message["STATUS"])
        daemon.signal(signal.SIGTERM)
        message = self.manager.next()
        self.assertEqual(message["STOPPING"], "1")
        self.assertGreaterEqual(int(message["EXTEND_TIMEOUT_USEC"]), 21_000_000)
        self.assertEqual(daemon.wait_exit(), 0)
        self.assertEqual(self.manager.waiting(), [])

    def test_ready_means_that_connections_are_taken(self):
        daemon = self.start()
        self.assertEqual(self.manager.next()["READY"], "1")
        self.assertEqual(daemon.get("/").status, 200)

    def test_a_reload_that_fails_is_over_too(self):
        daemon = self.start()
        self.manager.wait("READY")
        daemon.reload("nonsense: [\n", ok=False)
        self.manager.wait("RELOADING")
        message = self.manager.wait("READY")
        self.assertIn("reload failed", message["STATUS"])
        self.assertIn("generation 1", message["STATUS"])

    def test_a_reload_by_command(self):
        daemon = self.start()
        self.manager.wait("READY")
        self.assertEqual(daemon.command("reload", "--dry-run")[0], 0)
        self.assertEqual(self.manager.waiting(), [], "a dry run reloads nothing")
        self.assertEqual(daemon.command("reload")[0], 0)
        self.manager.wait("RELOADING")
        self.assertIn("generation 2", self.manager.wait("READY")["STATUS"])

    def test_a_reload_while_it_drains(self):
        daemon = self.start(drain_delay="20s")
        self.manager.wait("READY")
        daemon.signal(signal.SIGTERM)
        self.manager.wait("STOPPING")
        self.assertEqual(daemon.command("reload")[0], 1)
        self.assertEqual(self.manager.waiting(), [], "it is not ready again")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait_exit(), 0)

    def test_a_start_that_fails_is_never_ready(self):
        taken = self.origin()
        path = os.path.join(self.folder.name, "weir.yaml")
        with open(path, "w") as file:
            file.write(f'listeners: {{ web: {{ bind: "{taken.address}" }} }}\nroutes: [ {{ respond: {{ status: 200 }} }} ]\n')
        os.environ["NOTIFY_SOCKET"] = self.manager.name
        self.addCleanup(os.environ.pop, "NOTIFY_SOCKET")
        self.assertEqual(run_command("run", path)[0], 1)
        self.assertEqual(self.manager.waiting(), [])

    def test_abstract_socket(self):
        manager = self.listen(f"\0weir-test-{os.getpid()}-{id(self)}")
        self.start(manager)
        self.assertEqual(manager.next()["READY"], "1")

    def test_signs_of_life(self):
        daemon = self.start(environment={"WATCHDOG_USEC": "300000"})
        self.manager.wait("READY")
        for _ in range(4):
            self.assertEqual(self.manager.next(), {"WATCHDOG": "1"})
        daemon.signal(signal.SIGTERM)
        self.manager.wait("STOPPING")

    def test_signs_of_life_for_another_process(self):
        daemon = self.start(environment={"WATCHDOG_USEC": "3000", "WATCHDOG_PID": "1"})
        daemon.reload()
        self.assertEqual([sorted(m)[0] for m in self.manager.waiting()[:2]], ["READY", "MONOTONIC_USEC"])

    def test_a_manager_that_is_gone(self):
        self.manager.socket.close()
        os.unlink(self.manager.name)
        daemon = self.start()
        daemon.wait_event("service_manager_unreachable")
        daemon.reload()
        self.assertEqual(daemon.get("/").status, 200)
        self.assertEqual(len([e for e in daemon.events if e.name == "service_manager_unreachable"]), 1)
