"""Limits of a pool: exact over all workers, a queue behind them, and a clear answer when that is full or takes too long."""
import threading
import time

from harness import WeirTest, config, load, request, response, wait_until


class Held:
    """An origin's reply that holds each request until released."""

    def __init__(self):
        self.go = threading.Semaphore(0)

    def __call__(self, message, connection):
        self.go.acquire(timeout=60)
        return response(200, b"ok")


class Inflight(WeirTest):
    timeout = 120

    def test_never_one_more_than_64_over_four_workers(self):
        def reply(message, connection):
            time.sleep(0.002)
            return response(200, b"ok")
        origins = [self.origin(reply, record=False) for _ in range(2)]
        lock, now, peak = threading.Lock(), [0], [0]
        inner = reply
        def counted(message, connection):
            with lock:
                now[0] += 1
                peak[0] = max(peak[0], now[0])
            try:
                return inner(message, connection)
            finally:
                with lock:
                    now[0] -= 1
        for origin in origins:
            origin.reply = counted
        daemon = self.weir(config(origins, pool={"limits": {"inflight": 64, "queue": 1000, "queue_timeout": "60s"}}, workers=4))
        running = load(daemon.address(), clients=100)
        wait_until(lambda: running.done > 3000 or running.errors, 90)
        running.stop()
        self.assert_no_errors(running.errors)
        self.assertLessEqual(peak[0], 64)
        self.assertGreaterEqual(peak[0], 30, "the limit was never near: the test shows nothing")

    def test_exactly_64_are_let_in(self):
        held = Held()
        origin = self.origin(held, record=False)
        daemon = self.weir(config([origin], pool={"limits": {"inflight": 64, "queue": 100, "queue_timeout": "60s"}}, workers=4))
        clients = [self.client(daemon) for _ in range(90)]
        for client in clients:
            client.send(request())
        wait_until(lambda: origin.count() >= 64)
        wait_until(lambda: daemon.metrics().sum("weir_pool_waiting") == 26)
        self.assertEqual((origin.count(), daemon.metrics().sum("weir_pool_inflight")), (64, 64))
        for _ in range(90):
            held.go.release()
        for client in clients:
            self.assertEqual(client.read().status, 200)
        self.assertLessEqual(origin.max_inflight, 64)
        wait_until(lambda: daemon.metrics().sum("weir_pool_inflight") == 0)
        self.assertEqual(daemon.metrics().sum("weir_pool_queued_total"), 26)

    def test_per_backend(self):
        held = Held()
        origins = [self.origin(held, record=False) for _ in range(2)]
        daemon = self.weir(config(origins, pool={"limits": {"per_backend": 3, "queue": 100, "queue_timeout": "60s"}}, workers=4))
        clients = [self.client(daemon) for _ in range(10)]
        for client in clients:
            client.send(request())
        wait_until(lambda: sum(o.count() for o in origins) == 6)
        time.sleep(0.3)
        self.assertEqual([o.count() for o in origins], [3, 3])
        for _ in range(10):
            held.go.release()
        for client in clients:
            self.assertEqual(client.read().status, 200)
        self.assertEqual([o.max_inflight for o in origins], [3, 3])


class Queue(WeirTest):
    def full(self, limits, workers=2):
        """A pool whose places are all taken."""
        held = Held()
        origin = self.origin(held)
        self.addCleanup(lambda: [held.go.release() for _ in range(50)])
        daemon = self.weir(config([origin], pool={"limits": limits}, workers=workers))
        first = [self.client(daemon) for _ in range(limits["inflight"])]
        for client in first:
            client.send(request("GET", "/first"))
        wait_until(lambda: origin.count() == limits["inflight"])
        return daemon, origin, held, first

    def assert_refused(self, daemon, answer, cause):
        self.assertEqual(answer.status, 503)
        self.assertRegex(answer.header("retry-after"), r"\A[0-9]+\Z")
        self.assertIn("connection_limit_reached", answer.header("proxy-status"))
        daemon.wait_log(lambda r: r["cause"] == cause and r["status"] == 503)
        self.assertEqual(daemon.errors(cause), 1)

    def test_no_queue(self):
        daemon, origin, held, first = self.full({"inflight": 2, "queue": 0})
        self.assert_refused(daemon, daemon.get("/second"), "pool_limit")
        self.assertNotIn("/second", origin.targets())

    def test_full_queue(self):
        daemon, origin, held, first = self.full({"inflight": 1, "queue": 2, "queue_timeout": "60s"})
        waiting = [self.client(daemon) for _ in range(2)]
        for client in waiting:
            client.send(request("GET", "/waiting"))
        wait_until(lambda: daemon.metrics().sum("weir_pool_waiting") == 2)
        self.assert_refused(daemon, daemon.get("/third"), "queue_full")
        for _ in range(3):
            held.go.release()
        for client in first + waiting:
            self.assertEqual(client.read().status, 200)

    def test_queue_time_out(self):
        daemon, origin, held, first = self.full({"inflight": 1, "queue": 10, "queue_timeout": "300ms"})
        self.assert_refused(daemon, daemon.get("/late"), "queue_timeout")
        self.assertNotIn("/late", origin.targets())

    def test_first_come_first_served(self):
        daemon, origin, held, first = self.full({"inflight": 1, "queue": 10, "queue_timeout": "60s"}, workers=4)
        waiting = []
        for i in range(6):
            client = self.client(daemon)
            client.send(request("GET", f"/w{i}"))
            wait_until(lambda: daemon.metrics().sum("weir_pool_waiting") == i + 1)
            waiting.append(client)
        for _ in range(7):
            held.go.release()
        for client in first + waiting:
            self.assertEqual(client.read().status, 200)
        self.assertEqual(origin.targets()[1:], [f"/w{i}" for i in range(6)])

    def test_client_that_leaves_the_queue(self):
        daemon, origin, held, first = self.full({"inflight": 1, "queue": 10, "queue_timeout": "60s"})
        leaving = self.client(daemon)
        leaving.send(request("GET", "/left"))
        wait_until(lambda: daemon.metrics().sum("weir_pool_waiting") == 1)
        leaving.reset()
        wait_until(lambda: daemon.metrics().sum("weir_pool_waiting") == 0, what="the place in the queue given back")
        held.go.release()
        self.assertEqual(first[0].read().status, 200)
        held.go.release()
        self.assertEqual(daemon.get("/next").status, 200)
        self.assertNotIn("/left", origin.targets())

    def test_places_come_back_after_every_kind_of_end(self):
        def reply(message, connection):
            kind = message.target
            if kind == "/reset":
                connection.reset()
                return None
            if kind == "/cut":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
                return None
            if kind == "/garbage":
                connection.send(b"garbage\r\n\r\n")
                return None
            if kind == "/stall":
                connection.stall(20)
                return None
            return response(200, b"ok")
        origin = self.origin(reply)
        daemon = self.weir(config([origin], workers=2, pool={
            "limits": {"inflight": 2, "per_backend": 2, "queue": 0}, "retry": {"attempts": 0}, "timeout": {"response": "200ms"}, "eject": {"enabled": False}}))
        for kind in ("/reset", "/cut", "/garbage", "/stall", "/fine") * 3:
            with daemon.client() as client:
                client.send(request("GET", kind))
                client.read_to_end() if kind == "/cut" else client.read()
        for _ in range(4):
            client = self.client(daemon)
            client.send(request("GET", "/stall"))
            client.reset()
        wait_until(lambda: daemon.metrics().sum("weir_pool_inflight") == 0 and daemon.metrics().sum("weir_backend_inflight") == 0)
        self.assertEqual(daemon.get("/fine").status, 200)
        self.assertEqual(daemon.metrics().sum("weir_pool_retries_inflight"), 0)

    def test_one_pool_does_not_sink_another(self):
        held = Held()
        self.addCleanup(lambda: [held.go.release() for _ in range(50)])
        sick, well = self.origin(held), self.origin()
        daemon = self.weir(config(pools={"sick": {"backends": {"b": sick.url}, "limits": {"inflight": 2, "queue": 0}}, "well": {"backends": {"b": well.url}}},
                                  routes=[{"match": {"path": "/sick*"}, "pool": "sick"}, {"pool": "well"}]))
        for _ in range(2):
            self.client(daemon).send(request("GET", "/sick"))
        wait_until(lambda: sick.count() == 2)
        self.assertEqual(daemon.get("/sick").status, 503)
        for _ in range(20):
            self.assertEqual(daemon.get("/well").status, 200)


class Turns(WeirTest):
    """Who waits gets what comes free, in turn, and at once."""
    timeout = 120

    def waiting(self, daemon, count):
        wait_until(lambda: daemon.metrics().sum("weir_pool_waiting") == count, what=f"{count} in the queue")

    def test_first_come_first_served_before_a_full_backend(self):
        order, held = [], Held()
        def reply(message, connection):
            order.append(message.target)
            return held(message, connection)
        origin = self.origin(reply)
        daemon = self.weir(config([origin], workers=2, pool={"limits": {"per_backend": 1, "queue": 100, "queue_timeout": "60s"}}))
        clients = [self.client(daemon) for _ in range(20)]
        for number, client in enumerate(clients):
            client.send(request(target=f"/{number}"))
            if number == 0:
                wait_until(lambda: origin.count() == 1)
            self.waiting(daemon, number)
        for _ in clients:
            held.go.release()
        for client in clients:
            self.assertEqual(client.read().status, 200)
        self.assertEqual(order, [f"/{number}" for number in range(20)])
        self.waiting(daemon, 0)
        wait_until(lambda: daemon.metrics().sum("weir_pool_inflight") == 0)

    def test_nobody_waits_longer_than_his_turn(self):
        def reply(message, connection):
            time.sleep(0.005)
            return response(200, b"ok")
        origin = self.origin(reply, record=False)
        daemon = self.weir(config([origin], workers=2, pool={"limits": {"per_backend": 1, "queue": 100, "queue_timeout": "20s"}}))
        running = load(daemon.address(), clients=20)
        wait_until(lambda: running.done > 1500 or running.errors, 90)
        running.stop()
        self.assert_no_errors(running.errors)
        self.assertEqual((daemon.metrics().sum("weir_pool_waiting"), daemon.metrics().sum("weir_pool_inflight")), (0, 0))

    def test_a_limit_that_is_raised_lets_those_in_who_wait(self):
        held = Held()
        origin = self.origin(lambda m, c: held(m, c) if m.target == "/slow" else response(200, b"ok"))
        def limited(most):
            return config([origin], pool={"limits": {"inflight": most, "queue": 10, "queue_timeout": "60s"}})
        daemon = self.weir(limited(1))
        slow, quick = self.client(daemon), self.client(daemon)
        slow.send(request(target="/slow"))
        wait_until(lambda: origin.count() == 1)
        quick.send(request(target="/quick"))
        self.waiting(daemon, 1)
        daemon.reload(limited(100))
        self.assertEqual(quick.read().status, 200)
        self.assertEqual(daemon.get("/later").status, 200)
        held.go.release()
        self.assertEqual(slow.read().status, 200)

    def test_a_backend_that_comes_back_takes_those_who_wait(self):
        held = Held()
        busy = self.origin(lambda m, c: held(m, c) if m.target == "/slow" else response(200, b"busy"))
        back = self.origin(lambda m, c: response(200, b"back"), start=False)
        daemon = self.weir(config([busy, back], pool={
            "limits": {"per_backend": 1, "queue": 5, "queue_timeout": "60s"},
            "health": {"type": "tcp", "interval": "100ms", "timeout": "100ms", "fall": 1, "rise": 1}}))
        daemon.wait_event("backend_down")
        slow, other = self.client(daemon), self.client(daemon)
        slow.send(request(target="/slow"))
        wait_until(lambda: "/slow" in busy.targets())
        other.send(request(target="/other"))
        self.waiting(daemon, 1)
        back.start()
        self.assertEqual(other.read().body, b"back")
        held.go.release()
        self.assertEqual(slow.read().status, 200)

    def test_a_retry_that_waits_for_a_backend_is_passed_over_by_those_who_can_go_on(self):
        held = Held()
        def reply(message, connection):
            return held(message, connection) if message.target == "/slow" else response(200, b"second")
        second = self.origin(reply)
        first = self.origin(lambda m, c: response(503, b"no") if m.target == "/retried" else response(200, b"first"))
        daemon = self.weir(config({"first": {"url": first.url, "weight": 1000}, "second": second.url}, pool={
            "limits": {"per_backend": 1, "queue": 5, "queue_timeout": "60s"}, "retry": {"when": ["connect"]}, "eject": False}))
        slow = self.client(daemon)
        for _ in range(4000):  # until the one of small weight has its turn
            if second.count():
                break
            daemon.get("/turn")
        slow.send(request(target="/slow"))
        wait_until(lambda: "/slow" in second.targets() or "/slow" in first.targets())
        for _ in range(5):
            self.assertEqual(daemon.get("/go-on").status, 200)
        held.go.release()
        self.assertEqual(slow.read().status, 200)
