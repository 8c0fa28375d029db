// A latency histogram summed over workers, and over backends or routes where several are shown as one.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "lb/base/counters.hpp"

namespace weir::admin {

struct Latency {
  static constexpr size_t kBuckets = Histogram::kBounds.size() + 1;
  std::array<uint64_t, kBuckets> buckets{};  // not cumulative
  uint64_t sum_microseconds = 0;

  template <typename Cells>
  void add(const std::vector<Cells>& cells) {
    for (const auto& worker : cells) {
      for (size_t i = 0; i < kBuckets; ++i) buckets[i] += worker.latency.bucket(i);
      sum_microseconds += worker.latency.sum_microseconds();
    }
  }

  uint64_t count() const {
    uint64_t total = 0;
    for (const uint64_t n : buckets) total += n;
    return total;
  }

  /// Microseconds, estimated as Prometheus' histogram_quantile does: linear within the bucket that holds the q-th
  /// observation; what lies above the last bound counts as the last bound. Empty without observations. 0 < q ≤ 1.
  std::optional<double> quantile(double q) const {
    const auto rank = q * static_cast<double>(count());
    if (rank <= 0) return {};
    double below = 0;
    for (size_t i = 0; i < Histogram::kBounds.size(); ++i) {
      const auto here = static_cast<double>(buckets[i]);
      if (here > 0 && below + here >= rank) {
        const double low = i == 0 ? 0 : static_cast<double>(Histogram::kBounds[i - 1]);
        return low + (static_cast<double>(Histogram::kBounds[i]) - low) * (rank - below) / here;
      }
      below += here;
    }
    return static_cast<double>(Histogram::kBounds.back());
  }
};

}  // namespace weir::admin
