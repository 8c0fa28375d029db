#include <array>

#include "lb/balance/eligible.hpp"
#include "tests/catch.hpp"
#include "tests/unit/balance/sim_pool.hpp"

using namespace weir;
using namespace weir::balance;

TEST_CASE("least connections: always one of the least (load + 1) / weight", "[least_connections]") {
  Rng rng(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<uint32_t> weights(1 + rng.below(20));
    for (auto& weight : weights) weight = 1 + rng.below(round % 2 ? 1 : 5);
    SimPool pool(weights);
    auto picker = pool.picker("least_connections", rng);
    for (int i = 0; i < 20; ++i) {
      for (size_t k = 0; k < pool.size(); ++k) {
        pool[k].inflight = rng.below(6);
        pool[k].phantom = rng.below(8) == 0 ? 2 : 0;
      }
      const uint32_t chosen = pool.pick(*picker, rng);
      const auto& all = pool.candidates();
      for (const auto& other : all)
        REQUIRE_FALSE(less_loaded(other.load(), other.weight, all[chosen].load(), all[chosen].weight));
    }
  }
}

TEST_CASE("least connections: ties are broken by rotation", "[least_connections]") {
  SimPool pool(equal_weights(5));
  Rng rng(2);
  auto picker = pool.picker("least_connections", rng);
  std::array<uint32_t, 5> chosen{};
  for (int i = 0; i < 1'000; ++i) ++chosen[pool.pick(*picker, rng)];  // each is over before the next comes
  CHECK(chosen == std::array<uint32_t, 5>{200, 200, 200, 200, 200});
}

TEST_CASE("least connections: a backend that fails fast doesn't attract, for its phantom load counts",
          "[least_connections]") {
  SimPool pool(equal_weights(3));
  Rng rng(3);
  auto picker = pool.picker("least_connections", rng);
  for (size_t i = 0; i < 3; ++i) pool[i].inflight = 4;
  pool[1].inflight = 0;  // it has failed all of its requests
  CHECK(pool.pick(*picker, rng) == 1);
  pool[1].phantom = 5;
  for (int i = 0; i < 100; ++i) CHECK(pool.pick(*picker, rng) != 1);
}

TEST_CASE("least connections: the phantom load doesn't count against the limit", "[least_connections]") {
  SimPool pool({1000});
  pool.candidates()[0].limit = 1;
  Rng rng(4);
  auto picker = pool.picker("least_connections", rng);
  pool[0].phantom = 10;
  CHECK(pool.pick(*picker, rng) == 0);
  pool[0].inflight = 1;
  CHECK(pool.pick(*picker, rng) == kNone);
}

TEST_CASE("two choices: the greatest load stays near the mean", "[power_of_two]") {
  // 100,000 balls into 100 bins: random choice ends about 90 above the mean, two choices within a few (Mitzenmacher
  // 2001).
  const auto worst = [](std::string_view name) {
    SimPool pool(equal_weights(100));
    Rng rng(5);
    auto picker = pool.picker(name, rng);
    for (int i = 0; i < 100'000; ++i) ++pool[pool.pick(*picker, rng)].inflight;
    uint32_t most = 0;
    for (size_t i = 0; i < pool.size(); ++i) most = std::max(most, pool[i].inflight.load());
    return most;
  };
  CHECK(worst("power_of_two") <= 1'005);
  CHECK(worst("random") >= 1'040);
}

TEST_CASE("two choices: of two backends the less loaded is always found", "[power_of_two]") {
  SimPool pool(equal_weights(2));
  Rng rng(6);
  auto picker = pool.picker("power_of_two", rng);
  pool[0].inflight = 3;
  int wrong = 0;
  for (int i = 0; i < 10'000; ++i) wrong += pool.pick(*picker, rng) != 1;
  CHECK(wrong == 0);
}
