// What the monitor hands to the process that takes over in an upgrade, and what it makes of that: docs/adr/0005.
#include <algorithm>
#include <string_view>
#include <utility>

#include "health/handed.hpp"
#include "health/monitor_impl.hpp"

namespace weir::health {

std::vector<HandedHealth> Monitor::Impl::known() const {
  std::vector<HandedHealth> all;
  all.reserve(watches.size());
  const TimePoint now = monotonic_now();
  for (const auto& [name, pool] : pools) {
    const std::string checks = checks_id(pool.config->health);
    for (const auto& watch : pool.watches) {
      const BackendState& state = *watch->state;
      // since_wall_ns is written by this thread alone.
      all.push_back(
          {state.pool, state.name, state.address.to_string(), checks, watch->health.known(now), state.since_wall_ns});
    }
  }
  return all;
}

/// The round may be done with it: whoever waits for that is told as of a change.
void Monitor::Impl::note_found(Watch& watch, bool ok, const std::string& reason) {
  auto& found = watch.found;
  found.in_a_row = found.ok == ok ? found.in_a_row + 1 : 1;
  found.ok = ok;
  found.reason = reason;
  mark_changed(*watch.pool);
}

void Monitor::Impl::recall(Watch& watch, const HandedHealth& handed, bool same_checks, TimePoint now) {
  const bool judged = watch.health.recall(handed.known, same_checks, now);
  // Without an event: the process before this one has logged it. What was found here alone is news.
  if (judged || watch.health.status() != BackendStatus::down) show(watch, now);
  const bool same = watch.health.reason() == handed.known.reason;  // else the configuration has ended that state
  if (same && handed.since_wall_ns > 0) {
    const std::lock_guard lock(watch.state->reason_mutex);
    watch.state->since_wall_ns = handed.since_wall_ns;
  }
  if (!judged) return;
  watch.judged |= same_checks;
  const auto& health = watch.pool->config->health;
  const uint32_t enough = std::max(health.rise, health.fall);
  for (uint32_t i = 0; i < std::min(watch.found.in_a_row, enough); ++i)
    watch.health.on_check(watch.found.ok, watch.found.reason, now);
}

void Monitor::Impl::take_over(const std::vector<HandedHealth>& handed) {
  if (stopped) return;
  holding = false;
  const TimePoint now = monotonic_now();
  std::map<std::pair<std::string_view, std::string_view>, const HandedHealth*> known;
  std::map<std::string_view, bool> served;  // pools of the process before: had they a backend left?
  for (const auto& one : handed) {
    known.emplace(std::pair<std::string_view, std::string_view>(one.pool, one.backend), &one);
    served[one.pool] |= one.known.checks.verdict != Verdict::down && !one.known.ejection.active;
  }
  for (auto& [name, pool] : pools) {
    const std::string checks = checks_id(pool.config->health);
    for (const auto& watch : pool.watches) {
      const auto one = known.find({watch->state->pool, watch->state->name});
      if (one != known.end() && one->second->address == watch->state->address.to_string())
        recall(*watch, *one->second, one->second->checks == checks, now);
      else if (!handed.empty())
        watch->health.on_added(now);
    }
  }
  for (auto& [name, pool] : pools) {
    if (const auto found = served.find(name); found != served.end() && !found->second) pool.unavailable = true;  // told
    for (const auto& watch : pool.watches) publish(*watch, now);
    check_availability(pool);
  }
  note_round();
  flush();
}

}  // namespace weir::health
