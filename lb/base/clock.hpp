// Time as the data plane uses it: nanoseconds of CLOCK_MONOTONIC, passed in wherever a decision depends on it.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>

namespace weir {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;
using Milliseconds = std::chrono::milliseconds;

/// Now, read through the vDSO (no system call).
inline TimePoint monotonic_now() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return TimePoint(Duration(int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec));
}

/// Wall-clock nanoseconds since the epoch; for logs only, never for decisions.
inline int64_t wall_now_ns() {
  timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

/// Whole microseconds from 0 to the most that 32 bits hold (71 minutes), for what is written down.
inline uint32_t microseconds_of(Duration d) {
  return static_cast<uint32_t>(std::clamp<int64_t>(d.count() / 1000, 0, ~uint32_t{0}));
}

}  // namespace weir
