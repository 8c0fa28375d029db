"""Rate limits of a route: exact over all workers, by any key, bounded, kept over reloads."""
import threading
import time

from harness import Client, WeirTest, config, request, wait_until


def limited(origin, limit, workers=1, **top):
    return config([origin], workers=workers, routes=[{"name": "limited", "match": {"path": "/limited*"}, "pool": "app", "rate_limit": limit},
                                                     {"name": "rest", "pool": "app"}], **top)


class RateLimit(WeirTest):
    timeout = 120

    def statuses(self, daemon, count, headers=(), target="/limited"):
        with daemon.client() as client:
            return [client.get(target, headers).status for _ in range(count)]

    def hammer(self, daemon, threads, until):
        """Clients that ask on new and on kept connections until `until()`: how many got through, and how many did not."""
        counts, lock, problems = {200: 0, 429: 0}, threading.Lock(), []

        def run():
            try:
                while not until():
                    with Client(daemon.address()) as client:
                        for _ in range(10):
                            status = client.get("/limited").status
                            with lock:
                                counts[status] += 1
            except Exception as error:  # noqa: BLE001 - every kind of failure counts
                problems.append(repr(error))
        running = [threading.Thread(target=run, daemon=True) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(90)
        self.assert_no_errors(problems)
        return counts

    def test_a_full_bucket_exactly_over_four_workers(self):
        origin = self.origin()
        daemon = self.weir(limited(origin, {"key": "client", "rate": "1/h", "burst": 100}, workers=4))
        done = [0]

        def until():
            done[0] += 1
            return done[0] > 60
        counts = self.hammer(daemon, 8, until)
        self.assertEqual(counts[200], 100)
        self.assertGreater(counts[429], 200)
        self.assertEqual(origin.count(), 100, "what is refused reaches no backend")
        wait_until(lambda: daemon.errors("rate_limited") == counts[429])

    def test_never_more_than_burst_and_rate_over_four_workers(self):
        origin = self.origin(record=False)
        daemon = self.weir(limited(origin, {"key": "client", "rate": "200/s", "burst": 50}, workers=4))
        began = time.monotonic()
        counts = self.hammer(daemon, 8, lambda: time.monotonic() - began > 2)
        took = time.monotonic() - began
        self.assertLessEqual(counts[200], 50 + 200 * took)
        self.assertGreaterEqual(counts[200], 50)
        self.assertGreater(counts[429], 0, "the limit was never reached: the test shows nothing")

    def test_the_answer(self):
        daemon = self.weir(limited(self.origin(), {"key": "client", "rate": "1/h", "burst": 1}))
        self.assertEqual(daemon.get("/limited").status, 200)
        answer = daemon.get("/limited")
        self.assertEqual(answer.status, 429)
        self.assertTrue(3500 <= int(answer.header("retry-after")) <= 3600, answer.header("retry-after"))
        self.assertIn("error=http_request_denied", answer.header("proxy-status"))
        self.assertIn("rate_limited", answer.header("proxy-status"))
        self.assertTrue(answer.keep_alive())
        daemon.wait_log(lambda r: r["cause"] == "rate_limited" and r["status"] == 429 and r["route"] == "limited")
        self.assertEqual(daemon.metrics().sum("weir_request_errors_total", route="limited", cause="rate_limited"), 1)
        self.assertEqual(daemon.get("/other").status, 200, "another route")

    def test_after_retry_after_there_is_a_token(self):
        daemon = self.weir(limited(self.origin(), {"key": "client", "rate": "1/s", "burst": 1}))
        with daemon.client() as client:
            for _ in range(3):
                while (answer := client.get("/limited")).status == 200:
                    pass
                self.assertEqual(answer.status, 429)
                time.sleep(int(answer.header("retry-after")))
                self.assertEqual(client.get("/limited").status, 200)

    def test_a_body_that_is_not_wanted(self):
        daemon = self.weir(limited(self.origin(), {"key": "client", "rate": "1/h", "burst": 1}))
        with daemon.client() as client:
            self.assertEqual(client.request("POST", "/limited", body=b"x" * 1000).status, 200)
            client.send(request("POST", "/limited", [("Content-Length", "1000000")]))
            answer = client.read("POST")
            self.assertEqual(answer.status, 429)
            self.assertFalse(answer.keep_alive())

    def test_keys(self):
        for name, key, one, other in (
                ("header", {"header": "X-Api-Key"}, [("X-Api-Key", "a")], [("x-api-key", "b")]),
                ("cookie", {"cookie": "sid"}, [("Cookie", "z=1; sid=a")], [("Cookie", "sid=b")]),
                ("named", "tenant", [("X-Tenant", "a")], [("X-Tenant", "b")]),
                ("client", "client", [("X-Forwarded-For", "192.0.2.1")], [("X-Forwarded-For", "2001:db8::1")])):
            with self.subTest(name):
                daemon = self.weir(limited(self.origin(), {"key": key, "rate": "1/h", "burst": 2}, trusted_proxies=["127.0.0.1"],
                                           keys={"tenant": {"header": "X-Tenant"}} if key == "tenant" else {}))
                self.assertEqual(self.statuses(daemon, 3, one), [200, 200, 429])
                self.assertEqual(self.statuses(daemon, 3, other), [200, 200, 429])

    def test_a_client_cannot_make_up_its_address(self):
        daemon = self.weir(limited(self.origin(), {"key": "client", "rate": "1/h", "burst": 2}))
        self.assertEqual([daemon.get("/limited", [("X-Forwarded-For", f"192.0.2.{i}")]).status for i in range(3)], [200, 200, 429])

    def test_a_clients_address_has_one_bucket_however_it_is_written(self):
        daemon = self.weir(limited(self.origin(), {"key": "client", "rate": "1/h", "burst": 2}, trusted_proxies=["127.0.0.1"]))
        for forms in (("192.0.2.1", "192.0.2.1:5", "::ffff:192.0.2.1"), ("2001:db8::1", "[2001:db8::1]:6", "2001:DB8:0::1"), ("_a", "_b", "unknown")):
            with self.subTest(forms):
                self.assertEqual([daemon.get("/limited", [("X-Forwarded-For", a)]).status for a in forms], [200, 200, 429])

    def test_without_the_key_there_is_one_bucket(self):
        daemon = self.weir(limited(self.origin(), {"key": {"header": "X-Api-Key"}, "rate": "1/h", "burst": 2}))
        self.assertEqual(self.statuses(daemon, 2) + self.statuses(daemon, 1, [("X-Api-Key", "")]), [200, 200, 429])
        self.assertEqual(self.statuses(daemon, 1, [("X-Api-Key", "a")]), [200])

    def test_a_made_up_key_beside_the_real_one(self):
        """Whichever the backend goes by: each of them pays."""
        for name, key, headers, target in (
                ("header", {"header": "X-Api-Key"}, lambda *keys: [("X-Api-Key", k) for k in keys], None),
                ("first_of", {"first_of": [{"header": "X-Api-Key"}, "client"]}, lambda *keys: [("X-Api-Key", k) for k in keys], None),
                ("cookie", {"cookie": "sid"}, lambda *keys: [("Cookie", "; ".join("sid=" + k for k in keys))], None),
                ("cookies", {"cookie": "sid"}, lambda *keys: [("Cookie", "sid=" + k) for k in keys], None),
                ("query", {"query": "k"}, lambda *keys: [], lambda *keys: "/limited?" + "&".join("k=" + k for k in keys))):
            with self.subTest(name):
                daemon = self.weir(limited(self.origin(), {"key": key, "rate": "2/h"}))
                ask = lambda *keys: self.statuses(daemon, 1, headers(*keys), target(*keys) if target else "/limited")[0]  # noqa: E731
                self.assertEqual([ask("r1", "real"), ask("real", "r2"), ask("r3", "real"), ask("", "real"), ask("real")], [200, 200, 429, 429, 429])
                self.assertEqual([ask("other", "other"), ask("other"), ask("other")], [200, 200, 429], "the same one twice counts once")
                self.assertEqual(ask("a", "b", "c", "d"), 200)
                self.assertEqual(ask("a", "b", "c", "d", "e"), 400)
                wait_until(lambda: daemon.errors("bad_request") == 1)

    def test_a_query_has_many_spellings(self):
        daemon = self.weir(limited(self.origin(), {"key": {"query": "k"}, "rate": "2/h"}))
        self.assertEqual([self.statuses(daemon, 1, target="/limited?" + query)[0] for query in ("k=real", "k=re%61l", "%6b=r%65al", "k=real")], [200, 200, 429, 429])

    def test_a_route_that_answers_itself(self):
        daemon = self.weir(config([self.origin()], routes=[
            {"match": {"path": "/fixed"}, "respond": {"status": 200, "body": "ok"}, "rate_limit": {"key": "client", "rate": "1/h"}}, {"pool": "app"}]))
        self.assertEqual(self.statuses(daemon, 2, target="/fixed"), [200, 429])

    def test_the_least_recent_key_makes_room(self):
        daemon = self.weir(limited(self.origin(), {"key": {"header": "X-Key"}, "rate": "1/h", "burst": 1, "max_keys": 2}))
        ask = lambda key: self.statuses(daemon, 1, [("X-Key", key)])[0]  # noqa: E731
        self.assertEqual([ask(k) for k in "ab"], [200, 200])
        self.assertEqual([ask(k) for k in "ab"], [429, 429])
        self.assertEqual(ask("c"), 200)    # a goes
        self.assertEqual(ask("b"), 429)
        self.assertEqual(ask("a"), 200)    # c goes
        self.assertEqual(ask("b"), 429)
        self.assertEqual(daemon.metrics().sum("weir_rate_limit_evictions_total", route="limited", bucket="filling"), 2)
        self.assertFalse(daemon.metrics().has("weir_rate_limit_evictions_total", bucket="full"))

    def test_reload(self):
        origin = self.origin()
        limit = {"key": "client", "rate": "1/h", "burst": 2}
        daemon = self.weir(limited(origin, limit, workers=2))
        self.assertEqual(self.statuses(daemon, 3), [200, 200, 429])
        daemon.reload(limited(origin, limit, workers=2, drain_timeout="5s"))
        self.assertEqual(self.statuses(daemon, 1), [429], "the limit is the same: the bucket stays empty")
        daemon.reload(limited(origin, {**limit, "burst": 3}, workers=2))
        wait_until(lambda: self.statuses(daemon, 4).count(200) == 3, what="a bucket of the new size", interval=1)
        daemon.reload(config([origin], workers=2))
        wait_until(lambda: self.statuses(daemon, 5) == [200] * 5, what="no limit any more")
