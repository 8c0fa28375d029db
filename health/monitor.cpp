#include "health/monitor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "health/handed.hpp"
#include "health/monitor_impl.hpp"
#include "lb/base/log.hpp"

namespace weir::health {

Monitor::Monitor(boost::asio::io_context& control, uint64_t seed, std::function<void(const std::string&)> changed)
    : impl_(std::make_shared<Impl>(control, seed, std::move(changed))) {}

Monitor::~Monitor() { stop(); }

void Monitor::apply(std::vector<Target> targets, bool reload) { impl_->apply(std::move(targets), reload); }

void Monitor::report_failures(std::shared_ptr<BackendState> backend) {
  boost::asio::post(impl_->io, [weak = std::weak_ptr(impl_), backend = std::move(backend)] {
    if (const auto impl = weak.lock()) impl->on_failures(backend);
  });
}

bool Monitor::order(const std::shared_ptr<BackendState>& backend, BackendOrder order, const std::string& by) {
  return impl_->obey(*backend, order, by);
}

std::vector<HandedHealth> Monitor::known() const { return impl_->known(); }

void Monitor::hold() { impl_->holding = true; }

void Monitor::take_over(const std::vector<HandedHealth>& known) { impl_->take_over(known); }

void Monitor::await_more(bool more) {
  impl_->more_to_come = more;
  if (more || impl_->stopped) return;
  for (auto& [name, pool] : impl_->pools) impl_->check_availability(pool);
  impl_->note_round();
}

bool Monitor::first_round_done() const { return impl_->round_done.load(std::memory_order_acquire); }

void Monitor::stop() { impl_->stop(); }

void Monitor::Impl::apply(std::vector<Target> targets, bool reload) {
  if (stopped) return;
  const TimePoint now = monotonic_now();
  auto old_watches = std::exchange(watches, {});
  auto old_pools = std::exchange(pools, {});
  std::vector<std::shared_ptr<Watch>> to_start;

  for (auto& target : targets) {
    PoolWatch& pool = pools[target.config->name];
    pool.config = target.config;
    pool.state = target.state;
    if (const auto old = old_pools.find(target.config->name); old != old_pools.end()) {
      pool.unavailable = old->second.unavailable;
      pool.next_refusal_log = old->second.next_refusal_log;
    }
    for (size_t i = 0; i < target.backends.size(); ++i) {
      const auto known = old_watches.find(target.backends[i].get());
      auto watch = adopt(target, i, known == old_watches.end() ? nullptr : known->second, reload, now);
      watch->pool = &pool;
      watches[watch->state.get()] = watch;
      pool.watches.push_back(watch);
      if (watch->spec && watch->schedule == 0) to_start.push_back(watch);
    }
  }
  for (auto& [state, watch] : old_watches)
    if (!watches.contains(state)) retire(*watch);
  for (const auto& watch : to_start) start_probing(watch, to_start.size(), now);
  for (auto& [name, pool] : pools) {
    for (const auto& watch : pool.watches) publish(*watch, now);
    check_availability(pool);
  }
  note_round();
  if (!ticking) arm_tick();
}

/// Null `known`: a backend that was not watched before.
std::shared_ptr<Watch> Monitor::Impl::adopt(const Target& target, size_t index, std::shared_ptr<Watch> known,
                                            bool reload, TimePoint now) {
  const auto& state = target.backends[index];
  const Totals totals = sum_cells(state->cells);
  std::shared_ptr<const ProbeSpec> spec;
  if (target.config->health.type != config::Health::Type::none)
    spec = make_probe_spec(target.config->health, target.config->backends[index], target.tls,
                           target.config->tls.server_name, target.config->proxy_protocol,
                           target.config->protocol != config::Pool::Protocol::h1);
  if (!known) {
    known = std::make_shared<Watch>(io, state, BackendHealth(target.config, totals, now, reload));
    known->spec = std::move(spec);
    return known;
  }
  known->health.configure(target.config, totals, now);
  const bool same = (!spec && !known->spec) || (spec && known->spec && spec->same(*known->spec));
  if (!same) {
    stop_probing(*known);
    known->spec = std::move(spec);
  }
  return known;
}

void Monitor::Impl::retire(Watch& watch) {
  stop_probing(watch);
  watch.pool = nullptr;
}

/// Afterwards schedule is 0: nothing of it is under way any more.
void Monitor::Impl::stop_probing(Watch& watch) {
  watch.timer.cancel();
  watch.schedule = 0;
  watch.probes = 0;
  std::erase_if(waiting, [&](const auto& other) { return other.get() == &watch; });
  if (const auto probe = std::exchange(watch.probe, nullptr)) {
    probe->cancel();
    --running;
    start_waiting();
  }
}

void Monitor::Impl::start_probing(const std::shared_ptr<Watch>& watch, size_t count, TimePoint now) {
  watch->schedule = ++schedules;
  arm(watch, now + first_probe_delay(count, watch->spec->settings.interval, rng));
}

void Monitor::Impl::arm(const std::shared_ptr<Watch>& watch, TimePoint when) {
  watch->timer.expires_at(when);
  watch->timer.async_wait([weak_self = weak_from_this(), weak = std::weak_ptr(watch),
                           schedule = watch->schedule](const boost::system::error_code& error) {
    const auto self = weak_self.lock();
    const auto due = weak.lock();
    if (!error && self && due && due->schedule == schedule && !self->stopped) self->on_due(due);
  });
}

void Monitor::Impl::on_due(const std::shared_ptr<Watch>& watch) {
  if (running < kMaxProbes)
    probe(watch);
  else
    waiting.push_back(watch);
}

void Monitor::Impl::probe(const std::shared_ptr<Watch>& watch) {
  const auto interval = watch->spec->settings.interval;
  const Duration until_next = watch->probes++ == 0 ? second_probe_delay(interval, rng) : jittered(interval, rng);
  watch->next_probe = monotonic_now() + until_next;
  ++running;
  watch->probe =
      start_probe(io, watch->spec, [weak_self = weak_from_this(), weak = std::weak_ptr(watch)](const auto& result) {
        const auto self = weak_self.lock();
        const auto probed = weak.lock();
        if (self && probed && !self->stopped) self->on_result(probed, result);
      });
}

void Monitor::Impl::on_result(const std::shared_ptr<Watch>& watch, const ProbeResult& result) {
  const TimePoint now = monotonic_now();
  watch->probe.reset();
  --running;
  arm(watch, std::max(now, watch->next_probe));
  start_waiting();
  if (result.outcome == ProbeResult::Outcome::not_done) {
    if (now < next_shortage_log) return;
    next_shortage_log = now + std::chrono::seconds(10);
    log::error("health_check_not_done",
               {{"pool", watch->state->pool}, {"backend", watch->state->name}, {"reason", result.reason}});
    return;
  }
  const bool ok = result.outcome == ProbeResult::Outcome::ok;
  (ok ? watch->state->checks_ok : watch->state->checks_failed).fetch_add(1, std::memory_order_relaxed);
  watch->health.on_check(ok, result.reason, now);
  watch->judged = true;
  holding ? note_found(*watch, ok, result.reason) : publish(*watch, now);
  note_round();
}

void Monitor::Impl::start_waiting() {
  while (!stopped && running < kMaxProbes && !waiting.empty()) {
    const auto next = std::move(waiting.front());
    waiting.pop_front();
    probe(next);
  }
}

void Monitor::Impl::note_round() {
  if (more_to_come || round_done.load(std::memory_order_relaxed)) return;
  for (const auto& [state, watch] : watches)
    if (watch->spec && !watch->judged) return;
  round_done.store(true, std::memory_order_release);
}

void Monitor::Impl::arm_tick() {
  ticking = true;
  tick_timer.expires_after(kTick);
  tick_timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->stopped) return;
    self->on_tick(monotonic_now());
    self->arm_tick();
  });
}

void Monitor::Impl::on_tick(TimePoint now) {
  for (auto& [name, pool] : pools) {
    for (const auto& watch : pool.watches) {
      judge_failures(*watch, now);
      if (watch->health.ejected() && watch->health.end_due_ejection(sum_cells(watch->state->cells), now))
        watch->state->consecutive_failures.store(0, std::memory_order_relaxed);
      publish(*watch, now);
    }
  }
}

/// A worker reports when the count *reaches* eject.after; the tick also sees it when a reload has lowered eject.after.
void Monitor::Impl::judge_failures(Watch& watch, TimePoint now) {
  const auto& eject = watch.pool->config->eject;
  if (!eject.enabled) return;
  auto& in_a_row = watch.state->consecutive_failures;
  if (const uint32_t count = in_a_row.load(std::memory_order_relaxed); eject.after > 0 && count >= eject.after)
    return try_eject(watch, fmt::format("{} failures in a row", count), now);
  if (eject.error_percent == 0 || !watch.health.fails_too_often(sum_cells(watch.state->cells), now)) return;
  const Totals seen = watch.health.within_window();
  try_eject(watch,
            fmt::format("{} of {} requests failed within {}", seen.failures, seen.requests, to_words(eject.window)),
            now);
}

void Monitor::Impl::try_eject(Watch& watch, const std::string& why, TimePoint now) {
  // Whatever comes of it, the count begins again; otherwise it would pass eject.after once and never reach it a second
  // time.
  watch.state->consecutive_failures.store(0, std::memory_order_relaxed);
  watch.health.forget_failures(sum_cells(watch.state->cells), now);
  if (!watch.health.ejectable()) return;
  PoolWatch& pool = *watch.pool;
  const uint32_t cap = ejection_cap(pool.weighted(), pool.config->eject.at_most_percent);
  if (pool.ejected() >= cap) return log_refusal(watch, cap, why, now);
  watch.health.eject(why, now);
  publish(watch, now);
}

/// For whoever wonders why a failing backend still gets requests; at most every 30 s a pool.
void Monitor::Impl::log_refusal(const Watch& watch, uint32_t cap, const std::string& why, TimePoint now) {
  if (cap == 0 || now < watch.pool->next_refusal_log) return;
  watch.pool->next_refusal_log = now + std::chrono::seconds(30);
  log::warn("backend_not_ejected",
            {{"pool", watch.state->pool},
             {"backend", watch.state->name},
             {"address", watch.state->address.to_string()},
             {"reason",
              fmt::format("{}, but eject.at_most allows no more than the {} of the pool that are ejected", why, cap)}});
}

void Monitor::Impl::on_failures(const std::shared_ptr<BackendState>& backend) {
  if (stopped) return;
  const auto it = watches.find(backend.get());
  // A success in the meantime has set the count back: then there is nothing to judge.
  if (it != watches.end()) judge_failures(*it->second, monotonic_now());
}

void Monitor::Impl::stop() {
  if (std::exchange(stopped, true)) return;
  tick_timer.cancel();
  waiting.clear();
  for (auto& [state, watch] : watches) retire(*watch);
  watches.clear();
  pools.clear();
}

}  // namespace weir::health
