"""Another try only where it is safe, on another backend, within a budget and the total time."""
import os
import signal
import threading
import time

from harness import BlackHole, WeirTest, config, echo, load, request, response, wait_until

NO_EJECT = {"enabled": False}


def failing(kind):
    """A connection handler that fails each request in that way after having read it."""
    def handler(connection):
        connection.read_request()
        if kind == "reset":
            connection.reset()
        elif kind == "stall":
            connection.stall(20)
        elif kind == "half":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            connection.reset()
    return handler


class Retries(WeirTest):
    def pair(self, handler, retry=None, start=True, **pool):
        """One bad backend of large weight (so that it is asked first) and a good one."""
        bad = self.origin(handler=handler, start=start) if handler else self.origin(start=start)
        good = self.origin(lambda m, c: response(200, b"good " + m.body))
        pool = {"retry": {"budget": "100%", **(retry or {})}, "eject": NO_EJECT, **pool}
        daemon = self.weir(config({"bad": {"url": bad.url, "weight": 1000}, "good": good.url}, pool=pool))
        return daemon, bad, good

    def test_refused_goes_to_another(self):
        for method, body in (("GET", None), ("POST", b"data")):
            with self.subTest(method=method):
                daemon, bad, good = self.pair(None, start=False)
                for _ in range(5):
                    answer = daemon.fetch("/", method, body=body)
                    self.assertEqual((answer.status, answer.body), (200, b"good " + (body or b"")))
                self.assertGreaterEqual(daemon.metrics().sum("weir_pool_retries_total"), 4)
                daemon.wait_log(lambda r: r["attempts"] == 2 and r["backend"] == "good" and r["cause"] == "none")

    def test_connect_failures_do_not_spend_the_budget(self):
        daemon, bad, good = self.pair(None, {"budget": "0%", "budget_min": 0}, start=False)
        for _ in range(10):
            self.assertEqual(daemon.get("/").status, 200)

    def test_connect_time_out_goes_to_another(self):
        hole = BlackHole()
        self.addCleanup(hole.close)
        good = self.origin()
        daemon = self.weir(config({"bad": {"url": hole.url, "weight": 1000}, "good": good.url}, pool={"timeout": {"connect": "200ms"}}))
        for _ in range(3):
            self.assertEqual(daemon.get("/").status, 200)

    def test_idempotent_after_a_reset(self):
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
            with self.subTest(method=method):
                daemon, bad, good = self.pair(failing("reset"))
                body = b"data" if method == "PUT" else None
                self.assertEqual(daemon.fetch("/", method, body=body).status, 200)
                self.assertEqual((bad.count(), good.count()), (1, 1))

    def test_a_post_is_never_sent_twice(self):
        for kind in ("reset", "close", "half"):
            for method in ("POST", "PATCH"):
                with self.subTest(kind=kind, method=method):
                    daemon, bad, good = self.pair(failing(kind), {"when": ["connect", "reset", "timeout", 503]})
                    with daemon.client() as client:
                        client.send(request(method, "/", body=b"once"))
                        client.read_to_end() if kind == "half" else self.assertEqual(client.read(method).status, 502)
                    self.assertEqual((bad.count(), good.count()), (1, 0))

    def test_a_post_that_times_out_is_not_sent_twice(self):
        daemon, bad, good = self.pair(failing("stall"), {"when": ["connect", "reset", "timeout"]}, timeout={"response": "300ms"})
        self.assertEqual(daemon.fetch("/", "POST", body=b"once").status, 504)
        self.assertEqual((bad.count(), good.count()), (1, 0))

    def test_a_post_answered_with_503_is_not_sent_twice(self):
        bad = self.origin(lambda m, c: response(503, b"busy"))
        good = self.origin()
        daemon = self.weir(config({"bad": {"url": bad.url, "weight": 1000}, "good": good.url}, pool={"retry": {"when": ["connect", "reset", 503]}, "eject": NO_EJECT}))
        answer = daemon.fetch("/", "POST", body=b"once")
        self.assertEqual((answer.status, answer.body, good.count()), (503, b"busy", 0))

    def test_after_the_head_nothing_is_tried_again(self):
        daemon, bad, good = self.pair(failing("half"))
        with daemon.client() as client:
            client.send(request())
            client.read_to_end()
        self.assertEqual(good.count(), 0)

    def test_statuses_only_when_configured(self):
        for when, expected in ((["connect", "reset"], 503), (["connect", "reset", 503], 200)):
            with self.subTest(when=when):
                bad = self.origin(lambda m, c: response(503, b"busy"))
                good = self.origin()
                daemon = self.weir(config({"bad": {"url": bad.url, "weight": 1000}, "good": good.url}, pool={"retry": {"when": when}, "eject": NO_EJECT}))
                self.assertEqual(daemon.get("/").status, expected)

    def test_time_outs_only_when_configured(self):
        daemon, bad, good = self.pair(failing("stall"), timeout={"response": "300ms"})
        self.assertEqual(daemon.get("/").status, 504)
        daemon, bad, good = self.pair(failing("stall"), {"when": ["connect", "reset", "timeout"]}, timeout={"response": "300ms"})
        self.assertEqual(daemon.get("/").status, 200)

    def test_per_try_inside_the_total(self):
        daemon, bad, good = self.pair(failing("stall"), {"when": ["timeout"]}, timeout={"per_try": "300ms", "total": "20s"})
        self.assertEqual(daemon.get("/").status, 200)
        stalls = [self.origin(handler=failing("stall")) for _ in range(3)]
        daemon = self.weir(config(stalls, pool={"retry": {"when": ["timeout"], "budget": "100%"}, "timeout": {"per_try": "30s", "total": "500ms"}}))
        began = time.monotonic()
        self.assertEqual(daemon.get("/").status, 504)
        self.assertLess(time.monotonic() - began, 15)
        daemon.wait_log(lambda r: r["cause"] == "total_timeout")

    def test_every_try_on_another_backend_and_at_most_two(self):
        origins = [self.origin(handler=failing("reset")) for _ in range(5)]
        daemon = self.weir(config(origins, pool={"retry": {"budget": "100%"}, "eject": NO_EJECT}))
        self.assertEqual(daemon.get("/").status, 502)
        self.assertEqual(sorted(o.count() for o in origins), [0, 0, 1, 1, 1])
        self.assertEqual(daemon.wait_log(lambda r: True)["attempts"], 3)

    def test_attempts(self):
        for attempts in (0, 1):
            with self.subTest(attempts=attempts):
                origins = [self.origin(handler=failing("reset")) for _ in range(4)]
                daemon = self.weir(config(origins, pool={"retry": {"attempts": attempts}, "eject": NO_EJECT}))
                self.assertEqual(daemon.get("/").status, 502)
                self.assertEqual(sum(o.count() for o in origins), attempts + 1)

    def test_body_is_replayed_whole(self):
        body = bytes(range(256)) * 40
        daemon, bad, good = self.pair(failing("reset"))
        answer = daemon.fetch("/", "PUT", body=body)
        self.assertEqual((answer.status, answer.body), (200, b"good " + body))

    def test_body_too_large_to_replay(self):
        """What can't be replayed is not tried again, and never arrives cut."""
        daemon, bad, good = self.pair(failing("reset"))
        body = b"x" * 5_000_000
        with daemon.client() as client:
            client.send_all_possible(request("PUT", "/", body=body))
            status = client.read("PUT").status
        if status == 200:
            self.assertEqual(good.requests[0].body, body)
        else:
            self.assertEqual((status, good.count()), (502, 0))


class Budget(WeirTest):
    timeout = 90

    def test_amplification(self):
        """All backends at 503, and 503 in `when`: at most 1.2 × the requests reach them."""
        def busy(message, connection):
            time.sleep(0.01)
            return response(503, b"busy")
        origins = [self.origin(busy, record=False) for _ in range(4)]
        daemon = self.weir(config(origins, workers=2, pool={"retry": {"when": ["connect", "reset", 503]}, "eject": NO_EJECT}))
        running = load(daemon.address(), clients=40, check=lambda a: None if a.status == 503 else "status")
        wait_until(lambda: running.done > 3000, 60)
        running.stop()
        self.assert_no_errors(running.errors)
        asked = sum(o.count() for o in origins)
        self.assertLessEqual(asked / running.done, 1.2, f"{asked} for {running.done}")
        self.assertGreater(asked, running.done, "no retry at all")
        self.assertGreater(daemon.metrics().sum("weir_pool_retry_budget_exhausted_total"), 0)


class KeepAliveRace(WeirTest):
    timeout = 90

    def closing_origin(self, number=1):
        """Answers, then closes the idle connection just as the next request comes on it: reads it and closes without an answer."""
        def handler(connection):
            message = connection.read_request()
            while message is not None:
                if len(connection.requests) > 1 and len(connection.requests) % 2 == 0:
                    connection.requests[-1].dropped = True
                    return  # FIN in place of an answer
                connection.send(echo(message, connection))
                message = connection.read_request()
        return self.origin(handler=handler)

    def test_no_502_on_get(self):
        origin = self.closing_origin()
        daemon = self.weir(config([origin], pool={"eject": NO_EJECT}))
        with daemon.client() as client:
            for i in range(200):
                self.assertEqual(client.get(f"/{i}").status, 200, f"request {i}")
        self.assertGreater(len(origin.connections), 20)

    def test_no_502_on_get_when_reset(self):
        def handler(connection):
            while (message := connection.read_request()) is not None:
                if len(connection.requests) == 2:
                    connection.reset()
                    return
                connection.send(echo(message, connection))
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin], pool={"eject": NO_EJECT}))
        with daemon.client() as client:
            for i in range(200):
                self.assertEqual(client.get(f"/{i}").status, 200, f"request {i}")

    def test_close_right_after_each_answer(self):
        """The FIN races with the next request on the connection that looks idle."""
        def handler(connection):
            message = connection.read_request()
            if message:
                connection.send(echo(message, connection))
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin], workers=2, pool={"eject": NO_EJECT}))
        running = load(daemon.address(), clients=8)
        wait_until(lambda: running.done > 2000 or running.errors, 60)
        running.stop()
        self.assert_no_errors(running.errors)

    def test_posts_use_fresh_connections(self):
        """A connection idle for longer than a second is not risked for a POST."""
        closing = threading.Event()
        def handler(connection):
            while (message := connection.read_request()) is not None:
                if closing.is_set() and len(connection.requests) > 1:
                    return
                connection.send(echo(message, connection))
        origin = self.origin(handler=handler)
        daemon = self.weir(config([origin], pool={"timeout": {"keep_alive": "60s"}, "eject": NO_EJECT}))
        self.assertEqual(daemon.get("/").status, 200)
        time.sleep(1.5)
        closing.set()
        answer = daemon.fetch("/", "POST", body=b"once")
        self.assertEqual(answer.status, 200)
        self.assertEqual(len(origin.connections), 2)

    def test_idle_connections_are_retired_in_time(self):
        origin = self.origin(echo)
        daemon = self.weir(config([origin], pool={"timeout": {"keep_alive": "300ms"}}))
        self.assertEqual(daemon.get("/").status, 200)
        wait_until(lambda: origin.connections[0].closed.is_set(), what="the end of the idle upstream connection")

    def test_keep_alive_of_the_origin_is_honoured(self):
        origin = self.origin(lambda m, c: response(200, b"ok", {"Keep-Alive": "timeout=2, max=100"}))
        daemon = self.weir(config([origin], pool={"timeout": {"keep_alive": "300s"}}))
        self.assertEqual(daemon.get("/").status, 200)
        wait_until(lambda: origin.connections[0].closed.is_set(), what="the end of the idle upstream connection before its origin's time")


class ManyTries(WeirTest):
    def test_never_more_than_attempts_others(self):
        backends = {f"b{i}": self.origin(start=False).url for i in range(20)}
        daemon = self.weir(config(backends, pool={"retry": {"attempts": 10}, "eject": False}))
        self.assertEqual(daemon.get("/").status, 502)
        self.assertEqual(daemon.metrics().sum("weir_pool_retries_total"), 10)
        daemon.wait_log(lambda r: r["attempts"] == 11 and r["cause"] == "connect_refused")

    def test_a_status_is_passed_on_when_the_others_are_full(self):
        go = threading.Event()
        def reply(name):
            def answer(message, connection):
                if message.target == "/hold":
                    go.wait(60)
                    return response(200, b"held")
                return response(503, name)
            return answer
        origins = [self.origin(reply(b"one")), self.origin(reply(b"two"))]
        daemon = self.weir(config(origins, pool={"limits": {"per_backend": 1, "queue_timeout": "60s"}, "retry": {"when": [503], "attempts": 1},
                                                 "eject": False}))
        holding = self.client(daemon)
        holding.send(request(target="/hold"))
        wait_until(lambda: any("/hold" in o.targets() for o in origins))
        answer = daemon.get("/x")
        self.assertEqual((answer.status, answer.body in (b"one", b"two")), (503, True))
        go.set()
        self.assertEqual(holding.read().status, 200)

    def test_the_rest_of_a_body_follows_to_the_next_backend(self):
        """The client's bytes and the first backend's reset arrive in one batch of events."""
        reset, seen = threading.Event(), []
        def handler(connection):
            head = connection.reader.read_head()
            if head is None:
                return
            if not seen:
                seen.append(connection)
                while len(connection.reader.buffer) < 1000:
                    connection.reader.fill()
                reset.wait(60)
                connection.reset()
                return
            while len(connection.reader.buffer) < 3000 and connection.reader.fill():
                pass
            connection.send(response(200, b"%d" % len(connection.reader.buffer)))
        origins = [self.origin(handler=handler), self.origin(handler=handler)]
        daemon = self.weir(config(origins))
        client = self.client(daemon)
        client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n" + b"x" * 1000)
        wait_until(lambda: seen and len(seen[0].reader.buffer) >= 1000)
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            client.send(b"y" * 500)
            reset.set()
            seen[0].closed.wait(30)
        finally:
            os.kill(daemon.pid, signal.SIGCONT)
        client.send(b"z" * 1500)
        answer = client.read("PUT")
        self.assertEqual((answer.status, answer.body), (200, b"3000"))
