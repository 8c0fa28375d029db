"""Near its memory limit the daemon sheds idle connections, then refuses requests, then stops accepting; and recovers."""
import tempfile

from harness import Client, Incomplete, WeirTest, config, echo, request, wait_until


class Memory(WeirTest):
    def start(self):
        # Ballast, so that the process is larger than the smallest limit that may be configured (16 MiB): 200 pages of 64 KiB.
        file = tempfile.NamedTemporaryFile("w", suffix=".html")
        self.addCleanup(file.close)
        file.write("x" * 65536)
        file.flush()
        self.pages = {str(status): file.name for status in range(400, 600) if status != 503}
        self.origin_ = self.origin(echo)
        # What a reload frees is to go back to the kernel, or each would leave another size behind: glibc keeps the pages
        # apart (they are mapped each for itself), and ASan has a small quarantine.
        daemon = self.weir(self.shape(1 << 34), environment={"MALLOC_MMAP_THRESHOLD_": "32768", "MALLOC_TRIM_THRESHOLD_": "65536",
                                                             "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:quarantine_size_mb=1"})
        self.assertEqual(daemon.get("/").status, 200)
        return daemon

    def shape(self, memory):
        return config([self.origin_], workers=2, limits={"memory": f"{memory >> 10}KiB"}, error_pages=self.pages)

    def press(self, daemon, share, action):
        """Sets the limit so that what is used is that share of it. A reload may cost some memory itself, and allocators
        may swing between two sizes: every other time the size before the last reload is taken."""
        before = now = daemon.rss()
        for turn in range(12):
            since = daemon.marker()
            before, now = now, daemon.rss()
            daemon.reload(self.shape(int((before if turn % 3 == 2 else now) / share)))
            try:
                return daemon.wait_event("memory_pressure", timeout=2, since=since, action=action)
            except AssertionError:
                continue
        self.fail(f"no event memory_pressure with action {action}\n{daemon.logs()}")

    def works(self, daemon):
        try:
            return daemon.get("/after").status == 200
        except (OSError, Incomplete):
            return False

    def assert_recovers(self, daemon):
        daemon.reload(self.shape(1 << 34))
        wait_until(lambda: self.works(daemon), what="an answer once there is room again")

    def test_idle_connections_are_shed(self):
        daemon = self.start()
        idle = self.client(daemon)
        self.assertEqual(idle.get("/").status, 200)
        self.press(daemon, 0.90, "ends keep-alive connections")
        self.assert_closed(idle)
        answer = daemon.get("/still-served")
        self.assertEqual(answer.status, 200)
        wait_until(lambda: daemon.metrics().sum("weir_connections_shed_total") >= 1)
        self.assert_recovers(daemon)

    def test_requests_are_refused(self):
        daemon = self.start()
        self.press(daemon, 0.965, "answers 503")
        def refused():
            answer = daemon.get("/refused")
            return answer if answer.status == 503 else None
        answer = wait_until(refused)
        self.assertTrue(answer.has("retry-after"))
        daemon.wait_log(lambda r: r["cause"] == "overload_memory")
        self.assertEqual(daemon.admin("/-/healthy").status, 200, "the operator is still answered")
        self.assert_recovers(daemon)

    def test_accepting_stops(self):
        daemon = self.start()
        self.press(daemon, 1.1, "stops accepting")
        waiting = Client(daemon.address(), timeout=1)  # the kernel completes it, nobody takes it
        self.addCleanup(waiting.close)
        waiting.send(request("GET", "/waits"))
        with self.assertRaises(TimeoutError):
            waiting.read()
        self.assertNotIn("/waits", self.origin_.targets())
        daemon.reload(self.shape(1 << 34))
        waiting.sock.settimeout(30)
        self.assertEqual(waiting.read().status, 200, "what waited is served")
