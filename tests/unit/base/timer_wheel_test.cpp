#include "lb/base/timer_wheel.hpp"

#include <functional>
#include <memory>
#include <vector>

#include "lb/base/rng.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint kStart{Duration(1'234'567'891'234)};  // on no round number
constexpr Duration kTick = 100ms;
constexpr Duration kHorizon = kTick * TimerWheel::kSlots;

struct Probe final : Timer {
  explicit Probe(std::function<void(TimePoint)> then = {}) : action(std::move(then)) {}
  void on_timer(TimePoint now) override {
    fired.push_back(now);
    if (action) action(now);
  }
  std::function<void(TimePoint)> action;
  std::vector<TimePoint> fired;
};

/// Ticks to `end`, one by one.
void tick_to(TimerWheel& wheel, TimePoint begin, TimePoint end) {
  for (TimePoint now = begin; now <= end; now += kTick) wheel.advance(now);
}

}  // namespace

TEST_CASE("a timer fires once, never early, less than a tick late") {
  const Duration after =
      GENERATE(Duration(0), Duration(1), Duration(99'999'999), Duration(100ms), Duration(100'000'001), Duration(1s),
               Duration(102'399ms), Duration(102'400ms), Duration(102'401ms), Duration(1h));
  TimerWheel wheel(kStart, kTick);
  Probe probe;
  const TimePoint deadline = kStart + after;
  wheel.arm(probe, deadline);
  CHECK(probe.armed());
  CHECK(probe.deadline() == deadline);
  tick_to(wheel, kStart, deadline + 2 * kTick);
  REQUIRE(probe.fired.size() == 1);
  CHECK(probe.fired[0] >= deadline);
  if (after > Duration(0)) CHECK(probe.fired[0] < deadline + kTick);
  CHECK_FALSE(probe.armed());
}

TEST_CASE("a deadline that has passed fires at the next tick") {
  TimerWheel wheel(kStart, kTick);
  wheel.advance(kStart + 10 * kTick);
  Probe past, now, before_the_start;
  wheel.arm(past, kStart + kTick);
  wheel.arm(now, kStart + 10 * kTick);
  wheel.arm(before_the_start, kStart - 24h);
  wheel.advance(kStart + 10 * kTick);
  CHECK(past.fired.empty());
  wheel.advance(kStart + 11 * kTick);
  CHECK(past.fired.size() == 1);
  CHECK(now.fired.size() == 1);
  CHECK(before_the_start.fired.size() == 1);
}

TEST_CASE("deadlines move later and earlier") {
  TimerWheel wheel(kStart, kTick);
  Probe probe;
  wheel.arm(probe, kStart + 1s);
  SECTION("later") {
    wheel.arm(probe, kStart + 5s);
    tick_to(wheel, kStart, kStart + 4900ms);
    CHECK(probe.fired.empty());
    wheel.advance(kStart + 5s);
    CHECK(probe.fired.size() == 1);
  }
  SECTION("earlier") {
    wheel.arm(probe, kStart + 300ms);
    wheel.advance(kStart + 300ms);
    CHECK(probe.fired.size() == 1);
    tick_to(wheel, kStart + 400ms, kStart + 3s);
    CHECK(probe.fired.size() == 1);
  }
  SECTION("later, then earlier than the first") {
    wheel.arm(probe, kStart + 5s);
    wheel.arm(probe, kStart + 500ms);
    wheel.advance(kStart + 500ms);
    CHECK(probe.fired.size() == 1);
  }
  SECTION("cancelled and armed again") {
    probe.cancel();
    CHECK_FALSE(probe.armed());
    wheel.advance(kStart + 2s);
    CHECK(probe.fired.empty());
    wheel.arm(probe, kStart + 3s);
    wheel.advance(kStart + 3s);
    CHECK(probe.fired.size() == 1);
  }
  SECTION("TimePoint::max() cancels") {
    wheel.arm(probe, TimePoint::max());
    CHECK_FALSE(probe.armed());
    wheel.advance(kStart + 10h);
    CHECK(probe.fired.empty());
  }
}

TEST_CASE("TimePoint::max() is no deadline for a new timer either, and its neighbour is one") {
  TimerWheel wheel(kStart, kTick);
  Probe never, far;
  wheel.arm(never, TimePoint::max());
  wheel.arm(far, TimePoint::max() - Duration(1));
  CHECK_FALSE(never.armed());
  for (int i = 1; i < 5; ++i) wheel.advance(kStart + i * kHorizon);
  CHECK(far.fired.empty());
  CHECK(far.armed());
}

TEST_CASE("beyond the horizon, after jumps and after long silence timers are exact too") {
  TimerWheel wheel(kStart, kTick);
  SECTION("a jump over the whole wheel fires what is due and keeps the rest") {
    Probe soon, middle, late;
    wheel.arm(soon, kStart + 1s);
    wheel.arm(middle, kStart + 3 * kHorizon);
    wheel.arm(late, kStart + 20 * kHorizon);
    const TimePoint landing = kStart + 10 * kHorizon + 12'345'678ns;
    wheel.advance(landing);
    CHECK(soon.fired.size() == 1);
    CHECK(middle.fired.size() == 1);
    CHECK(late.fired.empty());
    tick_to(wheel, landing, kStart + 20 * kHorizon - Duration(1));
    CHECK(late.fired.empty());
    wheel.advance(kStart + 20 * kHorizon);
    CHECK(late.fired.size() == 1);
  }
  SECTION("armed while the wheel has long not been advanced") {
    Probe probe;
    const TimePoint now = kStart + 5 * kHorizon;
    wheel.arm(probe, now + 250ms);
    wheel.advance(now);
    wheel.advance(now + 200ms);
    CHECK(probe.fired.empty());
    wheel.advance(now + 300ms);
    CHECK(probe.fired.size() == 1);
  }
  SECTION("time that stands still or runs backwards does nothing") {
    Probe probe;
    wheel.advance(kStart + 1s);
    wheel.arm(probe, kStart + 1050ms);
    wheel.advance(kStart + 1s);
    wheel.advance(kStart);
    wheel.advance(kStart - 1h);
    CHECK(probe.fired.empty());
    wheel.advance(kStart + 1100ms);
    CHECK(probe.fired.size() == 1);
  }
}

TEST_CASE("on_timer arms, cancels and destroys") {
  TimerWheel wheel(kStart, kTick);
  SECTION("itself, for the past: once a tick, never twice in one call") {
    Probe probe;
    probe.action = [&](TimePoint) { wheel.arm(probe, kStart); };
    wheel.arm(probe, kStart + 1s);
    wheel.advance(kStart + 500s);
    CHECK(probe.fired.size() == 1);
    wheel.advance(kStart + 500s + kTick);
    CHECK(probe.fired.size() == 2);
  }
  SECTION("itself, as a period") {
    Probe probe;
    probe.action = [&](TimePoint now) { wheel.arm(probe, now + 1s); };
    wheel.arm(probe, kStart + 1s);
    tick_to(wheel, kStart, kStart + 60s);
    CHECK(probe.fired.size() == 60);
  }
  SECTION("itself away") {
    Probe* probe = new Probe;
    bool fired = false;
    probe->action = [&fired, probe](TimePoint) {
      fired = true;
      delete probe;
    };
    wheel.arm(*probe, kStart + 1s);
    wheel.advance(kStart + 1s);
    CHECK(fired);
    wheel.advance(kStart + 200s);
  }
  SECTION("others that are due in the same tick, before and behind it") {
    auto before = std::make_unique<Probe>(), behind = std::make_unique<Probe>();
    Probe killer([&](TimePoint) {
      before.reset();
      behind.reset();
    });
    wheel.arm(*before, kStart + 950ms);
    wheel.arm(killer, kStart + 960ms);
    wheel.arm(*behind, kStart + 970ms);
    wheel.advance(kStart + 1s);
    CHECK(killer.fired.size() == 1);
    CHECK_FALSE(behind);
  }
  SECTION("another that is due: cancelled, put off, put on") {
    Probe cancelled, later, again;
    Probe first([&](TimePoint now) {
      cancelled.cancel();
      wheel.arm(later, now + 1s);
      wheel.arm(again, now);
    });
    for (Probe* probe : {&first, &cancelled, &later, &again}) wheel.arm(*probe, kStart + 1s);
    wheel.advance(kStart + 1s);
    CHECK(first.fired.size() == 1);
    CHECK(cancelled.fired.empty());
    CHECK(later.fired.empty());
    CHECK(again.fired.size() == 1);
    wheel.advance(kStart + 2s);
    CHECK(later.fired.size() == 1);
    CHECK(again.fired.size() == 1);
  }
  SECTION("one in the slot that is being looked at, a whole turn later") {
    Probe next;
    Probe first([&](TimePoint now) { wheel.arm(next, now + kHorizon); });
    wheel.arm(first, kStart + 1s);
    wheel.advance(kStart + 1s);
    CHECK(next.fired.empty());
    wheel.advance(kStart + 1s + kHorizon - kTick);
    CHECK(next.fired.empty());
    wheel.advance(kStart + 1s + kHorizon);
    CHECK(next.fired.size() == 1);
  }
}

TEST_CASE("timers and wheels are destroyed in any order") {
  auto wheel = std::make_unique<TimerWheel>(kStart, kTick);
  Probe survivor;
  {
    Probe gone;
    wheel->arm(gone, kStart + 1s);
    wheel->arm(survivor, kStart + 1s);
  }
  wheel.reset();
  CHECK(survivor.fired.empty());
  CHECK_FALSE(survivor.armed());
  TimerWheel other(kStart, kTick);
  other.arm(survivor, kStart + 1s);
  other.advance(kStart + 1s);
  CHECK(survivor.fired.size() == 1);
}

TEST_CASE("timers that are due fire in the order of their ticks") {
  TimerWheel wheel(kStart, kTick);
  std::vector<int> order;
  std::vector<std::unique_ptr<Probe>> probes;
  for (const int i : {5, 2, 900, 1, 4, 3}) {
    probes.push_back(std::make_unique<Probe>([&order, i](TimePoint) { order.push_back(i); }));
    wheel.arm(*probes.back(), kStart + i * kTick);
  }
  wheel.advance(kStart + 4 * kHorizon);
  CHECK(order == std::vector<int>{1, 2, 3, 4, 5, 900});
}

TEST_CASE("random arming, moving, cancelling and jumping against a plain list of deadlines") {
  Rng rng(42);
  TimerWheel wheel(kStart, kTick);
  constexpr size_t kTimers = 200;
  std::vector<std::unique_ptr<Probe>> probes(kTimers);
  std::vector<TimePoint> deadlines(kTimers, TimePoint::max());
  std::vector<TimePoint> armed_at(kTimers);
  TimePoint now = kStart;
  size_t fired = 0;
  for (size_t i = 0; i < kTimers; ++i) {
    probes[i] = std::make_unique<Probe>([&, i](TimePoint at) {
      ++fired;
      REQUIRE(at >= deadlines[i]);
      deadlines[i] = TimePoint::max();
      if (rng.below(3) == 0) wheel.arm(*probes[i], deadlines[i] = at + Duration(rng() % 20'000'000'000));
    });
  }
  for (int step = 0; step < 20'000; ++step) {
    const size_t i = rng.below(kTimers);
    const auto choice = rng.below(10);
    if (choice < 5) {
      armed_at[i] = now;
      const Duration range = rng.below(5) == 0 ? 3 * kHorizon : Duration(5s);
      wheel.arm(*probes[i],
                deadlines[i] = now + Duration(rng() % static_cast<uint64_t>(range.count())) - Duration(200ms));
    } else if (choice < 6) {
      probes[i]->cancel();
      deadlines[i] = TimePoint::max();
    } else {
      const Duration jump = rng.below(500) == 0 ? 2 * kHorizon : Duration(rng() % 200'000'000);
      now += jump;
      wheel.advance(now);
      // Whatever was due at the last tick before now, and armed before it, has fired.
      const TimePoint tick = kStart + (now - kStart) / kTick * kTick;
      for (size_t k = 0; k < kTimers; ++k)
        if (deadlines[k] < tick - kTick) REQUIRE(armed_at[k] >= tick - kTick);
    }
  }
  CHECK(fired > 2'000);
}
