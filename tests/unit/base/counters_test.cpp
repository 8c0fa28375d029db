#include "lb/base/counters.hpp"

#include <algorithm>
#include <thread>

#include "tests/catch.hpp"

using weir::Counter;
using weir::Histogram;

TEST_CASE("a counter adds up and can be read by other threads") {
  Counter counter;
  CHECK(counter.get() == 0);
  std::thread writer([&] {
    for (int i = 0; i < 100'000; ++i) counter.add();
  });
  uint64_t last = 0;
  bool monotonic = true;
  while (last < 100'000) {
    const uint64_t value = counter.get();
    monotonic &= value >= last;
    last = value;
    std::this_thread::yield();
  }
  writer.join();
  CHECK(monotonic);
  counter.add(5);
  CHECK(counter.get() == 100'005);
}

TEST_CASE("histogram bounds are inclusive, sorted, and the last bucket takes the rest") {
  CHECK(std::is_sorted(Histogram::kBounds.begin(), Histogram::kBounds.end()));
  Histogram histogram;
  uint64_t sum = 0;
  for (const uint64_t bound : Histogram::kBounds) {
    histogram.observe(bound);
    histogram.observe(bound + 1);
    sum += 2 * bound + 1;
  }
  CHECK(histogram.bucket(0) == 1);
  for (size_t i = 1; i <= Histogram::kBounds.size() - 1; ++i) CHECK(histogram.bucket(i) == 2);
  CHECK(histogram.bucket(Histogram::kBounds.size()) == 1);
  CHECK(histogram.sum_microseconds() == sum);
  histogram.observe(0);
  CHECK(histogram.bucket(0) == 2);
}
