// limits.inflight and the pool's queue: exact over all workers, first come first served. One a pool; lives over
// reloads. A free place costs one compare-and-swap; the mutex is touched only while requests wait.
#pragma once
#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>

#include "config/model.hpp"
#include "lb/base/state.hpp"

namespace weir::proxy {

class Worker;

/// A queued request, named so that a grant that arrives too late finds nobody.
struct Ticket {
  Worker* worker = nullptr;
  void* exchange = nullptr;
  uint64_t serial = 0;
};

class Admission;

/// A place handed to a request that waited. If nobody of that ticket waits any more, release() passes it on.
struct Grant {
  Ticket ticket;
  std::shared_ptr<Admission> admission;
  config::PoolLimits limits;
  bool had_place = false;  // it waited for a backend only
  void release() const;
};

class Admission : public std::enable_shared_from_this<Admission> {
 public:
  explicit Admission(PoolState& state) : state_(state) {}

  /// Takes a place if there is one and nobody waits for it.
  bool try_admit(const config::PoolLimits& limits);
  enum class Wait : uint8_t { queued, admitted, full };
  /// Queues the request; `admitted` if a place came free meanwhile. `holds_place`: it has its place in the pool already
  /// and waits for a backend below limits.per_backend.
  Wait wait(const Ticket& ticket, const config::PoolLimits& limits, bool holds_place);
  /// A queued request gave up. False: it was granted at the same moment, and the grant is on its way.
  bool forget(const Ticket& ticket);
  /// Gives a place back and, if requests wait, passes it on through Worker::grant.
  void release(const config::PoolLimits& limits);
  /// A backend below its limit came free, without a place in the pool (an attempt ended, its request goes on).
  void backend_freed(const config::PoolLimits& limits) { wake(limits); }

 private:
  struct Waiter {
    Ticket ticket;
    bool holds_place;
  };
  bool take(const config::PoolLimits& limits);
  void wake(const config::PoolLimits& limits);

  PoolState& state_;
  std::mutex mutex_;
  std::list<Waiter> waiters_;
};

}  // namespace weir::proxy
