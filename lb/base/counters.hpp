// Metric cells with a single writer: a worker adds with a plain load and store (about 1 ns), readers sum over workers.
#pragma once
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace weir {

class Counter {
 public:
  /// Only the owning thread may call this.
  void add(uint64_t n = 1) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

/// Latency histogram with fixed bounds; one writer.
class Histogram {
 public:
  /// Upper bounds in microseconds; a last bucket takes the rest.
  static constexpr std::array<uint64_t, 17> kBounds{250,       500,       1'000,      2'500,      5'000,     10'000,
                                                    25'000,    50'000,    100'000,    250'000,    500'000,   1'000'000,
                                                    2'500'000, 5'000'000, 10'000'000, 30'000'000, 60'000'000};
  void observe(uint64_t microseconds) {
    size_t i = 0;
    while (i < kBounds.size() && microseconds > kBounds[i]) ++i;
    buckets_[i].add();
    sum_.add(microseconds);
  }
  /// Requests in bucket i (not cumulative), i ≤ kBounds.size().
  uint64_t bucket(size_t i) const { return buckets_[i].get(); }
  uint64_t sum_microseconds() const { return sum_.get(); }

 private:
  std::array<Counter, kBounds.size() + 1> buckets_;
  Counter sum_;
};

}  // namespace weir
