"""SIGTERM: what was accepted is served, tunnels get their time, and the exit code is 0."""
import datetime
import signal
import threading
import time

from harness import Client, Incomplete, WeirTest, config, echo, fetch, open_socket, request, response, wait_until
from test_tunnels import UPGRADE, echo_tunnel


def refused(address):
    try:
        open_socket(address, timeout=2).close()
    except OSError:
        return True


class Drain(WeirTest):
    timeout = 90

    def test_idle_daemon_ends(self):
        origin = self.origin()
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.weir(config([origin], workers=2))
            self.assertEqual(daemon.get("/").status, 200)
            daemon.signal(number)
            self.assertEqual(daemon.wait_exit(), 0)

    def test_nobody_to_wait_for(self):
        """Without connections there is nothing to be polite to: the second of grace for idle clients is not spent."""
        origin = self.origin()
        def clock(event):
            return datetime.datetime.fromisoformat(event.line.split()[0].replace("Z", "+00:00"))
        waits = []
        for _ in range(3):
            daemon = self.weir(config([origin], workers=2))
            self.assertEqual(fetch(daemon.address(), headers={"Connection": "close"}).status, 200)
            wait_until(lambda: daemon.metrics().sum("weir_connections_open") == 0)
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait_exit(), 0)
            waits.append(clock(daemon.wait_event("ended")) - clock(daemon.wait_event("draining")))
        self.assertLess(min(waits), datetime.timedelta(seconds=1))

    def test_under_load_no_accepted_request_fails(self):
        """64 keep-alive clients and a connection-per-request load; a refused connection is the only failure allowed."""
        def reply(message, connection):
            time.sleep(0.001)
            return response(200, b"ok" * 50)
        origins = [self.origin(reply, record=False) for _ in range(2)]
        for _ in range(3):
            daemon = self.weir(config(origins, workers=4))
            outcome = Clients(daemon.address())
            wait_until(lambda: outcome.done > 500, 60)
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait_exit(), 0)
            outcome.join()
            self.assert_no_errors(outcome.errors)
            self.assertGreater(outcome.refused, 0)

    def test_answers_say_close(self):
        go = threading.Event()
        origin = self.origin(lambda m, c: (go.wait(30) if m.target == "/wait" else None, response(200, b"ok"))[1])
        daemon = self.weir(config([origin], workers=2))
        busy, idle = self.client(daemon), self.client(daemon)
        busy.send(request("GET", "/wait"))
        self.assertEqual(idle.get("/").status, 200)
        wait_until(lambda: "/wait" in origin.targets())
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("draining")
        wait_until(lambda: refused(daemon.address()), what="the listener closed")
        self.assertEqual(idle.read_to_end(), b"", "an idle connection is closed without a word")
        go.set()
        answer = busy.read()
        self.assertEqual((answer.status, answer.header("connection")), (200, "close"))
        self.assert_closed(busy)
        self.assertEqual(daemon.wait_exit(), 0)

    def test_long_bodies_are_finished(self):
        def reply(message, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(10):
                connection.send(b"x" * 100)
                time.sleep(0.3)
            return b""
        origin = self.origin(reply)
        daemon = self.weir(config([origin]))
        client = self.client(daemon)
        client.send(request())
        client.read(body=False)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(client.read_exactly(1000), b"x" * 1000)
        self.assertEqual(daemon.wait_exit(), 0)

    def test_readiness_falls_at_once_and_accepting_goes_on(self):
        origin = self.origin()
        daemon = self.weir(config([origin], drain_delay="3s"))
        wait_until(lambda: daemon.admin("/-/ready").status == 200)
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("draining")
        self.assertEqual(daemon.admin("/-/ready").status, 503)
        self.assertEqual(daemon.admin("/-/healthy").status, 200)
        self.assertEqual(daemon.get("/").status, 200, "accepting goes on for drain_delay")
        self.assertEqual(daemon.wait_exit(), 0)

    def test_tunnels_live_until_drain_timeout(self):
        origin = self.origin(handler=echo_tunnel)
        daemon = self.weir(config([origin], drain_timeout="3s"))
        client = self.client(daemon)
        client.send(request("GET", "/", UPGRADE))
        self.assertEqual(client.read().status, 101)
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("draining")
        time.sleep(1.5)
        client.send(b"alive")
        self.assertEqual(client.read_exactly(5), b"alive")
        self.assertEqual(client.read_to_end(), b"")
        self.assertEqual(daemon.wait_exit(), 0)

    def test_tunnels_that_end_let_it_end(self):
        origin = self.origin(handler=echo_tunnel)
        daemon = self.weir(config([origin], drain_timeout="600s"))
        client = self.client(daemon)
        client.send(request("GET", "/", UPGRADE))
        self.assertEqual(client.read().status, 101)
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("draining")
        client.close()
        self.assertEqual(daemon.wait_exit(), 0)

    def test_second_signal_ends_now(self):
        origin = self.origin(lambda m, c: c.stall(60) and None)
        daemon = self.weir(config([origin], drain_timeout="600s", workers=2))
        client = self.client(daemon)
        client.send(request())
        wait_until(lambda: origin.count() == 1)
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("draining")
        time.sleep(0.3)
        self.assertIsNone(daemon.process.poll())
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait_exit(), 0)

    def test_uploads_in_flight_are_finished(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin]))
        client = self.client(daemon)
        client.send(request("POST", "/", {"Content-Length": "10"}) + b"12345")
        wait_until(lambda: origin.connections and origin.connections[0].received)
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("draining")
        time.sleep(0.5)
        client.send(b"67890")
        answer = client.read("POST")
        self.assertEqual((answer.status, answer.body[-10:]), (200, b"1234567890"))
        self.assertEqual(daemon.wait_exit(), 0)

    def test_queued_requests_are_served(self):
        go = threading.Event()
        origin = self.origin(lambda m, c: (go.wait(30), response(200, b"ok"))[1])
        daemon = self.weir(config([origin], workers=2, pool={"limits": {"inflight": 1, "queue": 10, "queue_timeout": "60s"}}))
        clients = [self.client(daemon) for _ in range(4)]
        for client in clients:
            client.send(request())
        wait_until(lambda: daemon.metrics().sum("weir_pool_waiting") == 3)
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("draining")
        time.sleep(0.2)
        go.set()
        for client in clients:
            self.assertEqual(client.read().status, 200)
        self.assertEqual(daemon.wait_exit(), 0)

    def test_the_log_is_written_to_the_end(self):
        origin = self.origin()
        daemon = self.weir(config([origin], workers=2))
        with daemon.client() as client:
            for i in range(300):
                client.get(f"/{i}")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait_exit(), 0)
        self.assertEqual(len(daemon.access_log()), 300)


class Clients:
    """64 keep-alive clients and 8 that connect for each request, until their connection is refused."""

    def __init__(self, address):
        self.address, self.errors, self.done, self.refused = address, [], 0, 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.kept, daemon=True) for _ in range(64)]
        self.threads += [threading.Thread(target=self.fresh, daemon=True) for _ in range(8)]
        for thread in self.threads:
            thread.start()

    def connect(self):
        try:
            return Client(self.address)
        except OSError:
            with self.lock:
                self.refused += 1
            return None

    def ask(self, client):
        """True if the connection may be used again."""
        answer = client.get("/")
        if answer.status != 200:
            raise AssertionError(f"status {answer.status}")
        with self.lock:
            self.done += 1
        return answer.keep_alive()

    def kept(self):
        while client := self.connect():
            try:
                used = 0
                while self.ask(client):
                    used += 1
                    time.sleep(0.005)
            except (Incomplete, OSError, AssertionError) as error:
                # A keep-alive connection may be closed while it is idle, also just as its next request is on its way; clients
                # repeat that one (RFC 9112 section 9.3.1). But the idle time here is far below the second of grace.
                with self.lock:
                    self.errors.append(f"keep-alive, after {used}: {type(error).__name__} {error}")
            client.close()

    def fresh(self):
        while client := self.connect():
            try:
                self.ask(client)
            except (Incomplete, OSError, AssertionError) as error:
                with self.lock:
                    self.errors.append(f"fresh: {type(error).__name__} {error}")
            client.close()

    def join(self):
        for thread in self.threads:
            thread.join(30)
