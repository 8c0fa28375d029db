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

Duration Ejection::begin(const config::Eject& eject, TimePoint now) {
  const Duration step = std::max<Duration>(eject.for_, std::chrono::milliseconds(1));
  const Duration longest = std::max<Duration>(eject.max, step);
  if (row_ > 0) row_ -= static_cast<uint32_t>(std::min<int64_t>(row_, (now - ended_) / step));
  // Beyond the maximum the row doesn't grow: it would only delay forgiving.
  if (step * row_ < longest) ++row_;
  const Duration length = std::min(step * row_, longest);
  active_ = true;
  until_ = now + length;
  return length;
}

void Ejection::end(TimePoint now) {
  active_ = false;
  ended_ = now;
}

}  // namespace weir::health
