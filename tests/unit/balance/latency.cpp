#include "lb/balance/latency.hpp"

#include "tests/catch.hpp"
#include "tests/unit/balance/sim_pool.hpp"

using namespace weir;
using namespace weir::balance;
using namespace std::chrono_literals;

namespace {
const TimePoint kStart{Duration(3h)};
}

TEST_CASE("latency: nothing observed is 0, the first observation counts in full", "[latency]") {
  std::atomic<uint64_t> cell{0};
  CHECK(value(cell, kStart) == 0);
  observe(cell, kStart, 2'500);
  CHECK(value(cell, kStart) == 2'500);
  cell = 0;
  observe(cell, TimePoint{}, 0);  // an answer within a microsecond, at the beginning of time, is an observation too
  CHECK(value(cell, TimePoint{}) == 1);
}

TEST_CASE("latency: a peak counts at once, faster answers slowly", "[latency]") {
  std::atomic<uint64_t> cell{0};
  observe(cell, kStart, 10'000);
  observe(cell, kStart, 90'000);
  CHECK(value(cell, kStart) == 90'000);
  observe(cell, kStart, 10'000);  // in the same millisecond
  CHECK(value(cell, kStart) == 90'000);
  TimePoint now = kStart;
  for (int i = 0; i < 100; ++i) observe(cell, now += 100ms, 10'000);
  CHECK(value(cell, now) == Approx(10'000 + 80'000 * std::exp(-1.0)).epsilon(0.001));  // after 10 s
  for (int i = 0; i < 1'000; ++i) observe(cell, now += 100ms, 10'000);
  CHECK(value(cell, now) == Approx(10'000).epsilon(0.01));
}

TEST_CASE("latency: an average follows at any rate of requests", "[latency]") {
  const auto step =
      GENERATE(std::chrono::nanoseconds(50us), std::chrono::nanoseconds(1ms), std::chrono::nanoseconds(1s));
  std::atomic<uint64_t> cell{0};
  observe(cell, kStart, 80'000);
  TimePoint now = kStart;
  for (; now < kStart + 30s; now += step) observe(cell, now, 5'000);
  CHECK(value(cell, now) < 9'500);
  CHECK(value(cell, now) >= 4'500);
}

TEST_CASE("latency: an old measurement fades, and never to nothing", "[latency]") {
  std::atomic<uint64_t> cell{0};
  observe(cell, kStart, 100'000);
  CHECK(value(cell, kStart + 10s) == Approx(100'000 * std::exp(-1.0)).epsilon(0.001));
  CHECK(value(cell, kStart + 20s) == Approx(100'000 * std::exp(-2.0)).epsilon(0.001));
  CHECK(value(cell, kStart + 24h * 7) == 1);
  CHECK(value(cell, kStart - 50ms) == 100'000);  // another worker's clock is a little behind
  observe(cell, kStart - 50ms, 10);
  CHECK(value(cell, kStart) == 100'000);
}

TEST_CASE("latency: the milliseconds may wrap round", "[latency]") {
  const TimePoint before{Duration(std::chrono::milliseconds((int64_t{1} << 32) - 5'000))};
  std::atomic<uint64_t> cell{0};
  observe(cell, before, 100'000);
  CHECK(value(cell, before + 10s) == Approx(100'000 * std::exp(-1.0)).epsilon(0.001));
}

TEST_CASE("latency: absurd durations don't overflow", "[latency]") {
  std::atomic<uint64_t> cell{0};
  observe(cell, kStart, ~uint64_t{0});
  CHECK(value(cell, kStart) == 4'000'000'000u);
}

TEST_CASE("latency: an unseen backend is tried first, by one request", "[latency]") {
  SimPool pool(equal_weights(2));
  pool.now = kStart;
  Rng rng(1);
  auto picker = pool.picker("latency", rng);
  observe(pool[0].latency, kStart, 20'000);
  REQUIRE(pool.pick(*picker, rng) == 1);
  ++pool[1].inflight;
  for (int i = 0; i < 20; ++i) {
    REQUIRE(pool.pick(*picker, rng) == 0);
    ++pool[0].inflight;
  }
  // Its first answer has come: from now on it is judged like the others.
  --pool[1].inflight;
  observe(pool[1].latency, kStart, 20'000);
  CHECK(pool.pick(*picker, rng) == 1);
}

TEST_CASE("latency: the product of latency and load decides, by weight", "[latency]") {
  SimPool pool({1000, 1000});
  pool.now = kStart;
  Rng rng(2);
  observe(pool[0].latency, kStart, 10'000);
  observe(pool[1].latency, kStart, 45'000);
  auto picker = pool.picker("latency", rng);
  pool[0].inflight = 3;
  CHECK(pool.pick(*picker, rng) == 0);  // 40 against 45
  pool[0].inflight = 4;
  CHECK(pool.pick(*picker, rng) == 1);  // 50 against 45
  pool.candidates()[0].weight = 2000;
  picker->adopt(pool.table("latency"), rng);
  CHECK(pool.pick(*picker, rng) == 0);  // 25 against 45
}
