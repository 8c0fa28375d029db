// What the monitor tells the others: the published state of each backend, the event log, and that a pool's table is to
// be built again.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "health/monitor_impl.hpp"
#include "lb/base/log.hpp"

namespace weir::health {
namespace {

bool in_service(BackendStatus status) { return status == BackendStatus::up || status == BackendStatus::unknown; }

bool has_weight(const PoolWatch& pool, size_t i) {
  return pool.config->backends[i].weight > 0 && pool.watches[i]->state->order.load() == BackendOrder::serve;
}

/// What counts for requests.
BackendStatus status_of(const Watch& watch) {
  switch (watch.state->order.load(std::memory_order_relaxed)) {
    case BackendOrder::drain: return BackendStatus::draining;
    case BackendOrder::disable: return BackendStatus::disabled;
    case BackendOrder::serve: break;
  }
  return watch.health.status();
}

/// Empty unless the operator has taken it out. `ordered_by` is written by this thread alone.
std::string order_in_words(const Watch& watch, BackendStatus status) {
  if (status == BackendStatus::draining) return "drained by " + watch.state->ordered_by;
  if (status == BackendStatus::disabled) return "disabled by " + watch.state->ordered_by;
  return {};
}

bool taken_out(BackendStatus status) { return status == BackendStatus::draining || status == BackendStatus::disabled; }

/// Empty: not worth a line (the first check of a backend succeeded).
std::string_view event_name(BackendStatus from, BackendStatus to) {
  if (taken_out(from) && !taken_out(to)) return "backend_enabled";  // what it was before it is again, ejected perhaps
  if (to == BackendStatus::down) return "backend_down";
  if (to == BackendStatus::ejected) return "backend_ejected";
  if (to == BackendStatus::draining) return "backend_draining";
  if (to == BackendStatus::disabled) return "backend_disabled";
  if (from == BackendStatus::down) return "backend_up";
  if (from == BackendStatus::ejected) return "backend_returned";
  return {};
}

}  // namespace

size_t PoolWatch::usable() const {
  size_t n = 0;
  for (size_t i = 0; i < watches.size(); ++i) n += has_weight(*this, i) && in_service(watches[i]->health.status());
  return n;
}

size_t PoolWatch::weighted() const {
  size_t n = 0;
  for (size_t i = 0; i < watches.size(); ++i) n += has_weight(*this, i);
  return n;
}

size_t PoolWatch::ejected() const {
  return static_cast<size_t>(std::count_if(watches.begin(), watches.end(), [](const auto& watch) {
    return watch->health.ejected() && watch->state->order.load() == BackendOrder::serve;
  }));
}

/// Makes its state seen; returns the status that was seen before.
BackendStatus Monitor::Impl::show(Watch& watch, TimePoint now) {
  BackendState& state = *watch.state;
  const BackendStatus to = status_of(watch);
  const BackendStatus from = state.status.load(std::memory_order_relaxed);
  const uint32_t weight = watch.health.weight_permille(now);
  state.health.store(watch.health.status(), std::memory_order_relaxed);
  const std::string ordered = order_in_words(watch, to);
  const std::string& reason = ordered.empty() ? watch.health.reason() : ordered;
  {
    const std::lock_guard lock(state.reason_mutex);
    if (state.reason != reason) state.reason = reason;
    if (from != to || state.since_wall_ns == 0) state.since_wall_ns = wall_now_ns();
  }
  if (weight != state.weight_permille.load(std::memory_order_relaxed)) {
    state.weight_permille.store(weight, std::memory_order_relaxed);
    mark_changed(*watch.pool);
  }
  if (from != to) {
    state.status.store(to, std::memory_order_release);
    mark_changed(*watch.pool);
  }
  return from;
}

void Monitor::Impl::publish(Watch& watch, TimePoint now) {
  if (holding) return;
  BackendState& state = *watch.state;
  const BackendStatus from = show(watch, now), to = state.status.load(std::memory_order_relaxed);
  if (from == to) return;
  const std::string_view name = event_name(from, to);
  if (name.empty()) return;  // unknown and up are the same to requests
  state.transitions.fetch_add(1, std::memory_order_relaxed);
  if (name == "backend_ejected") state.ejections.fetch_add(1, std::memory_order_relaxed);
  log::event(in_service(to) || taken_out(to) ? log::Level::info : log::Level::warn, name,
             {{"pool", state.pool},
              {"backend", state.name},
              {"address", state.address.to_string()},
              {"reason", state.reason},  // written by this thread alone
              {"usable", fmt::format("{}/{}", watch.pool->usable(), watch.pool->weighted())}});
  check_availability(*watch.pool);
}

bool Monitor::Impl::obey(BackendState& state, BackendOrder order, const std::string& by) {
  const auto found = watches.find(&state);
  if (stopped || found == watches.end()) return false;
  if (state.order.load() == order) return false;
  {
    const std::lock_guard lock(state.reason_mutex);
    state.ordered_by = order == BackendOrder::serve ? std::string() : by;
  }
  const TimePoint now = monotonic_now();
  state.ordered_at_ns.store(now.time_since_epoch().count());  // before the order: who sees that sees its time
  if (order == BackendOrder::drain) state.count_sessions();
  state.order.store(order);
  if (order == BackendOrder::serve) found->second->health.on_enabled(now);
  publish(*found->second, now);
  flush();  // at once: who gave the order may rely on it
  return true;
}

void Monitor::Impl::check_availability(PoolWatch& pool) {
  const size_t usable = pool.usable();
  if ((usable == 0) == pool.unavailable || more_to_come || holding) return;
  pool.unavailable = usable == 0;
  const std::string share = fmt::format("{}/{}", usable, pool.weighted());
  if (pool.unavailable)
    log::error("pool_unavailable", {{"pool", pool.config->name}, {"usable", share}});
  else
    log::info("pool_available", {{"pool", pool.config->name}, {"usable", share}});
}

void Monitor::Impl::mark_changed(PoolWatch& pool) {
  pool.changed = true;
  if (flush_posted) return;
  // Behind the handlers that are ready now: a hundred backends that go down together cost one table.
  flush_posted = true;
  boost::asio::post(io, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->flush();
  });
}

void Monitor::Impl::flush() {
  flush_posted = false;
  if (stopped) return;
  std::vector<std::string> names;  // `changed` may come back to us
  for (auto& [name, pool] : pools)
    if (std::exchange(pool.changed, false)) names.push_back(name);
  for (const auto& name : names)
    if (!stopped) on_changed(name);
}

}  // namespace weir::health
