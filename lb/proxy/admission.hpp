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
  void* exchange = nullptr;  // null: a TCP session, of TcpWorker::queue
  uint64_t serial = 0;
};

class Admission;

/// What a queued request waits for, and since when: it keeps its turn when it has to wait again.
struct Turn {
  bool holds_place = false;  // it has its place in the pool and waits for a backend below limits.per_backend
  bool retrying = false;     // backends that it tried already are of no use to it, but may be to others
  uint64_t order = 0;        // given at the first wait
};

/// What came free, handed to a request that waited; it holds a place now. If nobody of that ticket waits any more,
/// release() passes it on.
struct Grant {
  Ticket ticket;
  std::shared_ptr<Admission> admission;
  config::PoolLimits limits;
  uint64_t order = 0;
  bool place_given = false;    // while it waited: it doesn't know yet
  bool backend_freed = false;  // one backend came free, and one waiter is told
  void release() const;
  /// The request found no backend: the next one may.
  void pass_on() const;
};

class Admission : public std::enable_shared_from_this<Admission> {
 public:
  explicit Admission(PoolState& state) : state_(state) {}

  /// Takes a place if there is one and nobody waits for what it needs.
  bool try_admit(const config::PoolLimits& limits);
  /// What a request would meet now that needs a place (or, with `holds_place`, has one and needs a backend).
  enum class Outlook : uint8_t { place, waits, no_queue, queue_full };
  /// Nothing is taken.
  Outlook outlook(const config::PoolLimits& limits, bool holds_place) const;
  enum class Wait : uint8_t { queued, admitted, full };
  /// Queues the request in its turn; `admitted` if a place came free meanwhile. Who waits for a backend has to look
  /// for one once more after this: one that came free before told nobody.
  Wait wait(const Ticket& ticket, const config::PoolLimits& limits, Turn& turn);
  enum class Left : uint8_t { without_place, with_place, granted };
  /// A queued request gave up. `with_place`: it was given one, which is now its own. `granted`: at the same moment, and
  /// the grant is on its way.
  Left forget(const Ticket& ticket);
  /// Gives a place back, and with `backend_freed` a backend that was at its limit; who waits gets them through
  /// Worker::grant.
  void release(const config::PoolLimits& limits, bool backend_freed);
  /// A backend at its limit came free; the first who waits behind `after` is told.
  void backend_freed(const config::PoolLimits& limits, uint64_t after = 0) { hand_out(limits, true, after); }
  /// The limits or the usable backends have changed: everyone who may go on is told. Control thread.
  void look_again(const config::PoolLimits& limits);

 private:
  struct Waiter {
    Ticket ticket;
    Turn turn;
    bool place_given = false;
  };
  using Position = std::list<Waiter>::iterator;
  bool stands_behind(const config::PoolLimits& limits) const;
  bool take(const config::PoolLimits& limits);
  bool give_place(Waiter& waiter, const config::PoolLimits& limits);
  void hand_out(const config::PoolLimits& limits, bool backend, uint64_t after);
  Position remove(Position waiter);
  Position grant(Position waiter, const config::PoolLimits& limits, bool backend_freed);

  PoolState& state_;
  std::mutex mutex_;
  std::list<Waiter> waiters_;  // by turn.order
  uint64_t last_order_ = 0;
  std::atomic<uint32_t> first_tries_{0};  // of the waiters; newcomers stand behind them
};

}  // namespace weir::proxy
