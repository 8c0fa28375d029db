// What one process hands to the next of backends' health: as it was, in bounds, and nothing that could never end.
#include "health/handed.hpp"

#include <set>

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
  pool.health.slow_start = 100s;
  pool.eject.for_ = 30s;
  pool.eject.max = 100s;
  return pool;
}

BackendHealth fresh(const config::Pool& pool, Duration now = 0s) {
  return BackendHealth(shared(pool), {}, at(now), false);
}

/// What the next process makes of it, with this configuration.
BackendHealth next(const BackendHealth& old, const config::Pool& before, const config::Pool& after, Duration now) {
  auto health = fresh(after, now);
  health.recall(old.known(at(now)), checks_id(before.health) == checks_id(after.health), at(now));
  return health;
}

BackendHealth down(const config::Pool& pool) {
  auto health = fresh(pool);
  health.on_check(false, "connect refused", at(0s));
  return health;
}

BackendHealth ejected(const config::Pool& pool) {
  auto health = fresh(pool);
  health.eject("5 failures in a row", at(0s));
  return health;
}

std::vector<std::string> good_line() {
  return {"app", "a", "10.0.0.1:80", "down", "1", "0", "none", "2", "4", "3", "5", "6", "ejected later_word", "why"};
}

}  // namespace

TEST_CASE("health comes back as it went") {
  HandedHealth one{"a\tpool", "b 1", "10.0.0.1:80", "0123", {}, 77};
  one.known.checks = {Verdict::down, true, 1, 2};
  one.known.ejection = {true, at(20s), at(1s), 3};
  one.known.check_failed_while_ejected = true;
  one.known.slow_since = at(2s);
  one.known.reason = "5 failures in a row; out for 90s";
  HandedHealth other{"app", "b2", "unix:/run/app.sock", "none", {}, 0};
  other.known.checks = {Verdict::up, false, 0, 9};
  const auto handed = handed_health(lines_of({one, other}).lines, at(10s));
  CHECK(handed.wrong == 0);
  REQUIRE(handed.known.size() == 2);
  CHECK(handed.known[0].pool == "a\tpool");
  CHECK(handed.known[0].backend == "b 1");
  CHECK(handed.known[0].address == "10.0.0.1:80");
  CHECK(handed.known[0].checks == "0123");
  CHECK(handed.known[0].since_wall_ns == 77);
  CHECK(handed.known[0].known == one.known);
  CHECK(handed.known[1].known == other.known);
}

TEST_CASE("lines that can't be are passed over, one by one; what a newer Weir adds, too") {
  auto newer = good_line();
  newer.push_back("more");
  CHECK(handed_health({good_line(), newer}, at(0s)).known.size() == 2);
  for (const auto& [field, text, why] :
       std::vector<std::tuple<size_t, std::string, std::string>>{{3, "sideways", "there is no verdict"},
                                                                 {4, "-1", "is no number"},
                                                                 {5, "", "is no number"},
                                                                 {7, "99999999999", "is no number"},
                                                                 {8, "-1", "is no time"},
                                                                 {8, "9223372036854775808", "is no number"},
                                                                 {9, "9000000000000000000", "of the future"},
                                                                 {10, "-5", "is no time"},
                                                                 {10, "9000000000000000000", "of the future"},
                                                                 {11, "x", "is no number"}}) {
    auto bad = good_line();
    bad[field] = text;
    const auto handed = handed_health({bad, good_line(), {}, {"app"}}, at(0s));
    CHECK(handed.known.size() == 1);
    CHECK(handed.wrong == 3);
    INFO(field << " " << text << ": " << handed.first_why);
    CHECK(handed.first_why.find(why) != std::string::npos);
  }
  auto vast = good_line();
  vast[4] = vast[5] = vast[7] = "4294967295";
  vast[11] = "9000000000000000000";
  vast[13] = std::string(10'000, 'x');
  const auto bounded = handed_health({vast}, at(0s)).known.at(0);
  CHECK(bounded.known.checks.against == 1'000'000);
  CHECK(bounded.known.ejection.row == 1'000'000);
  CHECK(bounded.since_wall_ns <= wall_now_ns());
  CHECK(bounded.known.reason.size() == 512);
}

TEST_CASE("the health of as many backends as fit is handed on") {
  std::vector<HandedHealth> many(10'000, {"some-pool", "some-backend", "10.0.0.1:8080", "0123456789abcdef", {}, 1});
  for (auto& one : many) one.known.reason = "5 failures in a row; out for 90s";
  CHECK(lines_of(many).left_out == 0);
  const auto some = lines_of(many, 10'000);
  CHECK(some.lines.size() > 20);
  CHECK(some.lines.size() + some.left_out == many.size());
}

TEST_CASE("other settings of checks have another id") {
  std::vector<config::Health> all(12);
  for (size_t i = 1; i < all.size(); ++i) all[i].type = config::Health::Type::http;
  all[2].type = config::Health::Type::tcp;
  all[3].path = "/x";
  all[4].host = "/x";
  all[5].expect_status = {{204, 204}};
  all[6].service = "/x";
  all[7].expect_body = "/x";
  all[8].interval = 1s;
  all[9].fall = 2;
  all[10].rise = 3;
  all[11].slow_start = 1s;
  std::set<std::string> ids;
  for (const auto& health : all) CHECK(ids.insert(checks_id(health)).second);
  CHECK(checks_id(all[1]) == checks_id(config::Health(all[1])));
}

TEST_CASE("down stays down, until checks say otherwise") {
  const auto pool = checked_pool();
  auto old = down(pool);
  old.on_check(true, "", at(2s));
  auto health = next(old, pool, pool, 3s);
  CHECK(health.status() == BackendStatus::down);
  CHECK(health.reason() == "check succeeded 1 of 2 times");
  health.on_check(true, "", at(4s));
  CHECK(health.status() == BackendStatus::up);
  CHECK(health.reason() == "2 checks in a row succeeded");
  CHECK(health.weight_permille(at(4s)) == 100);
}

TEST_CASE("up stays up, until as many checks have failed as before") {
  const auto pool = checked_pool();
  auto old = fresh(pool);
  old.on_check(true, "", at(0s));
  old.on_check(false, "closed without an answer", at(2s));
  auto health = next(old, pool, pool, 3s);
  CHECK(health.status() == BackendStatus::up);
  CHECK(health.reason() == "check failed 1 of 3 times: closed without an answer");
  health.on_check(false, "connection reset", at(4s));
  CHECK(health.status() == BackendStatus::up);
  health.on_check(false, "connection reset", at(6s));
  CHECK(health.status() == BackendStatus::down);
}

TEST_CASE("with other checks the next one decides alone, as at a reload") {
  const auto before = checked_pool();
  auto after = before;
  after.health.path = "/other";
  auto health = next(down(before), before, after, 1s);
  CHECK(health.status() == BackendStatus::down);
  CHECK(health.reason() == "connect refused");
  health.on_check(true, "", at(2s));
  CHECK(health.status() == BackendStatus::up);
  // It had been so already: a reload, and an upgrade before the first check.
  auto reloaded = down(before);
  reloaded.configure(shared(after), {}, at(1s));
  auto later = next(reloaded, after, after, 2s);
  later.on_check(true, "", at(3s));
  CHECK(later.status() == BackendStatus::up);
}

TEST_CASE("without checks nothing stays down") {
  const auto before = checked_pool();
  auto after = before;
  after.health.type = config::Health::Type::none;
  auto health = next(down(before), before, after, 1s);
  CHECK(health.status() == BackendStatus::unknown);
  CHECK(health.reason() == "not checked any more");
  // Where it is ejected as well, that stays, and ends.
  auto old = ejected(before);
  for (int i = 0; i < 3; ++i) old.on_check(false, "connect refused", at(1s));
  auto other = next(old, before, after, 2s);
  CHECK(other.status() == BackendStatus::ejected);
  CHECK(other.end_due_ejection({}, at(30s)));
  CHECK(other.status() == BackendStatus::unknown);
}

TEST_CASE("what was found here counts where the old process knew nothing") {
  auto before = checked_pool();
  before.health.type = config::Health::Type::none;
  const auto after = checked_pool();
  auto health = down(after);
  CHECK_FALSE(health.recall(fresh(before).known(at(1s)), false, at(1s)));
  CHECK(health.status() == BackendStatus::down);
  CHECK(health.reason() == "connect refused");
  auto unchecked = next(fresh(before), before, after, 1s);
  CHECK(unchecked.reason() == "not checked yet");
}

TEST_CASE("an ejection lasts for the rest of its time, and the next one is longer") {
  const auto pool = checked_pool();
  auto old = ejected(pool);
  old.end_due_ejection({}, at(30s));
  old.eject("5 failures in a row", at(31s));
  auto health = next(old, pool, pool, 40s);
  CHECK(health.status() == BackendStatus::ejected);
  CHECK(health.reason() == "5 failures in a row; out for 60s");
  CHECK_FALSE(health.end_due_ejection({}, at(90s)));
  CHECK(health.end_due_ejection({}, at(91s)));
  CHECK(health.weight_permille(at(91s)) == 100);
  auto third = next(health, pool, pool, 92s);
  CHECK(third.status() == BackendStatus::unknown);
  CHECK(third.reason() == "the time of its ejection is over");
  third.eject("5 failures in a row", at(93s));
  CHECK(third.reason() == "5 failures in a row; out for 90s");
}

TEST_CASE("a repair seen by checks ends an ejection in the next process, too") {
  const auto pool = checked_pool();
  auto old = ejected(pool);
  old.on_check(true, "", at(1s));
  CHECK(next(old, pool, pool, 2s).status() == BackendStatus::ejected);
  old.on_check(false, "connection reset", at(3s));
  old.on_check(true, "", at(5s));
  auto health = next(old, pool, pool, 6s);
  CHECK(health.status() == BackendStatus::ejected);
  health.on_check(true, "", at(7s));
  CHECK(health.status() == BackendStatus::up);
}

TEST_CASE("an ejection ends where that is off, and lasts no longer than its maximum") {
  const auto before = checked_pool();
  auto after = before;
  after.eject.enabled = false;
  auto health = next(ejected(before), before, after, 1s);
  CHECK(health.status() == BackendStatus::unknown);
  CHECK(health.reason() == "ejection was switched off");

  KnownHealth vast;
  vast.ejection = {true, at(1'000'000s), at(0s), 1'000'000};
  after.eject = before.eject;
  after.eject.for_ = after.eject.max = 10s;
  health = fresh(after);
  health.recall(vast, true, at(0s));
  CHECK_FALSE(health.end_due_ejection({}, at(9s)));
  CHECK(health.end_due_ejection({}, at(10s)));
  health.eject("5 failures in a row", at(11s));
  CHECK(health.reason() == "5 failures in a row; out for 10s");
}

TEST_CASE("slow start goes on where it was") {
  const auto pool = checked_pool();
  auto old = down(pool);
  for (int i = 0; i < 2; ++i) old.on_check(true, "", at(10s));
  auto health = next(old, pool, pool, 60s);
  CHECK(health.weight_permille(at(60s)) == 500);
  CHECK(health.weight_permille(at(110s)) == 1000);
  // One that is through begins no longer one, and without the setting there is none.
  auto longer = pool;
  longer.health.slow_start = 1h;
  CHECK(next(old, pool, longer, 110s).weight_permille(at(110s)) == 1000);
  auto none = pool;
  none.health.slow_start = 0s;
  CHECK(next(old, pool, none, 60s).weight_permille(at(60s)) == 1000);
}

}  // namespace weir::health
