#include "lb/proxy/admission.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include "config/load.hpp"
#include "lb/balance/policy.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace weir::proxy;

TEST_CASE("limits.inflight is exact over threads") {
  PoolState state("app", 4);
  const auto admission = std::make_shared<Admission>(state);
  config::PoolLimits limits;
  limits.inflight = 64;
  std::atomic<uint32_t> inside{0}, most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50'000; ++i) {
        uint32_t held = 0;
        for (int k = 0; k < 20; ++k)
          if (admission->try_admit(limits)) ++held;
        const uint32_t now = inside.fetch_add(held) + held;
        for (uint32_t seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
        }
        inside.fetch_sub(held);
        for (uint32_t k = 0; k < held; ++k) admission->release(limits, false);
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(most <= 64);
  CHECK(most >= 1);
  CHECK(state.inflight.value == 0);
}

TEST_CASE("the queue is bounded, and who gives up leaves it") {
  PoolState state("app", 1);
  const auto admission = std::make_shared<Admission>(state);
  config::PoolLimits limits;
  limits.inflight = 1;
  limits.queue = 2;
  using Outlook = Admission::Outlook;
  CHECK(admission->outlook(limits, false) == Outlook::place);
  REQUIRE(admission->try_admit(limits));
  REQUIRE_FALSE(admission->try_admit(limits));
  CHECK(admission->outlook(limits, false) == Outlook::waits);
  CHECK(admission->outlook({.inflight = 1, .queue = 0}, false) == Outlook::no_queue);
  int a = 0, b = 0, c = 0;
  Turn first, second, third;
  CHECK(admission->wait({nullptr, &a, 1}, limits, first) == Admission::Wait::queued);
  CHECK(admission->wait({nullptr, &b, 1}, limits, second) == Admission::Wait::queued);
  CHECK(admission->wait({nullptr, &c, 1}, limits, third) == Admission::Wait::full);
  CHECK(admission->outlook(limits, false) == Outlook::queue_full);
  CHECK(first.order < second.order);
  CHECK(state.waiting.value == 2);
  CHECK(admission->forget({nullptr, &a, 1}) == Admission::Left::without_place);
  CHECK(admission->forget({nullptr, &a, 1}) == Admission::Left::granted);
  CHECK(admission->wait({nullptr, &a, 1}, limits, first) == Admission::Wait::queued);  // its turn is kept
  CHECK(admission->forget({nullptr, &a, 1}) == Admission::Left::without_place);
  CHECK(admission->forget({nullptr, &b, 1}) == Admission::Left::without_place);
  admission->release(limits, false);
  CHECK(state.inflight.value == 0);
}

TEST_CASE("a place that came free before the wait began is taken at once") {
  PoolState state("app", 1);
  const auto admission = std::make_shared<Admission>(state);
  config::PoolLimits limits;
  limits.inflight = 1;
  int a = 0;
  Turn turn;
  CHECK(admission->wait({nullptr, &a, 1}, limits, turn) == Admission::Wait::admitted);
  CHECK(state.waiting.value == 0);
  CHECK(state.inflight.value == 1);
}

TEST_CASE("the configuration knows every algorithm of the registry, and no other") {
  std::vector<std::string> registered;
  for (const auto& algorithm : balance::algorithms()) registered.emplace_back(algorithm.name);
  CHECK(registered == config::balance_names());
}
