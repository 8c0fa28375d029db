#include "health/outlier.hpp"

#include <algorithm>

namespace weir::health {

Totals sum_cells(std::span<const BackendCells> cells) {
  Totals totals;
  for (const auto& cell : cells) {
    totals.requests += cell.requests.get();
    totals.failures += cell.failures.get();
  }
  return totals;
}

uint32_t ejection_cap(size_t backends, uint32_t at_most_percent) {
  if (at_most_percent == 0) return 0;
  const auto share = static_cast<uint32_t>(backends * std::min<uint32_t>(at_most_percent, 100) / 100);
  return std::max<uint32_t>(share, backends >= 2 ? 1 : 0);
}

void FailureWindow::restart(Totals totals, TimePoint now) {
  first_ = 0;
  count_ = 1;
  ring_[0] = {now, totals};
}

Totals FailureWindow::observe(Totals totals, Duration window, TimePoint now) {
  if (count_ == 0) restart(totals, now);
  // The oldest sample kept is the youngest that is at least a window old, so that the whole window is judged, and at
  // most a slice more.
  while (count_ >= 2 && sample(1).at <= now - window) {
    first_ = (first_ + 1) % ring_.size();
    --count_;
  }
  const Totals base = sample(0).totals;
  if (now - sample(count_ - 1).at >= window / static_cast<int64_t>(kSlices) && count_ < ring_.size())
    sample(count_++) = {now, totals};
  // A failure may be counted a window after its request; then there would be more failures than requests.
  const uint64_t requests = totals.requests - base.requests;
  return {requests, std::min(totals.failures - base.failures, requests)};
}

bool FailureWindow::too_many(Totals within, const config::Eject& eject) {
  return eject.error_percent > 0 && within.requests >= std::max<uint32_t>(eject.min_requests, 1) &&
         within.failures * 100 >= within.requests * eject.error_percent;
}

namespace {
struct Lengths {
  Duration step, longest;
};
Lengths lengths_of(const config::Eject& eject) {
  const Duration step = std::max<Duration>(eject.for_, std::chrono::milliseconds(1));
  return {step, std::max<Duration>(eject.max, step)};
}
}  // namespace

Duration Ejection::begin(const config::Eject& eject, TimePoint now) {
  const auto [step, longest] = lengths_of(eject);
  uint32_t& row = state_.row;
  if (row > 0) row -= static_cast<uint32_t>(std::min<int64_t>(row, (now - state_.ended) / step));
  // Beyond the maximum the row doesn't grow: it would only delay forgiving.
  if (step * row < longest) ++row;
  const Duration length = std::min(step * row, longest);
  state_.active = true;
  state_.until = now + length;
  return length;
}

void Ejection::end(TimePoint now) {
  state_.active = false;
  state_.ended = now;
}

void Ejection::recall(const State& state, const config::Eject& eject, TimePoint now) {
  const auto [step, longest] = lengths_of(eject);
  state_ = state;
  state_.until = std::min(state.until, now + longest);
  state_.row = static_cast<uint32_t>(std::min<int64_t>(state.row, longest / step + 1));
}

}  // namespace weir::health
