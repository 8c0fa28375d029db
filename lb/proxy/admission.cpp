#include "lb/proxy/admission.hpp"

#include <algorithm>

#include "lb/proxy/worker.hpp"

namespace weir::proxy {

bool Admission::take(const config::PoolLimits& limits) {
  auto& inflight = state_.inflight.value;
  if (!limits.inflight) {
    inflight.fetch_add(1);
    return true;
  }
  uint32_t now = inflight.load();
  while (now < limits.inflight)
    if (inflight.compare_exchange_weak(now, now + 1)) return true;
  return false;
}

/// Does a newcomer have to wait because others do?
bool Admission::stands_behind(const config::PoolLimits& limits) const {
  return state_.waiting.value.load() > 0 && (limits.inflight || limits.per_backend) && first_tries_.load() > 0;
}

bool Admission::try_admit(const config::PoolLimits& limits) { return !stands_behind(limits) && take(limits); }

Admission::Outlook Admission::outlook(const config::PoolLimits& limits, bool holds_place) const {
  if (!holds_place && !stands_behind(limits) && (!limits.inflight || state_.inflight.value.load() < limits.inflight))
    return Outlook::place;
  if (limits.queue == 0) return Outlook::no_queue;
  return state_.waiting.value.load() < limits.queue ? Outlook::waits : Outlook::queue_full;
}

Admission::Wait Admission::wait(const Ticket& ticket, const config::PoolLimits& limits, Turn& turn) {
  const std::lock_guard lock(mutex_);
  const bool again = turn.order != 0;
  if (!again && waiters_.size() >= limits.queue) return Wait::full;
  if (!again) turn.order = ++last_order_;
  const uint32_t before = first_tries_.load();
  const auto behind =
      std::find_if(waiters_.rbegin(), waiters_.rend(), [&](const Waiter& w) { return w.turn.order < turn.order; });
  const auto position = waiters_.insert(behind.base(), {ticket, turn, false});
  // Announced before the last look at the limit: a release after that look sees the waiter (both are sequentially
  // consistent).
  state_.waiting.value.fetch_add(1);
  if (!turn.retrying) first_tries_.fetch_add(1);
  if (turn.holds_place || before > 0 || !take(limits)) return Wait::queued;
  remove(position);
  return Wait::admitted;
}

Admission::Position Admission::remove(Position waiter) {
  state_.waiting.value.fetch_sub(1);
  if (!waiter->turn.retrying) first_tries_.fetch_sub(1);
  return waiters_.erase(waiter);
}

Admission::Left Admission::forget(const Ticket& ticket) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(waiters_.begin(), waiters_.end(), [&](const Waiter& waiter) {
    return waiter.ticket.exchange == ticket.exchange && waiter.ticket.serial == ticket.serial;
  });
  if (found == waiters_.end()) return Left::granted;
  const bool place_given = found->place_given;
  remove(found);
  return place_given ? Left::with_place : Left::without_place;
}

void Admission::release(const config::PoolLimits& limits, bool backend_freed) {
  state_.inflight.value.fetch_sub(1);
  hand_out(limits, backend_freed, 0);
}

bool Admission::give_place(Waiter& waiter, const config::PoolLimits& limits) {
  if (waiter.turn.holds_place) return true;
  if (!take(limits)) return false;
  return waiter.turn.holds_place = waiter.place_given = true;
}

/// In turn: the first who can has the backend, if one came free; those who waited for a place have the places. Who got
/// a place behind somebody that waits for a backend goes on waiting for one.
void Admission::hand_out(const config::PoolLimits& limits, bool backend, uint64_t after) {
  if (state_.waiting.value.load() == 0) return;
  const std::lock_guard lock(mutex_);
  bool places = limits.inflight != 0, behind_others = false;
  for (auto waiter = waiters_.begin(); waiter != waiters_.end() && (backend || places);) {
    const bool had_place = waiter->turn.holds_place;
    if (waiter->turn.order <= after) {
      ++waiter;
    } else if (!give_place(*waiter, limits)) {
      places = false;
      ++waiter;
    } else {
      const bool may_look = !limits.per_backend || (!had_place && !behind_others);
      waiter = backend || may_look ? grant(waiter, limits, backend) : std::next(waiter);
      backend = false;
      behind_others = true;
    }
  }
}

void Admission::look_again(const config::PoolLimits& limits) {
  if (state_.waiting.value.load() == 0) return;
  const std::lock_guard lock(mutex_);
  for (auto waiter = waiters_.begin(); waiter != waiters_.end();)
    waiter = give_place(*waiter, limits) ? grant(waiter, limits, false) : std::next(waiter);
}

Admission::Position Admission::grant(Position waiter, const config::PoolLimits& limits, bool backend_freed) {
  const Waiter granted = *waiter;
  const auto next = remove(waiter);
  granted.ticket.worker->grant(
      {granted.ticket, shared_from_this(), limits, granted.turn.order, granted.place_given, backend_freed});
  return next;
}

void Grant::release() const {
  if (place_given)
    admission->release(limits, backend_freed);
  else
    pass_on();
}

void Grant::pass_on() const {
  if (backend_freed) admission->backend_freed(limits, order);
}

}  // namespace weir::proxy
