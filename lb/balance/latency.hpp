// The latency of a backend as the balancer sees it: a peak-sensitive, exponentially weighted moving average in one
// atomic word (after Finagle's PeakEwma). A slower answer counts at once, a faster one in proportion to the time since
// the last, so that a backend which begins to stall is avoided with the next pick and is trusted again only slowly.
#pragma once
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>

#include "lb/base/clock.hpp"

namespace weir::balance {

/// An old measurement fades to 1/e in this time: of a backend that got no requests, the pick thinks better and better
/// until it is tried again.
inline constexpr float kLatencyFadeMs = 10'000;

namespace latency_cell {
// High half: milliseconds of `now`, modulo 2^32. Low half: the average in microseconds as a float, never 0 once
// something was observed.
inline uint64_t pack(uint32_t ms, float average) { return uint64_t{ms} << 32 | std::bit_cast<uint32_t>(average); }
inline float average(uint64_t cell) { return std::bit_cast<float>(static_cast<uint32_t>(cell)); }
inline uint32_t ms_of(TimePoint now) {
  return static_cast<uint32_t>(now.time_since_epoch() / std::chrono::milliseconds(1));
}
/// Milliseconds since the cell was written; 0 if that seems to lie ahead (the workers' clocks are coarse).
inline uint32_t age(uint64_t cell, uint32_t ms) {
  const uint32_t passed = ms - static_cast<uint32_t>(cell >> 32);
  return passed < (uint32_t{1} << 31) ? passed : 0;
}
}  // namespace latency_cell

/// Any worker, when the head of a response has come. Updates of several workers at the same moment may lose one: it is
/// an average. Within one millisecond only a slower answer is written, so a busy backend's cell is written about a
/// thousand times a second.
inline void observe(std::atomic<uint64_t>& cell, TimePoint now, uint64_t microseconds) {
  const uint32_t ms = latency_cell::ms_of(now);
  const float sample = microseconds == 0 ? 1.0f : static_cast<float>(microseconds);
  const uint64_t old = cell.load(std::memory_order_relaxed);
  const float average = latency_cell::average(old);
  if (old == 0 || sample >= average) {
    cell.store(latency_cell::pack(ms, sample), std::memory_order_relaxed);
  } else if (const uint32_t age = latency_cell::age(old, ms); age > 0) {
    const float keep = std::exp(-static_cast<float>(age) / kLatencyFadeMs);
    cell.store(latency_cell::pack(ms, sample + (average - sample) * keep), std::memory_order_relaxed);
  }
}

/// The average in microseconds, faded by its age; at least 1, and 0 if nothing was observed yet.
inline uint32_t value(uint64_t cell, TimePoint now) {
  if (cell == 0) return 0;
  const uint32_t age = latency_cell::age(cell, latency_cell::ms_of(now));
  const float faded = latency_cell::average(cell) * std::exp(-static_cast<float>(age) / kLatencyFadeMs);
  return faded < 1 ? 1 : faded < 4e9f ? static_cast<uint32_t>(faded) : 4'000'000'000u;
}

}  // namespace weir::balance
