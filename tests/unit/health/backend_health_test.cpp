#include "health/backend_health.hpp"

#include "tests/catch.hpp"
#include "tests/unit/health/pool_of.hpp"

namespace weir::health {
using namespace std::chrono_literals;
using test::at;
using test::pool_of;
using test::shared;

namespace {
config::Pool checked_pool() {
  config::Pool pool = pool_of(2);
  pool.health.type = config::Health::Type::http;
  pool.health.rise = 2;
  pool.health.fall = 3;
  pool.eject.for_ = 30s;
  return pool;
}
BackendHealth fresh(const config::Pool& pool) { return BackendHealth(shared(pool), {}, at(0s), false); }
}  // namespace

TEST_CASE("before the first check it is usable; the first check decides alone") {
  auto health = fresh(checked_pool());
  CHECK(health.status() == BackendStatus::unknown);
  CHECK(health.reason() == "not checked yet");
  SECTION("up") {
    health.on_check(true, "", at(1s));
    CHECK(health.status() == BackendStatus::up);
    CHECK(health.reason() == "check succeeded");
  }
  SECTION("down") {
    health.on_check(false, "connect refused", at(1s));
    CHECK(health.status() == BackendStatus::down);
    CHECK(health.reason() == "connect refused");
  }
}

TEST_CASE("without checks it says so") {
  auto health = fresh(pool_of(2));
  CHECK(health.status() == BackendStatus::unknown);
  CHECK(health.reason() == "not checked");
}

TEST_CASE("the reason tells how far it is from a change") {
  auto health = fresh(checked_pool());
  health.on_check(true, "", at(0s));
  health.on_check(false, "status 500, expected 200-299", at(2s));
  CHECK(health.status() == BackendStatus::up);
  CHECK(health.reason() == "check failed 1 of 3 times: status 500, expected 200-299");
  health.on_check(true, "", at(4s));
  CHECK(health.reason() == "check succeeded");
  for (int i = 0; i < 3; ++i) health.on_check(false, "no answer within 1s", at(6s + i * 2s));
  CHECK(health.status() == BackendStatus::down);
  CHECK(health.reason() == "no answer within 1s");
  health.on_check(true, "", at(12s));
  CHECK(health.reason() == "check succeeded 1 of 2 times");
  health.on_check(true, "", at(14s));
  CHECK(health.status() == BackendStatus::up);
  CHECK(health.reason() == "2 checks in a row succeeded");
}

TEST_CASE("an ejection lasts its time and ends with what the checks say") {
  auto pool = checked_pool();
  const bool checked = GENERATE(true, false);
  if (!checked) pool.health.type = config::Health::Type::none;
  auto health = fresh(pool);
  if (checked) health.on_check(true, "", at(0s));
  REQUIRE(health.ejectable());
  health.eject("5 failures in a row", at(10s));
  CHECK(health.status() == BackendStatus::ejected);
  CHECK(health.reason() == "5 failures in a row; out for 30s");
  CHECK_FALSE(health.ejectable());
  // Checks that succeed as before are no news.
  if (checked)
    for (auto t = 12s; t < 40s; t += 2s) health.on_check(true, "", at(t));
  CHECK_FALSE(health.end_due_ejection({}, at(40s - 1ms)));
  CHECK(health.status() == BackendStatus::ejected);
  CHECK(health.end_due_ejection({}, at(40s)));
  CHECK(health.status() == (checked ? BackendStatus::up : BackendStatus::unknown));
  CHECK(health.reason() == "the time of its ejection is over");
  CHECK(health.ejectable());

  health.eject("5 failures in a row", at(41s));
  CHECK(health.reason() == "5 failures in a row; out for 60s");
}

TEST_CASE("ejected and failing its checks: down; back with its checks") {
  auto health = fresh(checked_pool());
  health.on_check(true, "", at(0s));
  health.eject("5 failures in a row", at(1s));
  health.on_check(false, "connect refused", at(2s));
  CHECK(health.status() == BackendStatus::ejected);
  CHECK(health.reason() == "5 failures in a row; out for 30s");
  health.on_check(false, "connect refused", at(4s));
  health.on_check(false, "connect refused", at(6s));
  CHECK(health.status() == BackendStatus::down);
  CHECK(health.reason() == "connect refused");
  CHECK_FALSE(health.ejectable());
  health.on_check(true, "", at(8s));
  CHECK(health.status() == BackendStatus::down);
  health.on_check(true, "", at(10s));
  CHECK(health.status() == BackendStatus::up);  // long before the 30 s
  CHECK_FALSE(health.ejected());
}

TEST_CASE("a check that failed and then `rise` successes end an ejection early") {
  auto health = fresh(checked_pool());
  health.on_check(true, "", at(0s));
  SECTION("failed after the ejection") {
    health.eject("5 failures in a row", at(1s));
    health.on_check(true, "", at(2s));
    health.on_check(false, "connect refused", at(4s));
  }
  SECTION("failed just before it") {
    health.on_check(false, "connect refused", at(4s));
    health.eject("5 failures in a row", at(5s));
  }
  health.on_check(true, "", at(6s));
  CHECK(health.status() == BackendStatus::ejected);
  health.on_check(true, "", at(8s));
  CHECK(health.status() == BackendStatus::up);
  CHECK(health.reason() == "2 checks in a row succeeded");
}

TEST_CASE("its ejection is over while its checks fail: it stays down, with their reason") {
  auto health = fresh(checked_pool());
  health.on_check(true, "", at(0s));
  health.eject("5 failures in a row", at(1s));
  for (int i = 0; i < 3; ++i) health.on_check(false, "connect refused", at(2s + i * 2s));
  CHECK(health.end_due_ejection({}, at(31s)));
  CHECK(health.status() == BackendStatus::down);
  CHECK(health.reason() == "connect refused");
}

TEST_CASE("slow start") {
  auto pool = checked_pool();
  pool.health.slow_start = 20s;
  SECTION("not at the start of the process, nor with its first check") {
    auto health = fresh(pool);
    CHECK(health.weight_permille(at(0s)) == 1000);
    health.on_check(true, "", at(1s));
    CHECK(health.weight_permille(at(1s)) == 1000);
  }
  SECTION("when it was added to a running process") {
    BackendHealth health(shared(pool), {}, at(0s), true);
    CHECK(health.weight_permille(at(0s)) == 100);
    health.on_check(true, "", at(10s));
    CHECK(health.weight_permille(at(10s)) == 500);
    CHECK(health.weight_permille(at(20s)) == 1000);
  }
  SECTION("when its checks bring it back") {
    auto health = fresh(pool);
    health.on_check(false, "connect refused", at(0s));
    CHECK(health.weight_permille(at(0s)) == 1000);  // in panic it serves like the others
    health.on_check(true, "", at(2s));
    health.on_check(true, "", at(4s));
    CHECK(health.weight_permille(at(4s)) == 100);
    CHECK(health.weight_permille(at(14s)) == 500);
  }
  SECTION("when it returns from an ejection") {
    auto health = fresh(pool);
    health.eject("5 failures in a row", at(0s));
    CHECK(health.end_due_ejection({}, at(30s)));
    CHECK(health.weight_permille(at(30s)) == 100);
    CHECK(health.weight_permille(at(50s)) == 1000);
  }
  SECTION("not if it isn't configured") {
    auto health = fresh(checked_pool());
    health.eject("5 failures in a row", at(0s));
    CHECK(health.end_due_ejection({}, at(30s)));
    CHECK(health.weight_permille(at(30s)) == 1000);
  }
}

TEST_CASE("the share of failures is judged anew after a return") {
  auto pool = checked_pool();
  pool.eject.error_percent = 50;
  auto health = fresh(pool);
  CHECK_FALSE(health.fails_too_often({19, 19}, at(1s)));
  CHECK(health.fails_too_often({20, 10}, at(2s)));
  CHECK(health.within_window().requests == 20);
  health.eject("10 of 20 requests failed within 10s", at(2s));
  CHECK(health.end_due_ejection({60, 50}, at(32s)));
  CHECK_FALSE(health.fails_too_often({79, 60}, at(33s)));
}

TEST_CASE("a reload") {
  auto pool = checked_pool();
  auto health = fresh(pool);
  health.on_check(false, "connect refused", at(0s));
  SECTION("other checks: the verdict stays until their first result, which decides alone") {
    pool.health.path = "/other";
    health.configure(shared(pool), {}, at(1s));
    CHECK(health.status() == BackendStatus::down);
    health.on_check(true, "", at(2s));
    CHECK(health.status() == BackendStatus::up);
  }
  SECTION("no checks any more: usable") {
    pool.health.type = config::Health::Type::none;
    health.configure(shared(pool), {}, at(1s));
    CHECK(health.status() == BackendStatus::unknown);
    CHECK(health.reason() == "not checked any more");
  }
  SECTION("the same again: the counts are kept") {
    health.on_check(true, "", at(1s));
    health.configure(shared(pool), {}, at(2s));
    CHECK(health.status() == BackendStatus::down);
    health.on_check(true, "", at(3s));
    CHECK(health.status() == BackendStatus::up);
  }
  SECTION("ejection is switched off: it is back at once") {
    health.on_check(true, "", at(1s));
    health.on_check(true, "", at(2s));
    health.eject("5 failures in a row", at(3s));
    pool.eject.enabled = false;
    health.configure(shared(pool), {}, at(4s));
    CHECK(health.status() == BackendStatus::up);
    CHECK_FALSE(health.ejectable());
  }
}

}  // namespace weir::health
