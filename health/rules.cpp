#include "health/rules.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace weir::health {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

bool RiseFall::record(bool ok, uint32_t rise, uint32_t fall) {
  const Verdict said = ok ? Verdict::up : Verdict::down;
  auto& [verdict, decide_alone, against, successes] = state_;
  successes = ok ? successes + 1 : 0;
  if (said == verdict) {
    against = 0;
    decide_alone = false;
    return false;
  }
  ++against;
  if (!decide_alone && against < (ok ? rise : fall)) return false;
  decide_alone = false;
  against = 0;
  verdict = said;
  return true;
}

uint32_t slow_start_permille(Duration elapsed, Duration window) {
  if (window <= Duration::zero() || elapsed >= window) return 1000;
  if (elapsed <= Duration::zero()) return 100;
  const double share = static_cast<double>(elapsed.count()) / static_cast<double>(window.count());
  return std::max<uint32_t>(100, static_cast<uint32_t>(share * 20) * 50);
}

Duration jittered(Duration interval, Rng& rng) {
  return Duration(static_cast<int64_t>(static_cast<double>(interval.count()) * (0.9 + 0.2 * rng.unit())));
}

Duration first_probe_delay(size_t count, Duration interval, Rng& rng) {
  const Duration spread = std::min<Duration>(interval, milliseconds(2) * static_cast<int64_t>(count));
  return Duration(static_cast<int64_t>(static_cast<double>(spread.count()) * rng.unit()));
}

Duration second_probe_delay(Duration interval, Rng& rng) {
  return Duration(static_cast<int64_t>(static_cast<double>(interval.count()) * rng.unit()));
}

std::string to_words(Duration duration) {
  const auto ms = duration_cast<milliseconds>(duration).count();
  if (ms < 1000) return fmt::format("{}ms", ms);
  if (ms % 1000 == 0) return fmt::format("{}s", ms / 1000);
  return fmt::format("{:.1f}s", static_cast<double>(ms) / 1000);
}

std::string to_words(const std::vector<config::StatusRange>& ranges) {
  std::string text;
  for (const auto& range : ranges) {
    if (!text.empty()) text += ", ";
    text += range.first == range.last ? fmt::format("{}", range.first) : fmt::format("{}-{}", range.first, range.last);
  }
  return text;
}

}  // namespace weir::health
