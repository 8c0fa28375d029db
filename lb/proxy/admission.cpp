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

bool Admission::try_admit(const config::PoolLimits& limits) {
  if (limits.inflight && state_.waiting.value.load() > 0) return false;
  return take(limits);
}

Admission::Wait Admission::wait(const Ticket& ticket, const config::PoolLimits& limits, bool holds_place) {
  const std::lock_guard lock(mutex_);
  if (waiters_.size() >= limits.queue) return Wait::full;
  // Announced before the last look at the limit: a release after that look sees the waiter (both are sequentially
  // consistent).
  waiters_.push_back({ticket, holds_place});
  state_.waiting.value.fetch_add(1);
  if (holds_place || waiters_.size() > 1 || !take(limits)) return Wait::queued;
  waiters_.pop_back();
  state_.waiting.value.fetch_sub(1);
  return Wait::admitted;
}

bool Admission::forget(const Ticket& ticket) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(waiters_.begin(), waiters_.end(), [&](const Waiter& waiter) {
    return waiter.ticket.exchange == ticket.exchange && waiter.ticket.serial == ticket.serial;
  });
  if (found == waiters_.end()) return false;
  waiters_.erase(found);
  state_.waiting.value.fetch_sub(1);
  return true;
}

void Admission::release(const config::PoolLimits& limits) {
  state_.inflight.value.fetch_sub(1);
  if (state_.waiting.value.load() > 0) wake(limits);
}

void Admission::wake(const config::PoolLimits& limits) {
  if (state_.waiting.value.load() == 0) return;
  const std::lock_guard lock(mutex_);
  while (!waiters_.empty()) {
    const Waiter waiter = waiters_.front();
    if (!waiter.holds_place && !take(limits)) return;
    waiters_.pop_front();
    state_.waiting.value.fetch_sub(1);
    waiter.ticket.worker->grant({waiter.ticket, shared_from_this(), limits, waiter.holds_place});
    if (waiter.holds_place) return;  // one backend came free: one request may look
  }
}

void Grant::release() const {
  if (had_place)
    admission->backend_freed(limits);
  else
    admission->release(limits);
}

}  // namespace weir::proxy
