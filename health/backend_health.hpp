// The health of one backend, without I/O: what checks and failures make of it. The monitor feeds it and publishes the
// outcome.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "config/model.hpp"
#include "health/outlier.hpp"
#include "health/rules.hpp"
#include "lb/base/clock.hpp"
#include "lb/base/state.hpp"

namespace weir::health {

/// What one process knows of a backend, for the one that takes over from it.
struct KnownHealth {
  RiseFall::State checks;
  Ejection::State ejection;
  bool check_failed_while_ejected = false;
  TimePoint slow_since{};  // {}: it doesn't start slowly, or is through with it
  std::string reason;
  bool operator==(const KnownHealth&) const = default;
};

/// Passive ejection stands beside the active checks:
/// - A backend whose checks fail is down, ejected or not.
/// - While it is ejected, checks that merely go on succeeding don't bring it back: they succeeded while its requests
/// failed, so they can't see
///   what is wrong. But once a check has failed, too, `rise` successes in a row are news (it was restarted) and end the
///   ejection.
/// - An ejection that is over puts the backend back to what the checks say, with the count of failures at zero, and
/// slow start if configured.
class BackendHealth {
 public:
  /// `slow_start`: it was added to a running process and begins with a small share.
  BackendHealth(std::shared_ptr<const config::Pool> pool, Totals totals, TimePoint now, bool slow_start);

  /// A reload. The verdict is kept; other checks than before decide with their first result, none at all means unknown.
  void configure(std::shared_ptr<const config::Pool> pool, Totals totals, TimePoint now);

  /// For the process that takes over.
  KnownHealth known(TimePoint now) const;
  /// Goes on where the process before this one is, as far as this configuration lets it end: no verdict of checks that
  /// there are no more, no ejection where that is off. `same_checks`: that one asks the same; if not, the next check
  /// decides alone, as at a reload. True if the verdict is taken over, in the place of what was found here so far.
  bool recall(const KnownHealth& known, bool same_checks, TimePoint now);

  /// One check's result; `why` it failed, in words.
  void on_check(bool ok, std::string_view why, TimePoint now);

  /// May it be ejected now? Not twice, and not when its checks have put it out of service anyway.
  bool ejectable() const;
  void eject(std::string_view why, TimePoint now);
  /// Ends an ejection whose time is over. True if it did.
  bool end_due_ejection(Totals totals, TimePoint now);

  /// Judges the share of failures within eject.window; to be called often (a tenth of the window).
  bool fails_too_often(Totals totals, TimePoint now);
  /// Starts the window anew.
  void forget_failures(Totals totals, TimePoint now) { window_.restart(totals, now); }
  /// What the last fails_too_often() saw.
  Totals within_window() const { return within_; }

  /// The operator lets it serve again.
  void on_enabled(TimePoint now) { start_slowly(now); }
  /// It is new to a service that is running.
  void on_added(TimePoint now) { start_slowly(now); }

  BackendStatus status() const;
  uint32_t weight_permille(TimePoint now) const;
  bool ejected() const { return ejection_.active(); }
  /// Why it is in its state, for people.
  const std::string& reason() const { return reason_; }

 private:
  const config::Health& health() const { return pool_->health; }
  void start_slowly(TimePoint now);

  std::shared_ptr<const config::Pool> pool_;
  RiseFall checks_;
  Ejection ejection_;
  FailureWindow window_;
  Totals within_;
  bool check_failed_while_ejected_ = false;
  TimePoint slow_since_{};
  std::string reason_;
};

}  // namespace weir::health
