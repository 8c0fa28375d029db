#include "lb/base/rng.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <vector>

#include "tests/catch.hpp"

using weir::Rng;

TEST_CASE("the same seed gives the same numbers, another seed others") {
  Rng a(1), b(1), c(2);
  bool differs = false;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t value = a();
    REQUIRE(value == b());
    differs |= value != c();
  }
  CHECK(differs);
}

TEST_CASE("the generator is the published one") {
  // splitmix64 of the seed 0 fills the state with the numbers of its reference implementation (e220a839…, 6e789e6a…,
  // 06c45d18…, f88bb8a8…); xoshiro256** then gives rotl(second · 5, 7) · 9.
  Rng rng(0);
  const uint64_t second = 0x6e789e6aa1b965f4ull;
  CHECK(rng() == std::rotl(second * 5, 7) * 9);
}

TEST_CASE("below() is uniform and stays below") {
  const uint32_t n = GENERATE(1u, 2u, 3u, 7u, 10u, 1000u);
  Rng rng(n);
  std::vector<int> seen(n);
  const int draws = static_cast<int>(n) * 2000;
  for (int i = 0; i < draws; ++i) {
    const uint32_t value = rng.below(n);
    REQUIRE(value < n);
    ++seen[value];
  }
  // 2,000 expected each, standard deviation under 45: six of them.
  CHECK(*std::min_element(seen.begin(), seen.end()) > 1730);
  CHECK(*std::max_element(seen.begin(), seen.end()) < 2270);
}

TEST_CASE("below() reaches the top of the largest range") {
  Rng rng(3);
  uint32_t largest = 0;
  for (int i = 0; i < 1000; ++i) largest = std::max(largest, rng.below(~0u));
  CHECK(largest > 0xf000'0000u);
}

TEST_CASE("unit() lies in [0, 1) with mean one half") {
  Rng rng(4);
  double sum = 0;
  for (int i = 0; i < 100'000; ++i) {
    const double value = rng.unit();
    REQUIRE(value >= 0);
    REQUIRE(value < 1);
    sum += value;
  }
  CHECK(sum / 100'000 == Approx(0.5).margin(0.006));  // six standard deviations
}

TEST_CASE("the standard library takes it as a generator") {
  std::vector<int> values{1, 2, 3, 4, 5, 6, 7, 8};
  Rng rng(5);
  std::shuffle(values.begin(), values.end(), rng);
  CHECK(std::set<int>(values.begin(), values.end()).size() == 8);
}
