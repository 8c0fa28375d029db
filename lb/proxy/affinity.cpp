#include "lb/proxy/affinity.hpp"

#include <algorithm>
#include <ctime>

#include "lb/base/hash.hpp"
#include "lb/net/cookies.hpp"
#include "lb/proxy/exchange.hpp"

namespace weir::proxy {

using route::Affinity;

namespace {

constexpr int kMostCookies = 4;  // that are verified; who sends more is not helped

bool well(const BackendState& backend) {
  const BackendStatus health = backend.health.load(std::memory_order_relaxed);
  return health == BackendStatus::up || health == BackendStatus::unknown;
}

AffinityResult result_without_backend(Affinity::Verdict verdict) {
  switch (verdict) {
    case Affinity::Verdict::forged: return AffinityResult::forged;
    case Affinity::Verdict::gone:
    case Affinity::Verdict::valid: return AffinityResult::broken;
    case Affinity::Verdict::absent:
    case Affinity::Verdict::expired: break;
  }
  return AffinityResult::created;
}

}  // namespace

Home find_home(const Pool& pool, const http1::RequestHead& head, int64_t now) {
  Home home;
  if (!head.has(http1::FieldId::cookie)) return home;
  const std::string_view name = pool.config->affinity->cookie;
  int looked_at = 0;
  const auto look = [&](std::string_view piece) {
    std::string_view value;
    if (!http1::is_cookie(piece, name, value)) return true;
    home.sent = true;
    // The last one that was bad stands for all; mostly there is but one.
    home.found = pool.affinity->read(value, now);
    return home.found.verdict != Affinity::Verdict::valid && ++looked_at < kMostCookies;
  };
  for (const auto& field : head.all()) {
    if (field.id != http1::FieldId::cookie) continue;
    http1::for_each_cookie(head.value(field), look);
    if (home.found.verdict == Affinity::Verdict::valid || looked_at >= kMostCookies) break;
  }
  return home;
}

TimePoint drain_deadline(const config::Affinity& affinity, const BackendState& backend) {
  return TimePoint(Duration(backend.ordered_at_ns.load())) + affinity.drain;
}

bool serves_its_sessions(const Pool& pool, const std::vector<bool>& takes_requests, uint32_t backend, TimePoint now) {
  if (takes_requests[backend]) return true;
  const BackendState& state = *pool.backends[backend];
  if (state.order.load() != BackendOrder::drain || pool.config->backends[backend].weight == 0 || !well(state))
    return false;
  return now < drain_deadline(*pool.config->affinity, state);
}

SessionsLeft sessions_left(const config::Affinity& affinity, const BackendState& backend, TimePoint now) {
  const TimePoint deadline = drain_deadline(affinity, backend);
  SessionsLeft left;
  left.until_deadline = left.until_over = std::max(deadline - now, Duration::zero());
  if (now >= deadline) return left;
  const TimePoint ordered(Duration(backend.ordered_at_ns.load()));
  const bool idles = affinity.idle > Duration::zero();
  if (const auto* sessions = backend.sessions.load(std::memory_order_acquire))
    left.about = sessions->estimate(tick_of(idles ? std::max(ordered, now - affinity.idle) : ordered));
  if (!well(backend)) left.until_over = Duration::zero();  // none is sent to it
  if (!idles) return left;
  uint32_t last = tick_of(backend.created);  // nobody knows what was before
  for (const auto& worker : backend.cells) last = std::max(last, worker.session_tick.load(std::memory_order_relaxed));
  left.until_over = std::clamp<Duration>(end_of_tick(last) + affinity.idle - now, Duration::zero(), left.until_over);
  return left;
}

// ---- steps of a request ----

void Exchange::look_for_home() {
  const Home home = find_home(*route_->pool, head, std::time(nullptr));
  home_ = home.found.backend;
  home_verdict_ = home.found.verdict;
  home_renew_ = home.found.renew;
  session_ = home.found.session;
  hide_cookie_ = home.sent;
}

/// The backend that the cookie names, if it may have the request and has room.
bool Exchange::take_home() {
  if (home_ == Affinity::kNobody || tried_.has(home_)) return false;
  home_full_ = false;
  if (!serves_its_sessions(*pool_->pool, *pool_->takes_requests, home_, worker_.now)) return false;
  home_full_ = !hold_place(*pool_, home_, pool_->pool->config->limits.per_backend, tried_);
  if (home_full_) return false;
  backend_index_ = home_;
  return true;
}

/// A backend has answered: the client gets the cookie of that backend, unless it has it. `room`: for what it is.
void Exchange::give_affinity(ResponseContext& context, char* room) {
  const bool at_home = backend_index_ == home_;
  const auto result = at_home ? AffinityResult::hit : result_without_backend(home_verdict_);
  pool_->cells->affinity[static_cast<size_t>(result)].add();
  // While its backend is only busy, the session stays there.
  if (!at_home && home_full_) return;
  const bool known = home_verdict_ == Affinity::Verdict::valid || home_verdict_ == Affinity::Verdict::gone;
  if (!known) session_ = Affinity::new_session(worker_.rng());
  note_session();
  if (at_home && !home_renew_) return;
  context.cookie_name = pool_->pool->config->affinity->cookie;
  context.cookie_value = {room, pool_->pool->affinity->write(backend_index_, session_, std::time(nullptr), room)};
}

/// Its backend has answered a session. While that doesn't drain, it is one store to a line that is this worker's alone.
void Exchange::note_session() {
  const uint32_t tick = tick_of(worker_.now);
  const UpstreamSet& set = *pool_->upstreams[backend_index_];
  set.cells->session_tick.store(tick, std::memory_order_relaxed);
  if (set.backend->order.load(std::memory_order_acquire) != BackendOrder::drain) return;
  if (auto* sessions = set.backend->sessions.load(std::memory_order_acquire))
    sessions->add(stable_hash({session_.data(), session_.size()}), tick);
}

}  // namespace weir::proxy
