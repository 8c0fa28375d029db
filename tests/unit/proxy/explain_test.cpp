#include "lb/proxy/explain.hpp"

#include "config/load.hpp"
#include "lb/proxy/explain_connection.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace weir::proxy;
using Outcome = Explanation::Outcome;

namespace {

const std::string kText = R"(
keys: { user: { cookie: user } }
trusted_proxies: [10.0.0.0/8]
secret: /keys
listeners: { web: { bind: "127.0.0.1:80" }, inside: { bind: "127.0.0.1:81" } }
pools:
  app: { limits: { per_backend: 1, queue: 0 }, backends: { a: "http://127.0.0.1:1", b: { url: "http://127.0.0.1:2", weight: 0 } } }
  hash: { balance: { consistent_hash: user }, backends: { a: "http://127.0.0.1:1", b: "http://127.0.0.1:2" } }
  mine: { balance: { consistent_hash: client }, backends: { a: "http://127.0.0.1:1", b: "http://127.0.0.1:2" } }
  shop: { affinity: {}, limits: { per_backend: 1 }, backends: { a: "http://127.0.0.1:1", b: "http://127.0.0.1:2" } }
routes:
  - { name: inside, match: { listener: inside }, pool: app }
  - { name: go, match: { path: /go }, redirect: { status: 301, path: /gone } }
  - { name: hash, match: { path: "/h*" }, pool: hash }
  - { name: mine, match: { path: "/m*" }, pool: mine }
  - { name: shop, match: { path: "/s*" }, pool: shop }
)";

struct World {
  World() {
    config::Environment files = config::Environment::none();
    files.read_file = [](const std::string&, size_t, bool) { return config::FileText{std::string(32, 'k'), {}}; };
    auto loaded = config::load_text(kText, "weir.yaml", files);
    REQUIRE(loaded.config);
    runtime = registry.build(std::make_shared<const config::Config>(std::move(*loaded.config)), 1);
    for (auto& pool : runtime->pools) pool->publish();
  }
  Explanation ask(const std::string& url, std::vector<std::pair<std::string, std::string>> headers = {},
                  const std::string& client = "192.0.2.1", const std::string& listener = "") {
    return explain(*runtime, {"GET", url, std::move(headers), client, listener}, rng);
  }
  StateRegistry registry{1};
  std::shared_ptr<Runtime> runtime;
  Rng rng{7};
};

}  // namespace

TEST_CASE("the listener: by name, by the URL's port, else the first") {
  World world;
  CHECK(world.ask("/").listener == "web");
  CHECK(world.ask("http://h:81/").listener == "inside");
  CHECK(world.ask("http://h:82/").question.starts_with("no listener has port 82; write the port of one"));
  CHECK(world.ask("http://[::1]/").listener == "web");
  CHECK(world.ask("/", {}, "192.0.2.1", "inside").listener == "inside");
  CHECK(world.ask("/", {}, "192.0.2.1", "none").question ==
        "there is no listener \"none\"; the listeners are: web, inside");
  CHECK(world.ask("nonsense").question ==
        "\"nonsense\" is no URL; write http://HOST/PATH, or /PATH (tcp://NAME:PORT for a session)");
  CHECK_FALSE(world.ask("http:///x").question.empty());
  CHECK_FALSE(world.ask("/", {}, "me").question.empty());
}

TEST_CASE("routes before the one that matches say why they don't") {
  World world;
  const auto told = world.ask("http://h.example/h?x=1");
  CHECK(told.outcome == Outcome::forwarded);
  CHECK(told.route == "hash");
  CHECK(told.route_at == "weir.yaml:14:5");
  REQUIRE(told.skipped.size() == 2);
  CHECK(told.skipped[0].why == "listener web is not inside");
  CHECK(told.skipped[1].route == "go");
  CHECK(told.skipped[1].why == "path /go does not cover /h");
  const auto none = world.ask("/none");
  CHECK(none.outcome == Outcome::no_route);
  CHECK(none.skipped.size() == 5);
  CHECK(none.cause == Cause::no_route);
}

TEST_CASE("answers of our own") {
  World world;
  CHECK(world.ask("http://h.example/go").answer == "301 to http://h.example/gone");
  CHECK(world.ask("http://h.example/%00").outcome == Outcome::refused);
  CHECK(world.ask("http://h.example/%00").cause == Cause::bad_request);
  CHECK(world.ask("/a b").cause == Cause::bad_request);
  CHECK(world.ask("/h", {{"Host", "a"}, {"Host", "b"}}).outcome == Outcome::refused);
}

TEST_CASE("a client of TLS at a listener without: the parser's answer to its first bytes") {
  World world;
  auto told = world.ask("https://h.example:80/h");
  CHECK(told.outcome == Outcome::refused);
  CHECK(told.cause == Cause::bad_request);
  CHECK(told.handshake == TlsFailure::none);
  REQUIRE(told.connection.size() == 1);
  CHECK(told.connection[0].rule == "tls");
  CHECK(told.route.empty());
  told = world.ask("http://h.example/h");
  CHECK(told.outcome == Outcome::forwarded);
  CHECK(told.connection.empty());
}

TEST_CASE("the name that a client of TLS asks for") {
  CHECK(approach_of("https://", "A.test:8443").server_name == "a.test");
  CHECK(approach_of("https://", "a.test.").server_name == "a.test");
  CHECK(approach_of("https://", "127.0.0.1:1").server_name.empty());
  CHECK(approach_of("https://", "[::1]:443").server_name.empty());
  CHECK(approach_of("https://", "[::1]").tls);
  CHECK_FALSE(approach_of("http://", "a.test").tls);
}

TEST_CASE("OPTIONS with Max-Forwards: the least of its lines counts, and only numbers do") {
  using Headers = std::vector<std::pair<std::string, std::string>>;
  World world;
  const auto cause = [&](const char* method, Headers headers) {
    return explain(*world.runtime, {method, "http://h.example/h", std::move(headers), "192.0.2.1", ""}, world.rng)
        .cause;
  };
  CHECK(cause("OPTIONS", {{"Max-Forwards", "0"}}) == Cause::max_forwards);
  CHECK(cause("OPTIONS", {{"Max-Forwards", "5"}, {"Max-Forwards", "0"}}) == Cause::max_forwards);
  CHECK(cause("OPTIONS", {{"Max-Forwards", "1"}}) == Cause::none);
  CHECK(cause("OPTIONS", {{"Max-Forwards", "0"}, {"Max-Forwards", "x"}}) == Cause::none);
  CHECK(cause("OPTIONS", {{"Max-Forwards", "00000000000000000001"}}) == Cause::none);
  CHECK(cause("GET", {{"Max-Forwards", "0"}}) == Cause::none);
}

TEST_CASE("keys") {
  World world;
  const auto keyed = world.ask("/h", {{"Cookie", "user=5"}});
  CHECK(keyed.key_from == "cookie user");
  CHECK(keyed.key == "5");
  for (int i = 0; i < 20; ++i) CHECK(world.ask("/h", {{"Cookie", "user=5"}}).chosen == keyed.chosen);
  CHECK(world.ask("/h").key_missing);
  // Only a trusted proxy is believed.
  CHECK(world.ask("/m", {{"X-Forwarded-For", "203.0.113.9"}}).key == "192.0.2.1");
  CHECK(world.ask("/m", {{"X-Forwarded-For", "203.0.113.9"}}, "10.0.0.1").key == "203.0.113.9");
  // In one spelling.
  CHECK(world.ask("/m", {{"X-Forwarded-For", "203.0.113.9:4711"}}, "::ffff:10.0.0.1").key == "203.0.113.9");
  CHECK(world.ask("/m", {{"X-Forwarded-For", "[2001:DB8::1]:443"}}, "10.0.0.1").key == "2001:db8::1");
  CHECK(world.ask("/m", {}, "::ffff:192.0.2.1").key == "192.0.2.1");
  CHECK(world.ask("/m", {{"X-Forwarded-For", "203.0.113.9, _hidden"}}, "10.0.0.1").key == "unknown");
}

TEST_CASE("who takes part, and who doesn't") {
  World world;
  auto& app = *world.runtime->find_pool("app");
  auto told = world.ask("/", {}, "192.0.2.1", "inside");
  CHECK(told.chosen == "a");
  CHECK(told.why == "it is the only candidate");
  REQUIRE(told.backends.size() == 2);
  CHECK(told.backends[0].candidate);
  CHECK_FALSE(told.backends[1].candidate);
  CHECK(told.backends[1].reason == "its weight is 0");
  app.backends[0]->inflight.value = 1;
  told = world.ask("/", {}, "192.0.2.1", "inside");
  CHECK(told.outcome == Outcome::no_backend);
  CHECK(told.cause == Cause::pool_limit);
  CHECK(told.backends[0].full);
  CHECK(app.backends[0]->inflight.value == 1);  // nothing is taken
  app.backends[0]->status = BackendStatus::draining;
  app.publish();
  told = world.ask("/", {}, "192.0.2.1", "inside");
  CHECK(told.cause == Cause::no_backend);
  CHECK(told.chosen.empty());
}

TEST_CASE("a session's own backend, and when another serves it") {
  World world;
  auto& shop = *world.runtime->find_pool("shop");
  const int64_t now = wall_now_ns() / 1'000'000'000;
  const auto cookie = [&](uint32_t backend, int64_t made) {
    char room[route::Affinity::kMostBytes];
    return "weir_affinity=" +
           std::string(room, shop.affinity->write(backend, route::Affinity::new_session(1), made, room));
  };
  CHECK(world.ask("/s").affinity == "cookie weir_affinity: none in this request; the answer sets it");
  CHECK(world.ask("/s", {{"Cookie", "weir_affinity=x"}}).affinity.find("signed with none") != std::string::npos);
  CHECK(world.ask("/s", {{"Cookie", cookie(1, now - 9 * 3600)}}).affinity.find("expired") != std::string::npos);
  const std::string home = "a=1; " + cookie(1, now);
  for (int i = 0; i < 20; ++i) CHECK(world.ask("/s", {{"Cookie", home}}).chosen == "b");
  CHECK(world.ask("/s", {{"Cookie", "weir_affinity=x; " + home}}).chosen == "b");
  CHECK(world.ask("/s", {{"Cookie", home}}).why == "the session's cookie names it");

  auto& b = *shop.backends[1];
  b.inflight.value = 1;
  auto told = world.ask("/s", {{"Cookie", home}});
  CHECK(told.chosen == "a");
  CHECK(told.affinity.find("which is full") != std::string::npos);
  b.inflight.value = 0;

  // Drained: its sessions alone, until the time is over.
  b.status = BackendStatus::draining;
  b.order = BackendOrder::drain;
  b.ordered_at_ns = monotonic_now().time_since_epoch().count();
  shop.publish();
  CHECK(world.ask("/s", {{"Cookie", home}}).chosen == "b");
  CHECK(world.ask("/s").chosen == "a");
  b.health = BackendStatus::down;
  CHECK(world.ask("/s", {{"Cookie", home}}).chosen == "a");
  b.health = BackendStatus::up;
  b.ordered_at_ns = b.ordered_at_ns - Duration(std::chrono::minutes(31)).count();
  told = world.ask("/s", {{"Cookie", home}});
  CHECK(told.chosen == "a");
  CHECK(told.affinity.find("takes no requests now") != std::string::npos);
  b.order = BackendOrder::disable;
  b.ordered_at_ns = monotonic_now().time_since_epoch().count();
  CHECK(world.ask("/s", {{"Cookie", home}}).chosen == "a");
}
