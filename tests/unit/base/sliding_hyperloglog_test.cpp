#include "lb/base/sliding_hyperloglog.hpp"

#include <cmath>
#include <memory>

#include "lb/base/hash.hpp"
#include "tests/catch.hpp"

using weir::SlidingHyperLogLog;

namespace {

uint64_t hash_of(uint64_t n) { return weir::mix_hash(n, 7); }

}  // namespace

TEST_CASE("nothing seen is none, and the same thing counts once") {
  SlidingHyperLogLog count;
  CHECK(count.estimate(1) == 0);
  for (uint32_t tick = 1; tick < 100; ++tick) count.add(hash_of(1), tick);
  CHECK(count.estimate(1) == 1);
}

TEST_CASE("the estimate is near, from a few to a million") {
  for (const uint64_t n : {2u, 5u, 12u, 50u, 200u, 1'000u, 10'000u, 100'000u, 1'000'000u}) {
    const auto count = std::make_unique<SlidingHyperLogLog>();
    for (uint64_t i = 0; i < n; ++i) count->add(hash_of(i), 5);
    const double error = std::abs(static_cast<double>(count->estimate(5)) / static_cast<double>(n) - 1);
    INFO(n << " things, estimated as " << count->estimate(5));
    CHECK(error < 0.2);  // three standard errors
  }
}

TEST_CASE("what was seen too long ago is forgotten, and what was seen again is not") {
  SlidingHyperLogLog count;
  for (uint64_t i = 0; i < 100; ++i) count.add(hash_of(i), 10);
  for (uint64_t i = 0; i < 10; ++i) count.add(hash_of(i), 20);
  CHECK(count.estimate(10) > 80);
  const auto again = count.estimate(11);
  CHECK(again >= 9);
  CHECK(again <= 11);
  CHECK(count.estimate(21) == 0);
}
