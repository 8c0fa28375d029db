#include "lb/base/sliding_hyperloglog.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace weir {

void SlidingHyperLogLog::add(uint64_t hash, uint32_t tick) {
  const size_t rank = std::min<size_t>(static_cast<size_t>(std::countl_zero(hash)), kRanks - 1);
  auto& cell = seen_[hash % kRegisters][rank];
  if (cell.load(std::memory_order_relaxed) != tick) cell.store(tick, std::memory_order_relaxed);
}

uint64_t SlidingHyperLogLog::estimate(uint32_t since) const {
  constexpr double kCount = kRegisters, kAlpha = 0.7213 / (1 + 1.079 / kCount);
  double sum = 0;
  size_t empty = 0;
  for (const auto& ranks : seen_) {
    size_t most = kRanks;
    while (most > 0 && ranks[most - 1].load(std::memory_order_relaxed) < since) --most;
    sum += std::ldexp(1.0, -static_cast<int>(most));
    empty += most == 0;
  }
  const double raw = kAlpha * kCount * kCount / sum;
  const bool few = raw <= 2.5 * kCount && empty > 0;
  return static_cast<uint64_t>(std::llround(few ? kCount * std::log(kCount / static_cast<double>(empty)) : raw));
}

}  // namespace weir
