// The rules of passive ejection, without I/O: how often a backend may fail, for how long it is out, how many may be out
// at once.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "config/model.hpp"
#include "lb/base/clock.hpp"
#include "lb/base/counters.hpp"
#include "lb/base/state.hpp"

namespace weir::health {

/// Attempts sent to a backend and those that failed for its sake, since the start.
struct Totals {
  uint64_t requests = 0, failures = 0;
};
/// Summed over the workers' cells.
Totals sum_cells(std::span<const BackendCells> cells);

/// How many of a pool's `backends` (those with a weight) may be out at once: at_most_percent of them, but always one if
/// there are two or more. None if at_most_percent is 0.
uint32_t ejection_cap(size_t backends, uint32_t at_most_percent);

/// The share of failures over the last eject.window, kept as totals at the ends of its slices: it slides by a tenth of
/// its length.
class FailureWindow {
 public:
  /// Forgets what was before.
  void restart(Totals totals, TimePoint now);
  /// What happened within the window that ends now.
  Totals observe(Totals totals, Duration window, TimePoint now);
  /// Is that enough to eject (min_requests, error_percent)?
  static bool too_many(Totals within, const config::Eject& eject);

 private:
  static constexpr size_t kSlices = 10;
  struct Sample {
    TimePoint at;
    Totals totals;
  };
  Sample& sample(size_t i) { return ring_[(first_ + i) % ring_.size()]; }
  std::array<Sample, kSlices + 2> ring_{};
  size_t first_ = 0, count_ = 0;
};

/// The time out of service: `for` × ejections in a row, at most `max`. Each `for` spent in service afterwards takes one
/// ejection off the row.
class Ejection {
 public:
  bool active() const { return state_.active; }
  bool over(TimePoint now) const { return active() && now >= state_.until; }
  /// Returns for how long.
  Duration begin(const config::Eject& eject, TimePoint now);
  void end(TimePoint now);
  /// Ejections in a row, the current one included.
  uint32_t row() const { return state_.row; }

  /// All that it knows.
  struct State {
    bool active = false;
    TimePoint until{}, ended{};  // this one, the last one; {}: never
    uint32_t row = 0;
    bool operator==(const State&) const = default;
  };
  const State& state() const { return state_; }
  /// Goes on from there, for no longer than these rules allow.
  void recall(const State& state, const config::Eject& eject, TimePoint now);

 private:
  State state_;
};

}  // namespace weir::health
