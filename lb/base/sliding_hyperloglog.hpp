// How many distinct things were seen lately, about, in a fixed room: a HyperLogLog (Flajolet et al. 2007, with linear
// counting for few) whose registers know when each rank was last seen, as in Chabchoub and Hébrail's "Sliding
// HyperLogLog" (2010). Any thread may add and read: what they race for is a time, and either is right.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "lb/base/clock.hpp"

namespace weir {

/// Monotonic time in steps of 100 ms, never 0.
inline uint32_t tick_of(TimePoint time) {
  return static_cast<uint32_t>(time.time_since_epoch() / std::chrono::milliseconds(100)) + 1;
}

/// When that step is over.
inline TimePoint end_of_tick(uint32_t tick) { return TimePoint(std::chrono::milliseconds(100) * int64_t{tick}); }

/// 16 KiB. The standard error is 6.5 %; up to some hundred it is a few.
class SlidingHyperLogLog {
 public:
  static constexpr size_t kRegisters = 256, kRanks = 16;  // enough for 16 million

  /// `hash`: of the thing, well mixed. Writes at most once a tick for each cell.
  void add(uint64_t hash, uint32_t tick);
  /// Of those seen at `since` or later.
  uint64_t estimate(uint32_t since) const;

 private:
  std::array<std::array<std::atomic<uint32_t>, kRanks>, kRegisters> seen_{};  // by register and rank; 0: never
};

}  // namespace weir
