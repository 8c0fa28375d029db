"""Backends that DNS names: A, AAAA and SRV records, host names in URLs; what happens when DNS changes, fails or is gone."""
import os
import socket
import tempfile
import threading
import time

from dns import NXDOMAIN, REFUSED, SERVFAIL, DnsServer
from harness import Origin, WeirTest, config, load, response, wait_until
from upgradable import Forerunner, Upgradable


class DiscoveryTest(WeirTest):
    timeout = 90

    def setUp(self):
        self.dns = DnsServer()
        self.addCleanup(self.dns.close)

    def origins(self, *hosts):
        """One on each of these addresses, all on one port; each answers with its address."""
        def reply(host):
            return lambda message, connection: response(200, host.encode())
        for _ in range(20):
            made = []
            try:
                for host in hosts:
                    made.append(Origin(reply(host), place=(host, made[0].place[1] if made else 0)))
                    if len(made) == 1:
                        made[0].place = (host, made[0].socket.getsockname()[1])
            except OSError:
                for origin in made:
                    origin.close()
                continue
            for origin in made:
                self.addCleanup(origin.close)
            self.port = made[0].place[1]
            return made
        raise AssertionError("no port that is free on all of them")

    def resolver(self, **more):
        return {"servers": [self.dns.address], "timeout": "200ms", "tries": 2, "min_ttl": "100ms", **more}

    def config(self, pool, *, resolver=None, **more):
        return config(pools={"app": pool}, resolver=self.resolver(**(resolver or {})), **more)

    def names(self, daemon, pool="app"):
        return [b["name"] for b in next(p for p in daemon.pools()["pools"] if p["name"] == pool)["backends"]]

    def status_of(self, daemon, pool="app"):
        return next(p for p in daemon.pools()["pools"] if p["name"] == pool)["names"]

    def answers(self, daemon, count=12):
        return {daemon.get(f"/{i}").text for i in range(count)}


class Addresses(DiscoveryTest):
    def test_each_record_is_a_backend_and_changes_are_followed(self):
        self.origins("127.0.0.2", "127.0.0.3", "127.0.0.4")
        self.dns.set("app.test", "A", ["127.0.0.3", "127.0.0.2"])
        daemon = self.weir(self.config({"discover": {"dns": f"app.test:{self.port}"}}))
        self.assertEqual(self.names(daemon), [f"127.0.0.2:{self.port}", f"127.0.0.3:{self.port}"])
        self.assertEqual(self.answers(daemon), {"127.0.0.2", "127.0.0.3"})
        before = daemon.marker()
        self.dns.set("app.test", "A", ["127.0.0.3", "127.0.0.4"])
        event = daemon.wait_event("backends_changed", since=before)
        self.assertEqual((event.fields["pool"], event.fields["added"], event.fields["removed"]),
                         ("app", f"127.0.0.4:{self.port}", f"127.0.0.2:{self.port}"))
        wait_until(lambda: self.answers(daemon) == {"127.0.0.3", "127.0.0.4"})
        # No reload, and the one that stayed keeps its counters.
        self.assertEqual(daemon.metrics().sum("weir_config_generation"), 1)
        self.assertEqual(daemon.metrics().sum("weir_config_reloads_total"), 0)
        self.assertGreater(daemon.backend(f"127.0.0.3:{self.port}")["requests"], 11)
        metrics = daemon.metrics()
        self.assertEqual(metrics.sum("weir_backend_changes_total"), 2)
        self.assertGreater(metrics.sum("weir_dns_answers_total", result="found"), 1)
        self.assertEqual(metrics.sum("weir_name_backends", pool="app", host="app.test"), 2)
        self.assertEqual(metrics.sum("weir_name_ok", pool="app", host="app.test"), 1)

    def test_both_families(self):
        self.origins("127.0.0.2")
        self.dns.set("app.test", "A", ["127.0.0.2"])
        self.dns.set("app.test", "AAAA", ["::1"])
        daemon = self.weir(self.config({"discover": {"dns": f"app.test:{self.port}"}}))
        wait_until(lambda: self.names(daemon) == [f"127.0.0.2:{self.port}", f"[::1]:{self.port}"])
        other = self.weir(self.config({"discover": {"dns": f"app.test:{self.port}"}}, resolver={"family": "ipv4"}))
        self.assertEqual(self.names(other), [f"127.0.0.2:{self.port}"])
        code, out, err = daemon.command("drain", f"app/[::1]:{self.port}", "--no-wait")
        self.assertEqual((code, err), (0, ""), out)
        self.assertEqual(daemon.backend(f"[::1]:{self.port}")["status"], "draining")

    def test_changes_under_load_lose_nothing(self):
        self.origins("127.0.0.2", "127.0.0.3", "127.0.0.4")
        sets = [["127.0.0.2", "127.0.0.3"], ["127.0.0.3", "127.0.0.4"], ["127.0.0.2"], ["127.0.0.2", "127.0.0.3", "127.0.0.4"]]
        self.dns.set("app.test", "A", sets[-1], ttl=0)
        daemon = self.weir(self.config({"discover": {"dns": f"app.test:{self.port}"}, "balance": "least_connections"}, workers=2))
        clients = load(daemon.address(), clients=4)
        for i in range(8):
            before, done = daemon.marker(), clients.done
            self.dns.set("app.test", "A", sets[i % 4], ttl=0)
            daemon.wait_event("backends_changed", since=before)
            wait_until(lambda: clients.done > done + 20 or clients.errors)
        clients.stop()
        self.assert_no_errors(clients.errors)

    def test_a_key_moves_only_with_its_backend(self):
        hosts = [f"127.0.0.{i}" for i in range(2, 8)]
        self.origins(*hosts)
        self.dns.set("app.test", "A", hosts[:5], ttl=0)
        daemon = self.weir(self.config({"discover": {"dns": f"app.test:{self.port}"}, "balance": {"consistent_hash": "path", "bound": "1000%"}}))
        before = [daemon.get(f"/{i}").text for i in range(60)]
        mark = daemon.marker()
        self.dns.set("app.test", "A", list(reversed(hosts[1:5])), ttl=0)
        daemon.wait_event("backends_changed", since=mark)
        wait_until(lambda: "127.0.0.2" not in self.answers(daemon))
        after = [daemon.get(f"/{i}").text for i in range(60)]
        moved = [i for i in range(60) if before[i] != after[i]]
        self.assertEqual(moved, [i for i in range(60) if before[i] == "127.0.0.2"])

    def test_no_more_than_allowed(self):
        hosts = [f"127.0.1.{i}" for i in range(1, 120)]  # needs TCP, too
        self.dns.set("app.test", "A", hosts)
        daemon = self.weir(self.config({"discover": {"dns": "app.test:9", "max_backends": 100}, "eject": False}))
        wait_until(lambda: len(self.names(daemon)) == 100)
        self.assertEqual(daemon.wait_event("backends_left_out").fields["left_out"], "19")
        daemon.reload(self.config({"discover": {"dns": "app.test:9"}, "eject": False}))
        self.assertEqual(len(self.names(daemon)), 64)

    def test_aliases(self):
        self.origins("127.0.0.2")
        self.dns.set("app.test", "CNAME", ["lb.test"])
        self.dns.set("lb.test", "A", ["127.0.0.2"])
        daemon = self.weir(self.config({"discover": {"dns": f"app.test:{self.port}"}}))
        self.assertEqual(daemon.get("/").text, "127.0.0.2")

    def test_checks_of_what_stayed_go_on(self):
        self.origins("127.0.0.2", "127.0.0.3")
        self.dns.set("app.test", "A", ["127.0.0.2"])
        daemon = self.weir(self.config({"discover": {"dns": f"app.test:{self.port}"}, "health": {"path": "/", "interval": "100ms"}}))
        wait_until(lambda: daemon.backend(f"127.0.0.2:{self.port}")["checks_ok"] > 2)
        since = daemon.backend(f"127.0.0.2:{self.port}")["since"]
        mark = daemon.marker()
        self.dns.set("app.test", "A", ["127.0.0.2", "127.0.0.3"])
        daemon.wait_event("backends_changed", since=mark)
        wait_until(lambda: daemon.backend(f"127.0.0.3:{self.port}")["status"] == "up")
        stayed = daemon.backend(f"127.0.0.2:{self.port}")
        self.assertEqual((stayed["since"], stayed["status"]), (since, "up"))


class Services(DiscoveryTest):
    def test_ports_weights_and_priorities(self):
        a, b, c = self.origin(name="a"), self.origin(name="b"), self.origin(name="c")
        ports = [o.socket.getsockname()[1] for o in (a, b, c)]
        self.dns.set("_http._tcp.app.test", "SRV", [(10, 3000, ports[0], "one.test"), (10, 1000, ports[1], "two.test"), (20, 5, ports[2], "one.test")])
        self.dns.set("one.test", "A", ["127.0.0.1"])
        self.dns.set("two.test", "A", ["127.0.0.1"])
        daemon = self.weir(self.config({"discover": {"srv": "_http._tcp.app.test"}}))
        wait_until(lambda: len(self.names(daemon)) == 3)
        told = {x["name"]: (x["weight"], x["backup"]) for x in daemon.pools()["pools"][0]["backends"]}
        self.assertEqual(told, {f"127.0.0.1:{ports[0]}": (1000, False), f"127.0.0.1:{ports[1]}": (333, False), f"127.0.0.1:{ports[2]}": (1, True)})
        texts = [daemon.get("/").text for _ in range(40)]
        self.assertEqual((texts.count("a") > texts.count("b") > 0, texts.count("c")), (True, 0))
        # Another weight is another table; the backends stay.
        self.dns.set("_http._tcp.app.test", "SRV", [(10, 1, ports[0], "one.test"), (10, 1, ports[1], "two.test")])
        wait_until(lambda: [x["weight"] for x in daemon.pools()["pools"][0]["backends"]] == [1, 1])
        self.assertGreater(daemon.backend(f"127.0.0.1:{ports[0]}")["requests"], 5)

    def test_new_targets_replace_the_old_ones_without_a_gap(self):
        self.origins("127.0.0.2", "127.0.0.3")
        self.dns.set("_http._tcp.app.test", "SRV", [(1, 1, self.port, "old.test")])
        self.dns.set("old.test", "A", ["127.0.0.2"])
        self.dns.set("new.test", "A", ["127.0.0.3"])
        daemon = self.weir(self.config({"discover": {"srv": "_http._tcp.app.test"}}))
        clients = load(daemon.address(), clients=2)
        self.dns.set("_http._tcp.app.test", "SRV", [(1, 1, self.port, "new.test")])
        wait_until(lambda: daemon.get("/").text == "127.0.0.3")
        self.assert_no_errors(clients.stop().errors)


class HostNames(DiscoveryTest):
    def test_a_name_in_a_url(self):
        self.origins("127.0.0.2", "127.0.0.3")
        self.dns.set("app.test", "A", ["127.0.0.2"])
        daemon = self.weir(self.config({"backends": {"b": f"http://App.test:{self.port}"}, "host": "upstream"}))
        self.assertEqual(daemon.get("/").text, "127.0.0.2")
        self.assertEqual(daemon.backend("b")["address"], f"127.0.0.2:{self.port}")
        # The address stays while the name has it.
        self.dns.set("app.test", "A", ["127.0.0.3", "127.0.0.2"])
        asked = self.dns.count("app.test")
        wait_until(lambda: self.dns.count("app.test") > asked + 3)
        self.assertEqual(daemon.get("/").text, "127.0.0.2")
        self.dns.set("app.test", "A", ["127.0.0.3"])
        wait_until(lambda: daemon.get("/").text == "127.0.0.3")
        self.assertIn(f"b 127.0.0.2:{self.port} -> 127.0.0.3:{self.port}", daemon.wait_event("backends_changed", added="").fields["moved"])

    def test_a_reload_that_brings_a_name_has_no_gap(self):
        self.origins("127.0.0.2", "127.0.0.3")
        self.dns.set("app.test", "A", ["127.0.0.3"])
        daemon = self.weir(self.config({"backends": {"b": f"http://127.0.0.2:{self.port}"}}))
        clients = load(daemon.address(), clients=2)
        daemon.reload(self.config({"backends": {"b": f"http://app.test:{self.port}"}}))
        wait_until(lambda: daemon.get("/").text == "127.0.0.3")
        daemon.reload(self.config({"discover": {"dns": f"app.test:{self.port}"}}))
        wait_until(lambda: self.names(daemon) == [f"127.0.0.3:{self.port}"])
        self.assert_no_errors(clients.stop().errors)

    def test_what_is_left_in_place_is_spoken_to_as_before(self):
        """Backends with https:// never get a request in plain text, also while a name without it takes their place."""
        firsts = []
        listener = socket.create_server(("127.0.0.2", 0))
        self.addCleanup(listener.close)
        def accept():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(10)
                    firsts.append(connection.recv(1))
        threading.Thread(target=accept, daemon=True).start()
        port = listener.getsockname()[1]
        daemon = self.weir(self.config({"backends": {"a": f"https://127.0.0.2:{port}"}}))
        self.dns.silent = True
        daemon.reload(self.config({"discover": {"dns": f"app.test:{port}"}}))
        self.assertEqual(self.names(daemon), ["a"])
        self.assertEqual(daemon.get("/").status, 502)
        self.assertEqual(set(firsts), {b"\x16"}, "a handshake")


class Failures(DiscoveryTest):
    def test_unresolvable_names_stop_nothing(self):
        origin = self.origin()
        pools = {f"p{i}": {"backends": {"b": origin.url}} for i in range(90)}
        for i in range(10):
            name = f"gone{i}.test"
            self.dns.fail(name, (NXDOMAIN, SERVFAIL, REFUSED, "silent")[i % 4])
            pools[f"d{i}"] = {"discover": {"dns": name}} if i % 2 else {"backends": {"b": f"http://{name}"}}
        routes = [{"match": {"path": f"/{name}"}, "pool": name} for name in pools]
        began = time.monotonic()
        daemon = self.weir(config(pools=pools, routes=routes, resolver=self.resolver(timeout="5s")))
        took = time.monotonic() - began
        self.assertLess(took, 1 if os.environ.get("WEIR_FULL") else 10, "half a second in truth; the machine may be busy")
        for name in pools:
            answer = daemon.get(f"/{name}")
            self.assertEqual(answer.status, 503 if name.startswith("d") else 200, name)
            if name.startswith("d"):
                self.assertIn("error=dns_error", answer.header("proxy-status"))
        self.assertEqual(daemon.errors("name_unresolved"), 10)
        self.assertIn("its backends come from DNS", daemon.command("explain", "--live", "GET", "http://x/d0")[1])
        self.assertEqual(daemon.admin("/-/ready").status, 200)

    def test_an_outage_keeps_the_last_addresses(self):
        self.origins("127.0.0.2")
        self.dns.set("app.test", "A", ["127.0.0.2"])
        daemon = self.weir(self.config({"discover": {"dns": f"app.test:{self.port}"}}, resolver={"family": "ipv4"}))
        self.dns.silent = True
        event = daemon.wait_event("name_failing")
        self.assertEqual((event.fields["name"], event.fields["reason"]), ("app.test", "no answer in time"))
        self.assertEqual(daemon.get("/").status, 200)
        status = self.status_of(daemon)[0]
        self.assertEqual((status["name"], status["state"], status["backends"]), ("app.test", "failing", 1))
        self.assertGreater(status["age_seconds"], 0)
        self.assertGreater(daemon.metrics().sum("weir_name_age_seconds", host="app.test"), 0)
        self.assertEqual(daemon.metrics().sum("weir_name_ok", host="app.test"), 0)
        code, out, _ = daemon.command("status")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"app\.test +app +1 +.* failing +no answer in time")
        self.dns.silent = False
        daemon.wait_event("name_resolved", since=daemon.events.index(event))
        wait_until(lambda: self.status_of(daemon)[0]["state"] == "ok")

    def test_servfail_and_nonsense_are_an_outage_too(self):
        self.origins("127.0.0.2")
        self.dns.set("app.test", "A", ["127.0.0.2"])
        daemon = self.weir(self.config({"discover": {"dns": f"app.test:{self.port}"}}, resolver={"keep_missing": "off", "family": "ipv4"}))
        self.dns.fail("app.test", SERVFAIL)
        daemon.wait_event("name_failing")
        self.assertEqual(daemon.get("/").status, 200)
        self.dns.fail("app.test", None)
        wait_until(lambda: self.status_of(daemon)[0]["state"] == "ok")
        before = daemon.marker()
        self.dns.garbage = True
        daemon.wait_event("name_failing", since=before)
        self.assertEqual(daemon.get("/").status, 200)

    def test_a_name_that_is_gone_loses_its_addresses_after_a_while(self):
        self.origins("127.0.0.2")
        self.dns.set("app.test", "A", ["127.0.0.2"])
        daemon = self.weir(self.config({"discover": {"dns": f"app.test:{self.port}"}}, resolver={"keep_missing": "2s"}))
        self.dns.remove("app.test")
        gone = daemon.wait_event("name_missing")
        self.assertIn("NXDOMAIN", gone.fields["reason"])
        self.assertEqual(daemon.get("/").status, 200)
        daemon.wait_event("backends_changed", removed=f"127.0.0.2:{self.port}")
        answer = wait_until(lambda: (lambda a: a if a.status == 503 else None)(daemon.get("/")))
        self.assertIn("name_unresolved", answer.header("proxy-status"))
        self.dns.set("app.test", "A", ["127.0.0.2"])
        wait_until(lambda: daemon.get("/").status == 200)

    def test_resolv_conf_is_read_again(self):
        self.origins("127.0.0.2", "127.0.0.3")
        other = DnsServer("127.0.0.2", self.dns.port)
        self.addCleanup(other.close)
        self.dns.set("app.test", "A", ["127.0.0.2"], ttl=0)
        other.set("app.test", "A", ["127.0.0.3"], ttl=0)
        path = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "resolv.conf")

        def write(address):
            with open(path + ".new", "w") as file:
                file.write(f"nameserver {address}\n")
            os.rename(path + ".new", path)
        write("127.0.0.1")
        resolver = {"resolv_conf": path, "port": self.dns.port, "timeout": "200ms", "min_ttl": "100ms"}
        daemon = self.weir(config(pools={"app": {"discover": {"dns": f"app.test:{self.port}"}}}, resolver=resolver))
        wait_until(lambda: daemon.get("/").text == "127.0.0.2")
        write("127.0.0.2")
        daemon.wait_event("resolver_reloaded")
        wait_until(lambda: daemon.get("/").text == "127.0.0.3")


class Upgrades(DiscoveryTest):
    """The process that takes over knows what the old one knew, so that DNS need not be there for it."""
    timeout = 120

    def upgradable(self, configuration):
        daemon = Upgradable(configuration)
        self.addCleanup(daemon.stop)
        return daemon

    def test_in_an_outage_lose_no_backend(self):
        self.origins("127.0.0.2", "127.0.0.3")
        self.dns.set("app.test", "A", ["127.0.0.2", "127.0.0.3"])
        self.dns.set("_http._tcp.srv.test", "SRV", [(0, 3, self.port, "app.test")])
        pools = {"app": {"discover": {"dns": f"app.test:{self.port}"}}, "srv": {"discover": {"srv": "_http._tcp.srv.test"}},
                 "url": {"backends": {"u": f"http://app.test:{self.port}"}}}
        routes = [{"match": {"path": f"/{name}"}, "pool": name} for name in ("srv", "url")] + [{"pool": "app"}]
        daemon = self.upgradable(config(pools=pools, routes=routes, resolver=self.resolver()))
        def statuses():
            return [daemon.get(path).status for path in ("/", "/srv", "/url")]
        self.assertEqual(statuses(), [200, 200, 200])
        self.dns.silent = True
        wait_until(lambda: all(self.status_of(daemon, pool)[0]["state"] == "failing" for pool in pools))
        age = self.status_of(daemon)[0]["age_seconds"]
        for _ in range(2):
            since = daemon.marker()
            daemon.upgrade()
            self.assertEqual(statuses(), [200, 200, 200])
            self.assertEqual(self.answers(daemon), {"127.0.0.2", "127.0.0.3"})
            self.assertGreaterEqual(self.status_of(daemon)[0]["age_seconds"], age)
            self.assertEqual([b["weight"] for b in next(p for p in daemon.pools()["pools"] if p["name"] == "srv")["backends"]], [3, 3])
        self.assertFalse([e for e in daemon.events[since:] if e.name in ("name_failing", "name_resolved", "handover_incomplete")], "it was told before")
        self.dns.silent = False
        self.dns.set("app.test", "A", ["127.0.0.3"])
        daemon.wait_event("name_resolved", since=since)
        wait_until(lambda: self.answers(daemon) == {"127.0.0.3"})

    def test_ask_no_sooner_than_the_old_process_would_have(self):
        self.origins("127.0.0.2")
        self.dns.set("app.test", "A", ["127.0.0.2"], ttl=300)
        daemon = self.upgradable(self.config({"discover": {"dns": f"app.test:{self.port}"}}, resolver={"family": "ipv4"}))
        self.assertEqual(daemon.get("/").status, 200)
        daemon.upgrade()
        self.assertEqual(daemon.get("/").status, 200)
        self.assertEqual(self.dns.count("app.test"), 1)

    def test_a_file_with_another_name_asks_for_it(self):
        self.origins("127.0.0.2", "127.0.0.3")
        self.dns.set("app.test", "A", ["127.0.0.2"])
        self.dns.set("other.test", "A", ["127.0.0.3"])
        daemon = self.upgradable(self.config({"discover": {"dns": f"app.test:{self.port}"}}))
        self.assertEqual(self.answers(daemon), {"127.0.0.2"})
        daemon.write(self.config({"discover": {"dns": f"other.test:{self.port}"}}))
        daemon.upgrade()
        wait_until(lambda: self.answers(daemon) == {"127.0.0.3"})
        self.assertEqual([n["name"] for n in self.status_of(daemon)], ["other.test"])

    def test_a_name_in_a_url_keeps_the_address_that_it_has(self):
        self.origins("127.0.0.2", "127.0.0.3")
        self.dns.set("app.test", "A", ["127.0.0.3"])
        daemon = self.upgradable(self.config({"backends": {"a": f"http://app.test:{self.port}"}}, resolver={"family": "ipv4"}))
        self.assertEqual(self.answers(daemon), {"127.0.0.3"})
        asked = self.dns.count("app.test")
        self.dns.set("app.test", "A", ["127.0.0.2", "127.0.0.3"])
        wait_until(lambda: self.dns.count("app.test") > asked + 1)
        for _ in range(2):
            daemon.upgrade()
            self.assertEqual(self.answers(daemon), {"127.0.0.3"})

    def test_what_a_reload_left_in_place_for_a_name_stays(self):
        """As the name is not answered yet, and won't be in this outage."""
        self.origins("127.0.0.2", "127.0.0.3")
        resolver = {"family": "ipv4"}
        daemon = self.upgradable(self.config({"backends": {"a": f"http://127.0.0.2:{self.port}"}}, resolver=resolver))
        self.dns.silent = True
        for pool in ({"backends": {"a": f"http://app.test:{self.port}"}}, {"discover": {"dns": f"app.test:{self.port}"}}):
            daemon.reload(self.config(pool, resolver=resolver))
            daemon.upgrade()
            self.assertEqual(self.answers(daemon), {"127.0.0.2"})
        self.assertEqual(self.names(daemon), ["a"])
        self.dns.set("app.test", "A", ["127.0.0.3"])
        self.dns.silent = False
        wait_until(lambda: self.answers(daemon) == {"127.0.0.3"})
        self.assertEqual(self.names(daemon), [f"127.0.0.3:{self.port}"])

    def taking_over(self, configuration, *lines):
        forerunner = Forerunner()
        self.addCleanup(forerunner.close)
        daemon = forerunner.start(configuration, *lines)
        self.addCleanup(daemon.stop)
        return forerunner, daemon

    def test_orders_wait_for_backends_that_are_not_there_yet(self):
        """As from a version that hands over no names."""
        self.origins("127.0.0.2", "127.0.0.3")
        pools = {name: {"discover": {"dns": f"{name}.test:{self.port}"}} for name in ("app", "web")}
        fixed = {"fixed": {"backends": {"f": f"http://127.0.0.3:{self.port}"}}}
        resolver = self.resolver(family="ipv4")
        self.dns.silent = True
        forerunner, daemon = self.taking_over(config(pools={**pools, **fixed}, resolver=resolver))
        backend = f"127.0.0.2:{self.port}"
        forerunner.hand_over(*(["order", pool, backend, "disable", "uid 7", "1"] for pool in ("app", "web", "fixed", "gone")))
        daemon.wait_event("ready")
        self.assertEqual({(e.pool, e.backend, e.order) for e in daemon.events if e.name == "order_forgotten"},
                         {("fixed", backend, "disable"), ("gone", backend, "disable")})
        self.dns.set("app.test", "A", ["127.0.0.2", "127.0.0.3"])
        self.dns.silent = False
        wait_until(lambda: len(self.names(daemon)) == 2)
        self.assertEqual(daemon.backend(backend)["status"], "disabled")
        self.assertIn("uid 7", daemon.backend(backend)["reason"])
        self.assertEqual(self.answers(daemon), {"127.0.0.3"})
        self.assertEqual(daemon.command("enable", f"app/{backend}")[0], 0)
        self.assertEqual(self.answers(daemon), {"127.0.0.2", "127.0.0.3"})
        daemon.reload(config(pools={"app": pools["app"]}, resolver=resolver))
        self.assertEqual(daemon.wait_event("order_forgotten", pool="web").order, "disable")

    def test_lines_that_make_no_sense_cost_nothing_else(self):
        self.origins("127.0.0.2")
        self.dns.silent = True
        now = str(time.clock_gettime_ns(time.CLOCK_MONOTONIC))
        good = ["name", "app.test", "a", "failing", now, now, now, "3", "no answer in time", "127.0.0.2:0"]
        bad = [good[:5], [*good[:2], "mx", *good[3:]], [*good, "localhost"], ["name"], [*good[:4], "99" + now, *good[5:]]]
        forerunner, daemon = self.taking_over(self.config({"discover": {"dns": f"app.test:{self.port}"}}, resolver={"family": "ipv4"}),
                                              *bad, good, ["moon", "full"], ["serving", "app", "x"])
        event = daemon.wait_event("handover_incomplete")
        self.assertEqual((event.what, event.left_out, event.reason), ("names", "5", "it is cut short"))
        daemon.wait_event("handover_incomplete", what="backends", left_out="1")
        forerunner.hand_over()
        daemon.wait_event("ready")
        self.assertEqual(self.answers(daemon), {"127.0.0.2"})
        self.assertEqual(self.status_of(daemon)[0]["state"], "failing")
