#include "health/backend_health.hpp"

#include <fmt/format.h>

namespace weir::health {
namespace {

const char* unchecked(const config::Health& health) {
  return health.type == config::Health::Type::none ? "not checked" : "not checked yet";
}

constexpr const char* kNotAnyMore = "not checked any more";
constexpr const char* kSwitchedOff = "ejection was switched off";

bool out_of_service(BackendStatus status) { return status == BackendStatus::down || status == BackendStatus::ejected; }

}  // namespace

BackendHealth::BackendHealth(std::shared_ptr<const config::Pool> pool, Totals totals, TimePoint now, bool slow_start)
    : pool_(std::move(pool)), reason_(unchecked(health())) {
  window_.restart(totals, now);
  if (slow_start) start_slowly(now);
}

void BackendHealth::configure(std::shared_ptr<const config::Pool> pool, Totals totals, TimePoint now) {
  const auto before = std::exchange(pool_, std::move(pool));
  if (health().type == config::Health::Type::none) {
    if (before->health.type != config::Health::Type::none && !ejected()) reason_ = kNotAnyMore;
    checks_.clear();
  } else if (health() != before->health) {
    checks_.restart();
  }
  if (pool_->eject != before->eject) window_.restart(totals, now);
  if (ejected() && !pool_->eject.enabled) {
    ejection_.end(now);
    reason_ = kSwitchedOff;
  }
}

KnownHealth BackendHealth::known(TimePoint now) const {
  return {checks_.state(), ejection_.state(), check_failed_while_ejected_,
          weight_permille(now) < 1000 ? slow_since_ : TimePoint{}, reason_};
}

bool BackendHealth::recall(const KnownHealth& known, bool same_checks, TimePoint now) {
  const bool checked = health().type != config::Health::Type::none;
  const bool judged = checked && known.checks.verdict != Verdict::unknown;
  if (judged) checks_.recall(known.checks);
  if (judged && !same_checks) checks_.restart();
  if (pool_->eject.enabled) ejection_.recall(known.ejection, pool_->eject, now);
  check_failed_while_ejected_ = checked && ejected() && known.check_failed_while_ejected;
  slow_since_ = health().slow_start > std::chrono::milliseconds(0) ? known.slow_since : TimePoint{};
  const bool found_here = !judged && checks_.verdict() != Verdict::unknown;
  if (status() == BackendStatus::ejected)
    reason_ = known.reason;
  else if (known.ejection.active && !ejected() && !found_here && status() != BackendStatus::down)
    reason_ = kSwitchedOff;
  else if (judged || (same_checks && !found_here))
    reason_ = known.reason;
  else if (!checked && known.checks.verdict != Verdict::unknown)
    reason_ = kNotAnyMore;
  return judged;
}

void BackendHealth::on_check(bool ok, std::string_view why, TimePoint now) {
  const bool was_serving = !out_of_service(status());
  const Verdict before = checks_.verdict();
  const bool changed = checks_.record(ok, health().rise, health().fall);
  if (!ok) {
    check_failed_while_ejected_ = ejected();
    if (checks_.verdict() == Verdict::down) {
      reason_ = why;
    } else if (!ejected()) {
      reason_ = fmt::format("check failed {} of {} times: {}", checks_.against(), health().fall, why);
    }
    return;
  }
  if (ejected() && check_failed_while_ejected_ && checks_.successes() >= health().rise) ejection_.end(now);
  if (ejected()) return;
  if (checks_.verdict() == Verdict::down) {
    reason_ = fmt::format("check succeeded {} of {} times", checks_.against(), health().rise);
  } else if (changed || !was_serving) {
    reason_ = before == Verdict::unknown || checks_.successes() == 1
                  ? "check succeeded"
                  : fmt::format("{} checks in a row succeeded", checks_.successes());
  } else if (checks_.successes() == 1) {
    reason_ = "check succeeded";
  }
  if (!was_serving && status() == BackendStatus::up) start_slowly(now);
}

bool BackendHealth::ejectable() const {
  return pool_->eject.enabled && !ejected() && checks_.verdict() != Verdict::down;
}

void BackendHealth::eject(std::string_view why, TimePoint now) {
  // A check that failed just before says as much as one that fails just after.
  check_failed_while_ejected_ = checks_.verdict() == Verdict::up && checks_.against() > 0;
  const Duration length = ejection_.begin(pool_->eject, now);
  reason_ = fmt::format("{}; out for {}", why, to_words(length));
}

bool BackendHealth::end_due_ejection(Totals totals, TimePoint now) {
  if (!ejection_.over(now)) return false;
  ejection_.end(now);
  window_.restart(totals, now);
  if (checks_.verdict() != Verdict::down) {
    reason_ = "the time of its ejection is over";
    start_slowly(now);
  }
  return true;
}

bool BackendHealth::fails_too_often(Totals totals, TimePoint now) {
  const auto& eject = pool_->eject;
  if (!eject.enabled || eject.error_percent == 0) return false;
  within_ = window_.observe(totals, eject.window, now);
  return FailureWindow::too_many(within_, eject);
}

BackendStatus BackendHealth::status() const {
  if (checks_.verdict() == Verdict::down) return BackendStatus::down;
  if (ejected()) return BackendStatus::ejected;
  return checks_.verdict() == Verdict::up ? BackendStatus::up : BackendStatus::unknown;
}

uint32_t BackendHealth::weight_permille(TimePoint now) const {
  // Out of service it takes requests in panic alone, and then as many as the others.
  if (slow_since_ == TimePoint{} || out_of_service(status())) return 1000;
  return slow_start_permille(now - slow_since_, health().slow_start);
}

void BackendHealth::start_slowly(TimePoint now) {
  if (health().slow_start > std::chrono::milliseconds(0)) slow_since_ = now;
}

}  // namespace weir::health
