// From names to backends.
#include "tests/catch.hpp"
#include "tests/unit/discover/support.hpp"

using namespace weir;
using namespace weir::discover;
using namespace weir::discover::test;

namespace {

config::Backend named(const std::string& name, const std::string& host, uint16_t port) {
  config::Backend backend;
  backend.name = name;
  backend.host = host;
  backend.port = port;
  backend.authority = host;
  return backend;
}

config::Backend fixed(const std::string& name, const std::string& address) {
  config::Backend backend;
  backend.name = name;
  backend.address = *Endpoint::parse(address);
  return backend;
}

}  // namespace

TEST_CASE("discovered backends stand behind the configured ones, by address") {
  auto configured = pool("app.test");
  configured.backends.push_back(fixed("z", "10.9.9.9:1"));
  Fixture f(configured);
  CHECK(f.serving() == Texts{"z 10.9.9.9:1"});
  f.answer("app.test", DnsType::a, found({"10.0.0.20", "10.0.0.3"}), 0s);
  CHECK(f.serving() == Texts{"z 10.9.9.9:1", "10.0.0.3:80", "10.0.0.20:80"});
  CHECK(f.last->backends[1].authority == "app.test:80");
}

TEST_CASE("services: port, weight, priority") {
  Fixture f(pool("_http._tcp.app.test", true));
  f.answer("_http._tcp.app.test", DnsType::srv,
           services({{"one.test", 8001, 10, 60000}, {"two.test", 8002, 10, 0}, {"three.test", 8003, 20, 30000}}), 0s);
  CHECK(f.names.due(at(0s)).size() == 3);
  CHECK_FALSE(f.names.members(*f.config.pools[0].discover).settled);
  f.names.take({"one.test", DnsType::a}, found({"10.0.0.1"}), at(0s));
  CHECK(f.serving() == Texts{"10.0.0.1:8001"});  // at the first time better a part than nothing
  f.names.take({"two.test", DnsType::a}, found({"10.0.0.2"}), at(0s));
  f.names.take({"three.test", DnsType::a}, found({"10.0.0.3"}), at(0s));
  CHECK(f.names.members(*f.config.pools[0].discover).settled);
  CHECK(f.serving() == Texts{"10.0.0.1:8001", "10.0.0.2:8002", "10.0.0.3:8003"});
  const auto& backends = f.last->backends;
  CHECK((backends[0].weight == 1000 && backends[1].weight == 1 && backends[2].weight == 500));
  CHECK((!backends[0].backup && !backends[1].backup && backends[2].backup));
  CHECK(backends[0].authority == "one.test:8001");
}

TEST_CASE("services that move to new hosts leave no gap") {
  Fixture f(pool("_a._tcp.test", true));
  f.answer("_a._tcp.test", DnsType::srv, services({{"old.test", 1, 0, 1}}), 0s);
  f.answer("old.test", DnsType::a, found({"10.0.0.1"}), 0s);
  CHECK(f.serving() == Texts{"10.0.0.1:1"});
  f.answer("_a._tcp.test", DnsType::srv, services({{"new.test", 1, 0, 1}}), 60s);
  CHECK(f.serving() == Texts{"10.0.0.1:1"});
  f.answer("new.test", DnsType::a, found({"10.0.0.2"}), 60s);
  CHECK(f.serving() == Texts{"10.0.0.2:1"});
}

TEST_CASE("one host of several that fails keeps its addresses, one that never was there is left out") {
  Fixture f(pool("_a._tcp.test", true));
  f.answer("_a._tcp.test", DnsType::srv, services({{"one.test", 1, 0, 1}, {"two.test", 1, 0, 1}}), 0s);
  f.answer("one.test", DnsType::a, found({"10.0.0.1"}), 0s);
  f.names.take({"two.test", DnsType::a}, missing(), at(0s));
  CHECK(f.serving() == Texts{"10.0.0.1:1"});
  CHECK(f.names.members(*f.config.pools[0].discover).view.reason == "two.test: there is no such name (NXDOMAIN)");
  f.answer("one.test", DnsType::a, failed(), 60s);
  CHECK(f.serving() == Texts{"10.0.0.1:1"});
}

TEST_CASE("two services at one address are one backend with both weights") {
  Fixture f(pool("_a._tcp.test", true));
  f.answer("_a._tcp.test", DnsType::srv, services({{"one.test", 1, 0, 2}, {"two.test", 1, 0, 3}}), 0s);
  f.answer("one.test", DnsType::a, found({"10.0.0.1"}), 0s);
  f.names.take({"two.test", DnsType::a}, found({"10.0.0.1"}), at(0s));
  CHECK(f.serving() == Texts{"10.0.0.1:1"});
  CHECK(f.last->backends[0].weight == 5);
}

TEST_CASE("no more than max_backends, and those that serve first") {
  auto configured = pool("app.test");
  configured.discover->max_backends = 2;
  Fixture f(configured);
  f.answer("app.test", DnsType::a, found({"10.0.0.5", "10.0.0.7"}), 0s);
  CHECK(f.serving() == Texts{"10.0.0.5:80", "10.0.0.7:80"});
  f.answer("app.test", DnsType::a, found({"10.0.0.1", "10.0.0.5", "10.0.0.6", "10.0.0.7"}), 60s);
  CHECK(f.serving() == Texts{"10.0.0.5:80", "10.0.0.7:80"});
  CHECK(f.left_out == 2);
}

TEST_CASE("a backend with a name keeps its address while the name has it") {
  config::Pool configured;
  configured.name = "app";
  configured.backends = {named("b", "app.test", 8080), fixed("c", "10.9.9.9:1")};
  Fixture f(configured);
  CHECK(f.serving() == Texts{"c 10.9.9.9:1"});
  CHECK(f.last->unresolved == Texts{"app.test"});
  f.answer("app.test", DnsType::a, found({"10.0.0.2"}), 0s);
  CHECK(f.serving() == Texts{"b 10.0.0.2:8080", "c 10.9.9.9:1"});
  f.answer("app.test", DnsType::a, found({"10.0.0.1", "10.0.0.2"}), 60s);
  CHECK(f.serving() == Texts{"b 10.0.0.2:8080", "c 10.9.9.9:1"});
  f.answer("app.test", DnsType::a, found({"10.0.0.1", "10.0.0.3"}), 120s);
  CHECK(f.serving() == Texts{"b 10.0.0.1:8080", "c 10.9.9.9:1"});
}

TEST_CASE("a reload that brings a name leaves the old backends until it is answered") {
  config::Pool before;
  before.name = "app";
  before.backends = {fixed("b", "10.0.0.1:80")};
  config::Pool by_url = before;
  by_url.backends = {named("b", "app.test", 80)};
  Fixture url(by_url);
  CHECK(url.serving(&before) == Texts{"b 10.0.0.1:80"});
  Fixture discover(pool("app.test"));
  CHECK(discover.serving(&before) == Texts{"b 10.0.0.1:80"});
  discover.answer("app.test", DnsType::a, failed(), 0s);
  CHECK(discover.serving(&before) == Texts{"b 10.0.0.1:80"});
  discover.answer("app.test", DnsType::a, found({"10.0.0.2"}), 60s);
  CHECK(discover.serving(&before) == Texts{"10.0.0.2:80"});
}

TEST_CASE("a difference names what came, went and moved") {
  config::Pool a, b;
  a.backends = {fixed("x", "10.0.0.1:1"), fixed("y", "10.0.0.2:1"), fixed("w", "10.0.0.4:1")};
  b.backends = {fixed("x", "10.0.0.9:1"), fixed("z", "10.0.0.3:1"), fixed("w", "10.0.0.4:1")};
  const auto changed = difference(a, b);
  CHECK(changed.added == Texts{"z 10.0.0.3:1"});
  CHECK(changed.removed == Texts{"y"});
  CHECK(changed.moved == Texts{"x 10.0.0.1:1 -> 10.0.0.9:1"});
  CHECK_FALSE(changed.weights);
  CHECK(difference(a, a).empty());
  b = a;
  b.backends[0].weight = 7;
  CHECK(difference(a, b).weights);
}

TEST_CASE("backends are awaited until DNS has named all") {
  auto configured = pool("app.test");
  configured.backends = {named("n", "n.test", 80), fixed("z", "10.9.9.9:1")};
  Fixture f(configured);
  const auto awaited = [&] { return awaits(f.config.pools[0], f.names); };
  CHECK(awaited());
  f.answer("app.test", DnsType::a, found({"10.0.0.1"}), 0s);
  CHECK(awaited());
  f.answer("n.test", DnsType::a, found({"10.0.0.2"}), 0s);
  CHECK_FALSE(awaited());
  f.answer("app.test", DnsType::a, failed(), 40s);
  CHECK(awaited());
  config::Pool fixed_ones;
  fixed_ones.backends = {fixed("z", "10.9.9.9:1")};
  CHECK_FALSE(awaits(fixed_ones, f.names));
}

TEST_CASE("services await what they lead to") {
  Fixture f(pool("_http._tcp.app.test", true));
  f.answer("_http._tcp.app.test", DnsType::srv, services({{"a.test", 8080, 0, 3}}), 0s);
  CHECK(awaits(f.config.pools[0], f.names));
  f.answer("a.test", DnsType::a, found({"10.0.0.1"}), 0s);
  CHECK_FALSE(awaits(f.config.pools[0], f.names));
}
