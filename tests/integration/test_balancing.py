"""Each algorithm spreads as its name says, through the whole daemon and over several workers."""
import threading
import time

from harness import Client, WeirTest, config, request, response, wait_until


def named(name):
    return lambda message, connection: response(200, name.encode())


class Spread(WeirTest):
    timeout = 120

    def start(self, count, balance=None, weights=None, workers=1, **pool):
        self.origins = [self.origin(named(f"b{i}"), record=False) for i in range(1, count + 1)]
        backends = {f"b{i}": {"url": o.url, "weight": (weights or [1] * count)[i - 1]} for i, o in enumerate(self.origins, 1)}
        if balance:
            pool["balance"] = balance
        return self.weir(config(pools={"app": {"backends": backends, **pool}}, workers=workers))

    def ask(self, daemon, number, headers=(), target="/", clients=1):
        """How often each backend answered `number` requests, sent pipelined in batches over `clients` connections."""
        counts, lock = {}, threading.Lock()

        def run():
            with daemon.client() as client:
                left = number // clients
                while left:
                    batch = min(left, 50)
                    client.send(request("GET", target, headers) * batch)
                    for _ in range(batch):
                        answer = client.read()
                        assert answer.status == 200, answer
                        with lock:
                            counts[answer.text] = counts.get(answer.text, 0) + 1
                    left -= batch
        errors = []

        def guarded():
            try:
                run()
            except BaseException as error:
                errors.append(error)
        threads = [threading.Thread(target=guarded, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
        if errors:
            raise errors[0]
        return counts

    def test_round_robin_in_order(self):
        daemon = self.start(3, "round_robin")
        with daemon.client() as client:
            row = [client.get("/").text for _ in range(9)]
        self.assertEqual(row[:3] * 3, row)
        self.assertEqual(len(set(row)), 3)

    def test_round_robin_is_the_default(self):
        daemon = self.start(2)
        self.assertEqual(self.ask(daemon, 20), {"b1": 10, "b2": 10})

    def test_round_robin_weights_are_smooth(self):
        daemon = self.start(3, "round_robin", [5, 1, 1])
        with daemon.client() as client:
            row = [client.get("/").text for _ in range(70)]
        for i in range(0, 70 - 7):  # in any seven in a row
            window = row[i:i + 7]
            self.assertEqual((window.count("b1"), window.count("b2"), window.count("b3")), (5, 1, 1))
            self.assertNotIn("b1b1b1b1b1", "".join(window), "not smooth")

    def test_round_robin_over_four_workers(self):
        """Within 2 % over 10,000 requests, whatever workers the connections fall to."""
        daemon = self.start(4, "round_robin", workers=4)
        counts = self.ask(daemon, 10_000, clients=16)
        self.assertEqual(sum(counts.values()), 10_000)
        for name, count in counts.items():
            self.assertLessEqual(abs(count - 2500), 50, counts)

    def test_round_robin_weights_over_four_workers(self):
        daemon = self.start(3, "round_robin", [3, 2, 1], workers=4)
        counts = self.ask(daemon, 6000, clients=12)
        for name, expected in (("b1", 3000), ("b2", 2000), ("b3", 1000)):
            self.assertLessEqual(abs(counts[name] - expected), 60, counts)

    def test_random(self):
        daemon = self.start(3, "random", [2, 1, 1])
        counts = self.ask(daemon, 2000)
        self.assertTrue(820 < counts["b1"] < 1180, counts)
        self.assertTrue(350 < counts["b2"] < 650, counts)

    def test_weight_zero_takes_nothing(self):
        daemon = self.start(3, "round_robin", [1, 0, 1])
        self.assertEqual(self.ask(daemon, 40), {"b1": 20, "b3": 20})

    def test_every_algorithm_serves(self):
        for name in ("round_robin", "least_connections", "power_of_two", "latency", "random", {"consistent_hash": "client"}):
            with self.subTest(name=name):
                daemon = self.start(3, name, workers=2)
                counts = self.ask(daemon, 600, clients=6)
                self.assertEqual(sum(counts.values()), 600)
                if not isinstance(name, dict) and name != "latency":
                    self.assertEqual(len(counts), 3, counts)

    def busy(self, balance, workers):
        """Backend b1 holds its requests: who else gets the next ones?"""
        release = threading.Event()
        def hold(message, connection):
            if message.target == "/hold":
                release.wait(40)
            return response(200, b"ok")
        origins = [self.origin(hold, record=False) for _ in range(3)]
        daemon = self.weir(config(origins, pool={"balance": balance}, workers=workers))
        clients = [self.client(daemon) for _ in range(12)]
        for client in clients:
            client.send(request("GET", "/hold"))
        wait_until(lambda: sum(o.count() for o in origins) == 12)
        held = [o.count() for o in origins]
        release.set()
        for client in clients:
            self.assertEqual(client.read().status, 200)
        return held

    def test_least_connections_levels_the_load(self):
        for workers in (1, 4):
            with self.subTest(workers=workers):
                held = self.busy("least_connections", workers)
                if workers == 1:
                    self.assertEqual(held, [4, 4, 4])
                self.assertLessEqual(max(held) - min(held), 2, held)

    def test_least_connections_avoids_the_busy(self):
        release = threading.Event()
        slow = self.origin(lambda m, c: (release.wait(40), response(200, b"slow"))[1], record=False)
        fast = self.origin(named("fast"), record=False)
        daemon = self.weir(config([slow, fast], pool={"balance": "least_connections"}))
        waiting = [self.client(daemon) for _ in range(4)]
        for client in waiting:
            client.send(request())
        wait_until(lambda: slow.count() >= 1)
        time.sleep(0.3)  # let the others be answered by the fast one
        before = slow.count()
        counts = {}
        with daemon.client() as client:
            for _ in range(20):
                text = client.get("/").text
                counts[text] = counts.get(text, 0) + 1
        self.assertEqual((counts, slow.count()), ({"fast": 20}, before))
        release.set()

    def test_power_of_two_prefers_the_idle(self):
        held = self.busy("power_of_two", 1)
        self.assertLessEqual(max(held), 8, held)

    def test_latency_prefers_the_quick(self):
        def slow(message, connection):
            time.sleep(0.05)
            return response(200, b"slow")
        origins = [self.origin(slow, record=False), self.origin(named("quick"), record=False)]
        daemon = self.weir(config(origins, pool={"balance": "latency"}))
        with daemon.client() as client:
            row = [client.get("/").text for _ in range(100)]
        self.assertGreater(row.count("quick"), 70, row)


class Hashing(WeirTest):
    def start(self, key, count=5, workers=2, keys=None, **more):
        origins = [self.origin(named(f"b{i}"), record=False) for i in range(1, count + 1)]
        top = {"keys": keys} if keys else {}
        return self.weir(config(origins, pool={"balance": {"consistent_hash": key, **more}}, workers=workers, **top)), origins

    def assert_sticks(self, daemon, make, values=40):
        """The same key goes to the same backend on every connection; the keys spread over the backends."""
        places = {}
        for _ in range(3):
            with daemon.client() as client:
                for value in range(values):
                    target, headers = make(value)
                    text = client.get(target, headers).text
                    self.assertEqual(places.setdefault(value, text), text)
        self.assertGreaterEqual(len(set(places.values())), 4, places)
        return places

    def test_header(self):
        daemon, _ = self.start("tenant", keys={"tenant": {"header": "X-Tenant"}})
        self.assert_sticks(daemon, lambda v: ("/", {"X-Tenant": f"t{v}"}))

    def test_cookie(self):
        daemon, _ = self.start("session", keys={"session": {"cookie": "PHPSESSID"}})
        self.assert_sticks(daemon, lambda v: ("/", {"Cookie": f"other=x{v % 3}; PHPSESSID=s{v}; last=1"}))

    def test_path(self):
        daemon, _ = self.start("path")
        self.assert_sticks(daemon, lambda v: (f"/thumbs/{v}.png?q={time.monotonic()}", ()))

    def test_query(self):
        daemon, _ = self.start("user", keys={"user": {"query": "user"}})
        self.assert_sticks(daemon, lambda v: (f"/any{time.monotonic()}?a=b&user=u{v}", ()))

    def test_client(self):
        daemon, _ = self.start("client")
        seen = set()
        for _ in range(10):
            seen.add(daemon.get("/").text)
        self.assertEqual(len(seen), 1)
        places = {}
        for i in range(1, 30):
            with Client(daemon.address(), source=f"127.0.0.{i}") as client:
                places[i] = client.get("/").text
        self.assertGreaterEqual(len(set(places.values())), 3)

    def test_request_without_the_key_spreads(self):
        daemon, _ = self.start("tenant", keys={"tenant": {"header": "X-Tenant"}})
        with daemon.client() as client:
            self.assertGreaterEqual(len({client.get("/").text for _ in range(60)}), 4)

    def test_removing_a_backend_moves_only_its_keys(self):
        daemon, origins = self.start("path", workers=1)
        make = lambda v: (f"/{v}", ())
        before = self.assert_sticks(daemon, make, 100)
        backends = {f"b{i}": o.url for i, o in enumerate(origins, 1) if i != 3}
        daemon.reload(config(backends, pool={"balance": {"consistent_hash": "path"}}, workers=1))
        after = self.assert_sticks(daemon, make, 100)
        for value, place in before.items():
            if place != "b3":
                self.assertEqual(after[value], place, "a key of another backend moved")

    def test_order_in_the_file_does_not_matter(self):
        daemon, origins = self.start("path", workers=1)
        make = lambda v: (f"/{v}", ())
        before = self.assert_sticks(daemon, make, 60)
        backends = {f"b{i}": o.url for i, o in reversed(list(enumerate(origins, 1)))}
        daemon.reload(config(backends, pool={"balance": {"consistent_hash": "path"}}, workers=1))
        self.assertEqual(self.assert_sticks(daemon, make, 60), before)

    def test_bounded_load(self):
        """All requests carry one key: what is over the bound spills to others."""
        release = threading.Event()
        origins = [self.origin(lambda m, c: (release.wait(40), response(200, b"ok"))[1], record=False) for _ in range(4)]
        daemon = self.weir(config(origins, pool={"balance": {"consistent_hash": "path", "bound": "150%", "bound_floor": 2}}, workers=2))
        clients = [self.client(daemon) for _ in range(16)]
        for client in clients:
            client.send(request("GET", "/same"))
        wait_until(lambda: sum(o.count() for o in origins) == 16)
        self.assertLessEqual(max(o.count() for o in origins), 7, [o.count() for o in origins])
        self.assertGreater(daemon.metrics().sum("weir_pool_spilled_total"), 0)
        release.set()
        for client in clients:
            self.assertEqual(client.read().status, 200)
