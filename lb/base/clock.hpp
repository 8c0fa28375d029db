// Time as the data plane uses it: nanoseconds of CLOCK_MONOTONIC, passed in wherever a decision depends on it.
#pragma once
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

}  // namespace weir
