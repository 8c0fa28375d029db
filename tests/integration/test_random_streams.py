"""Random but repeatable traffic: every framing, size, split and order together, on both sides; each byte is compared.

A failure prints its seed; WEIR_TEST_SEED=N runs that one again.
"""
import os
import random
import threading
import time

from harness import Client, Incomplete, WeirTest, chunked, config, request, wait_until

SIZES = (0, 0, 1, 2, 100, 1000, 4095, 4096, 4097, 16383, 16384, 16385, 40000, 65536, 70000, 200000)


def body_of(seed, size):
    return random.Random(seed).randbytes(size)


def pieces_of(rng, data):
    """`data` in a few pieces of random length."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 3, 8))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)]) if a < b]


class Plan:
    """What one request and its answer look like: a function of its number alone, so that client and origin agree."""

    def __init__(self, number):
        rng = random.Random(number)
        self.number = number
        self.method = rng.choice(("GET", "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS"))
        self.request_framing = rng.choice(("length", "chunked")) if self.method in ("POST", "PUT") or rng.random() < 0.1 else "none"
        self.request_body = body_of(number, rng.choice(SIZES)) if self.request_framing != "none" else b""
        self.answer_framing = rng.choice(("length", "length", "chunked", "chunked", "close"))
        self.status = rng.choice((200, 200, 200, 201, 404, 500, 204, 304))
        self.answer_body = body_of(number + 1, rng.choice(SIZES))
        self.interim = rng.choice((0, 0, 0, 1, 3))
        self.origin_closes = rng.random() < 0.1
        self.early = rng.random() < 0.1  # the head of the answer goes out before the body of the request is read
        self.extra_fields = rng.randrange(12)
        self.rng = rng

    def request_bytes(self):
        headers = [("X-Number", str(self.number))] + [(f"X-Field-{i}", "v" * (i * 37 % 200)) for i in range(self.extra_fields)]
        if self.request_framing == "chunked":
            headers.append(("Transfer-Encoding", "chunked"))
            body = chunked(*[p for p in pieces_of(random.Random(self.number), self.request_body)])
            return request(self.method, f"/plan/{self.number}", headers) + body
        return request(self.method, f"/plan/{self.number}", headers, self.request_body if self.request_framing == "length" else None)

    def bodyless(self):
        return self.method == "HEAD" or self.status in (204, 304)

    def answer_head(self):
        lines = [b"HTTP/1.1 %d Some Reason" % self.status, b"X-Number: %d" % self.number]
        lines += [b"X-Answer-%d: %s" % (i, b"w" * (i * 53 % 300)) for i in range(self.extra_fields)]
        if self.status != 204:
            if self.answer_framing == "length":
                lines.append(b"Content-Length: %d" % len(self.answer_body))
            elif self.answer_framing == "chunked":
                lines.append(b"Transfer-Encoding: chunked")
        if self.origin_closes:
            lines.append(b"Connection: close")
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def answer_rest(self):
        if self.bodyless():
            return b""
        return chunked(*pieces_of(random.Random(self.number), self.answer_body)) if self.answer_framing == "chunked" else self.answer_body


class RandomStreams(WeirTest):
    timeout = 120

    def setUp(self):
        self.seed = int(os.environ.get("WEIR_TEST_SEED") or random.SystemRandom().randrange(10 ** 9))
        self.wrong = []

    def serve(self, connection):
        """An origin's connection: each answer as its plan says, in random pieces."""
        while (message := connection.reader.read_request(body=False)) is not None:
            plan = Plan(int(message.header("x-number")))
            rng = random.Random(plan.number ^ 1)
            out = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" * plan.interim + plan.answer_head()
            if plan.early:
                connection.send(out)
                out = b""
            connection.reader.read_body(message, int(message.header("content-length") or 0))
            if message.body != plan.request_body or message.method != plan.method:
                self.wrong.append(f"request {plan.number}: {len(message.body)} bytes of {len(plan.request_body)} arrived, or others")
            for piece in pieces_of(rng, out + plan.answer_rest()):
                connection.send(piece)
            if plan.origin_closes or (plan.answer_framing == "close" and not plan.bodyless()):
                return

    def check(self, plan, answer):
        body = b"" if plan.bodyless() else plan.answer_body
        if (answer.status, answer.header("x-number")) != (plan.status, str(plan.number)):
            return f"answer of {answer.header('x-number')} with {answer.status} in place of {plan.number} with {plan.status}"
        if answer.body != body:
            return f"answer {plan.number}: {len(answer.body)} bytes of {len(body)}, or others"
        if len(answer.interim) != plan.interim:
            return f"answer {plan.number}: {len(answer.interim)} interim answers of {plan.interim}"

    def converse(self, address, numbers, seed, abort=False):
        """One client: sends the row pipelined in random pieces while it reads; errors go to self.wrong."""
        rng = random.Random(seed)
        plans = [Plan(n) for n in numbers]
        stream = b"".join(p.request_bytes() for p in plans)
        with Client(address) as client:
            def send():
                try:
                    for piece in pieces_of(rng, stream) if rng.random() < 0.9 else [stream[i:i + 7] for i in range(0, min(len(stream), 7000), 7)] + [stream[7000:]]:
                        client.sock.sendall(piece)
                        if rng.random() < 0.2:
                            time.sleep(rng.random() * 0.003)
                except OSError as error:
                    unsent.append(error)
            unsent, closed = [], abort
            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            stop_at = rng.randrange(len(plans)) if abort else None
            try:
                for i, plan in enumerate(plans):
                    if i == stop_at:
                        client.reset() if rng.random() < 0.5 else client.close()
                        break
                    answer = client.read(plan.method)
                    problem = self.check(plan, answer)
                    if problem:
                        self.wrong.append(problem)
                        return
                    if not answer.keep_alive():
                        # Only where the answer was over before the request's body was: the rest of the row goes unanswered.
                        if not (plan.early and (plan.request_body or plan.request_framing == "chunked")):
                            self.wrong.append(f"needless Connection: close: {self.describe(plan)}")
                        self.assert_ended(client)
                        closed = True
                        break
            except (Incomplete, AssertionError, OSError) as error:
                before = self.describe(plans[i - 1]) if i else "nothing"
                self.wrong.append(f"{self.describe(plan)}, after {before}: {type(error).__name__} {error}")
            sender.join(30)
            if unsent and not closed:
                self.wrong.append(f"sending: {unsent[0]}")

    @staticmethod
    def describe(plan):
        return (f"plan {plan.number} ({plan.method} {plan.request_framing} {len(plan.request_body)} → {plan.status} {plan.answer_framing} "
                f"{len(plan.answer_body)} early={plan.early} close={plan.origin_closes})")

    def assert_ended(self, client):
        rest = client.read_to_end()
        if rest:
            self.wrong.append(f"bytes after the last answer: {rest[:100]}")

    def run_clients(self, daemon, clients, rows, length, abort=False):
        def client(number):
            for row in range(rows):
                base = self.seed + (number * rows + row) * 1000
                self.converse(daemon.address(), range(base, base + length), base, abort)
        threads = [threading.Thread(target=client, args=(i,), daemon=True) for i in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
        self.assertEqual(self.wrong, [], f"seed {self.seed}")

    def start(self, workers, count=2):
        origins = [self.origin(handler=self.serve, record=False) for _ in range(count)]
        return self.weir(config(origins, workers=workers, pool={"eject": {"enabled": False}, "retry": {"attempts": 0}})), origins

    def assert_at_rest(self, daemon):
        def rest():
            metrics = daemon.metrics()
            return all(metrics.sum(n) == 0 for n in ("weir_connections_open", "weir_pool_inflight", "weir_backend_inflight", "weir_pool_waiting"))
        wait_until(rest, what=lambda: f"everything given back; seed {self.seed}")

    def test_one_client(self):
        daemon, _ = self.start(1, 1)
        self.run_clients(daemon, 1, 20, 12)
        self.assert_at_rest(daemon)

    def test_many_clients(self):
        daemon, _ = self.start(2)
        self.run_clients(daemon, 8, 6, 10)
        self.assert_at_rest(daemon)

    def test_clients_that_leave(self):
        daemon, origins = self.start(2)
        for origin in origins:  # abandoned uploads are no fault of the daemon's
            origin.handler = self.tolerant
        before = daemon.descriptors()
        self.run_clients(daemon, 8, 8, 6, abort=True)
        self.assert_at_rest(daemon)
        wait_until(lambda: daemon.descriptors() <= before + 40, what=lambda: f"descriptors: {daemon.descriptors()} against {before}; seed {self.seed}")
        self.run_clients(daemon, 2, 2, 6)

    def tolerant(self, connection):
        try:
            self.serve(connection)
        except (Incomplete, OSError):
            pass
