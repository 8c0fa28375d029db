// How `defaults` and a pool's own keys become one, and the short forms.
#include "tests/unit/config/support.hpp"

using namespace weir::config;
using namespace weir::config::test;

namespace {

Pool pool_with(const std::string& defaults, const std::string& own) {
  return good(fmt::format("listeners: {{ web: {{ bind: \":80\" }} }}\ndefaults: {{ {} }}\npools: {{ p: {{ {}backends: "
                          "{{ a: \"unix:/a\", b: \"unix:/b\" }} }} }}\nroutes: [ {{ pool: p }} ]\n",
                          defaults, own.empty() ? "" : own + ", "))
      .pools[0];
}

}  // namespace

TEST_CASE("a pool's keys beat the defaults, one by one") {
  const Pool pool = pool_with(
      "balance: random, timeout: { connect: 1s, idle: 2s }, retry: { attempts: 1, budget: 5% }, limits: { queue: 7, "
      "inflight: 9 }, host: upstream, panic: 10%",
      "timeout: { idle: 3s }, retry: { budget: 6% }, limits: { inflight: off }, host: keep");
  CHECK(pool.balance.algorithm == "random");
  CHECK(pool.timeout.connect == 1s);
  CHECK(pool.timeout.idle == 3s);
  CHECK(pool.timeout.response == 60s);
  CHECK(pool.retry.attempts == 1);
  CHECK(pool.retry.budget_percent == 6);
  CHECK(pool.limits.queue == 7);
  CHECK(pool.limits.inflight == 0);
  CHECK(pool.host == Pool::Host::keep);
  CHECK(pool.panic_percent == 10);
}

TEST_CASE("balance is one value") {
  const Pool pool =
      pool_with("balance: { consistent_hash: client, bound: 200% }", "balance: { consistent_hash: path }");
  CHECK(pool.balance.key->kind == KeySpec::Kind::path);
  CHECK(pool.balance.bound_percent == 150);
  CHECK_FALSE(pool_with("balance: { consistent_hash: client }", "balance: latency").balance.key);
}

TEST_CASE("health: a type of its own replaces what defaults say") {
  const std::string http = "health: { path: /h, interval: 9s, fall: 9, expect: { body: ok } }";
  CHECK(pool_with(http, "").health.type == Health::Type::http);
  CHECK(pool_with(http, "").health.interval == 9s);
  const Health merged = pool_with(http, "health: { fall: 5 }").health;
  CHECK(merged.path == "/h");
  CHECK(merged.fall == 5);
  CHECK(merged.interval == 9s);
  const Health tcp = pool_with(http, "health: { type: tcp, fall: 5 }").health;
  CHECK(tcp.type == Health::Type::tcp);
  CHECK(tcp.interval == 2s);
  CHECK(tcp.expect_body.empty());
  CHECK(pool_with(http, "health: { type: http }").health.path == "/");
  CHECK(pool_with(http, "health: false").health == Health{});
  CHECK(pool_with("health: { interval: 9s }", "").health.type == Health::Type::none);
  CHECK(pool_with("health: { interval: 9s }", "health: { path: /x }").health.interval == 9s);
  CHECK(pool_with("health: { type: tcp, interval: 9s }", "health: { path: /x }").health.interval == 2s);
  CHECK(pool_with("health: { type: tcp, interval: 9s }", "health: { path: /x }").health.type == Health::Type::http);
  CHECK(pool_with(http, "health: { type: none }").health.type == Health::Type::none);
}

TEST_CASE("false switches off, and a map on again") {
  CHECK_FALSE(pool_with("eject: false", "").eject.enabled);
  CHECK(pool_with("eject: false", "eject: true").eject.enabled);
  CHECK(pool_with("eject: false", "eject: { after: 3 }").eject.enabled);
  CHECK_FALSE(pool_with("eject: { after: 3 }", "eject: { enabled: false }").eject.enabled);
  CHECK(pool_with("retry: false", "").retry.attempts == 0);
  CHECK(pool_with("retry: false", "retry: { when: [connect] }").retry.attempts == 2);
  CHECK(pool_with("retry: false", "retry: true").retry.attempts == 2);
  CHECK(pool_with("retry: { attempts: 3 }", "retry: { when: timeout }").retry.attempts == 3);
}

TEST_CASE("retry.when is a whole") {
  const Retry retry = pool_with("retry: { when: [connect, 503] }", "retry: { when: [reset] }").retry;
  CHECK_FALSE(retry.connect);
  CHECK(retry.reset);
  CHECK(retry.statuses.empty());
}

TEST_CASE("defaults from an included file reach the pools of the others") {
  World world;
  world.files = {{"weir.yaml", "include: [d.yaml]\n" + kMinimal}, {"d.yaml", "defaults: { panic: 30% }\n"}};
  const LoadResult result = load_file("weir.yaml", world.environment());
  REQUIRE(result.config);
  CHECK(result.config->pools[0].panic_percent == 30);
}
