// The token buckets, with time passed in.
#include "lb/route/rate_limit.hpp"

#include <atomic>
#include <map>
#include <thread>

#include "lb/base/rng.hpp"
#include "tests/catch.hpp"
#include "tests/unit/route/allocations.hpp"

using namespace weir;
using namespace weir::route;
using namespace std::chrono_literals;

namespace {

const TimePoint kStart{1'000'000s};

config::RateLimit limit(uint32_t count, std::chrono::milliseconds period, uint32_t burst, uint32_t keys = 100'000) {
  config::RateLimit made;
  made.rate = {count, period};
  made.burst = burst;
  made.max_keys = keys;
  return made;
}

uint32_t taken(RateLimiter& limiter, uint64_t key, TimePoint now, uint32_t tries) {
  uint32_t allowed = 0;
  for (uint32_t i = 0; i < tries; ++i) allowed += limiter.take(key, now).allowed;
  return allowed;
}

}  // namespace

TEST_CASE("peek says what take would, and takes nothing") {
  RateLimiter limiter(limit(3, 1s, 2, 4));
  Rng rng(3);
  TimePoint now = kStart;
  for (int i = 0; i < 5000; ++i) {
    const uint64_t key = rng() % 6;
    const size_t kept = limiter.size();
    const auto told = limiter.peek(key, now);
    CHECK(limiter.size() == kept);
    const auto verdict = limiter.take(key, now);
    CHECK(told.allowed == verdict.allowed);
    CHECK(told.wait == verdict.wait);
    CHECK_FALSE(told.evicted);
    now += std::chrono::milliseconds(rng() % 200);
  }
}

TEST_CASE("a full bucket, then as fast as the rate") {
  RateLimiter limiter(limit(10, 1s, 5));
  CHECK(taken(limiter, 1, kStart, 20) == 5);
  CHECK(taken(limiter, 1, kStart + 99ms, 5) == 0);
  CHECK(taken(limiter, 1, kStart + 100ms, 5) == 1);
  CHECK(taken(limiter, 1, kStart + 350ms, 5) == 2);
  CHECK(taken(limiter, 1, kStart + 399ms, 5) == 0);
  CHECK(taken(limiter, 1, kStart + 400ms, 5) == 1);  // the half token was not lost
  CHECK(taken(limiter, 1, kStart + 1h, 20) == 5);    // never more than a bucket
}

TEST_CASE("keys don't share buckets") {
  RateLimiter limiter(limit(1, 1h, 2));
  CHECK(taken(limiter, 1, kStart, 5) == 2);
  CHECK(taken(limiter, 2, kStart, 5) == 2);
  CHECK(limiter.size() == 2);
}

TEST_CASE("the wait is when a token is there, to the nanosecond") {
  for (const auto& [count, period] :
       std::map<uint32_t, std::chrono::milliseconds>{{1, 1s}, {3, 1s}, {7, 60s}, {999'983, 3600s}}) {
    RateLimiter limiter(limit(count, period, 1));
    REQUIRE(limiter.take(1, kStart).allowed);
    const auto verdict = limiter.take(1, kStart + 1ns);
    REQUIRE_FALSE(verdict.allowed);
    CHECK(verdict.wait > 0ns);
    CHECK_FALSE(limiter.take(1, kStart + verdict.wait).allowed);
    CHECK(limiter.take(1, kStart + 1ns + verdict.wait).allowed);
  }
}

TEST_CASE("over a long time neither more nor less than the rate") {
  RateLimiter limiter(limit(7, 1s, 3));
  Rng rng(1);
  TimePoint now = kStart;
  uint64_t allowed = 0;
  while (now < kStart + 10'000s) {
    now += Duration(rng.below(40'000'000));
    allowed += limiter.take(1, now).allowed;
  }
  const auto bound = 3 + 7 * static_cast<uint64_t>((now - kStart) / 1s);
  CHECK(allowed <= bound);
  CHECK(allowed >= bound - 4);
}

TEST_CASE("a clock that lies a little behind gives nothing away") {
  RateLimiter limiter(limit(1000, 1s, 1));
  CHECK(limiter.take(1, kStart).allowed);
  CHECK(limiter.take(1, kStart + 1ms).allowed);
  for (int i = 0; i < 10; ++i) {
    CHECK_FALSE(limiter.take(1, kStart).allowed);
    CHECK_FALSE(limiter.take(1, kStart + 1ms).allowed);
  }
  CHECK(limiter.take(1, kStart).wait == 2ms);
  CHECK(limiter.take(1, kStart + 2ms).allowed);
}

TEST_CASE("the largest limit does not overflow") {
  RateLimiter limiter(limit(1'000'000, 1h, 1'000'000));
  CHECK(taken(limiter, 1, kStart, 1'000'001) == 1'000'000);
  CHECK(taken(limiter, 1, kStart + 24h * 365 * 200, 1'000'001) == 1'000'000);
}

TEST_CASE("the least recent key makes room, and it is said what that lost") {
  RateLimiter limiter(limit(1, 1s, 2, 3));
  for (uint64_t key : {1, 2, 3}) CHECK_FALSE(limiter.take(key, kStart).evicted);
  limiter.take(1, kStart + 1ms);  // now 2 is the least recent
  const auto active = limiter.take(4, kStart + 2ms);
  CHECK(active.evicted);
  CHECK(active.evicted_active);
  CHECK(limiter.size() == 3);
  CHECK(taken(limiter, 1, kStart + 3ms, 2) == 0);    // kept
  const auto again = limiter.take(2, kStart + 4ms);  // 3 goes
  CHECK(again.evicted);
  CHECK(again.allowed);
  const auto idle = limiter.take(5, kStart + 10s);
  CHECK(idle.evicted);
  CHECK_FALSE(idle.evicted_active);
  CHECK(limiter.size() == 3);
}

TEST_CASE("a table of one key") {
  RateLimiter limiter(limit(1, 1h, 1, 1));
  CHECK(limiter.take(1, kStart).allowed);
  CHECK_FALSE(limiter.take(1, kStart).allowed);
  CHECK(limiter.take(2, kStart).evicted);
  CHECK(limiter.take(1, kStart).allowed);
  CHECK(limiter.size() == 1);
}

TEST_CASE("the table stays bounded and right under many keys") {
  RateLimiter limiter(limit(1, 1h, 1, 5'000));
  Rng rng(3);
  size_t evicted = 0;
  for (int i = 0; i < 50'000; ++i) evicted += limiter.take(rng(), kStart + Duration(i)).evicted;
  CHECK(limiter.size() == 5'000);
  CHECK(evicted == 45'000);
}

TEST_CASE("like a model with exact least-recent order") {
  RateLimiter limiter(limit(1, 10s, 3, 50));
  struct Model {
    int64_t parts;  // of 10 a token
    TimePoint filled;
    uint64_t used;
  };
  std::map<uint64_t, Model> model;
  Rng rng(5);
  TimePoint now = kStart;
  for (uint64_t step = 0; step < 20'000; ++step) {
    now += std::chrono::seconds(rng.below(3));
    const uint64_t key = rng.below(80) * 0x9e3779b97f4a7c15ULL;
    bool evicted = false;
    if (!model.contains(key)) {
      if (model.size() == 50) {
        model.erase(std::min_element(model.begin(), model.end(),
                                     [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
        evicted = true;
      }
      model[key] = {30, now, step};
    }
    Model& bucket = model[key];
    bucket.parts = std::min<int64_t>(30, bucket.parts + (now - bucket.filled) / 1s);
    bucket.filled = now;
    bucket.used = step;
    const bool allowed = bucket.parts >= 10;
    if (allowed) bucket.parts -= 10;
    const auto verdict = limiter.take(key, now);
    REQUIRE(verdict.allowed == allowed);
    REQUIRE(verdict.evicted == evicted);
  }
}

TEST_CASE("exact over four threads with one key") {
  RateLimiter limiter(limit(1000, 1s, 500));
  std::atomic<uint64_t> allowed{0};
  std::atomic<int64_t> clock{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      uint64_t mine = 0;
      for (int k = 0; k < 50'000; ++k) mine += limiter.take(1, kStart + Duration(clock.fetch_add(10'000))).allowed;
      allowed += mine;
    });
  for (auto& thread : threads) thread.join();
  // 200,000 tries over two seconds of the made-up clock.
  CHECK(allowed <= 500 + 2000);
  CHECK(allowed >= 500 + 1990);
}

TEST_CASE("taking allocates nothing") {
  RateLimiter limiter(limit(10, 1s, 10, 1000));
  const uint64_t before = allocations();
  for (uint64_t key = 0; key < 3000; ++key) limiter.take(key * 0x9e3779b97f4a7c15ULL, kStart);
  CHECK(allocations() == before);
}
