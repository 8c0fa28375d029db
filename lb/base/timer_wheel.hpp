// A hashed timer wheel (Varghese and Lauck 1987) with lazy re-arming: moving a deadline later is one store, the entry
// is moved only when its old slot comes round. One coarse tick serves all time-outs of a worker, so that no request
// pays for a timer.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "lb/base/clock.hpp"

namespace weir {

/// Intrusive: derive from it, or hold it as a member; it unlinks itself when destroyed. Belongs to the first wheel that
/// arms it.
class Timer {
 public:
  Timer() = default;
  virtual ~Timer() { unlink(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  bool armed() const { return deadline_ != TimePoint::max(); }
  TimePoint deadline() const { return deadline_; }
  /// Keeps the entry where it is: cancelling costs one store.
  void cancel() { deadline_ = TimePoint::max(); }

 protected:
  /// Unarmed again when called. May arm, cancel or destroy this timer and any other, but not the wheel; must not throw.
  virtual void on_timer(TimePoint now) = 0;

 private:
  friend class TimerWheel;
  void unlink() {
    if (!next_) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
  }
  Timer* next_ = nullptr;
  Timer* previous_ = nullptr;
  TimePoint deadline_ = TimePoint::max();
  TimePoint slot_time_ = TimePoint::max();  // when the slot that holds the entry comes round
};

class TimerWheel {
 public:
  static constexpr size_t kSlots = 1024;
  explicit TimerWheel(TimePoint start, Duration tick = std::chrono::milliseconds(100)) : tick_(tick), start_(start) {
    for (auto& head : slots_) head.next_ = head.previous_ = &head;
  }
  /// What is still armed never fires.
  ~TimerWheel() {
    for (auto& head : slots_) {
      while (head.next_ != &head) {
        head.next_->cancel();
        head.next_->unlink();
      }
      head.next_ = head.previous_ = nullptr;
    }
  }
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// Fires in the first advance() whose `now` is at or behind the end of the deadline's tick: never early, and less
  /// than one tick late if advance() is called each tick. A deadline that has passed fires at the next tick, also when
  /// armed from on_timer. TimePoint::max() cancels.
  void arm(Timer& timer, TimePoint deadline) {
    timer.deadline_ = deadline;
    if (deadline == TimePoint::max()) return;
    if (timer.next_ && timer.slot_time_ <= deadline) return;  // its slot comes early enough to look again
    link(timer);
  }

  /// Fires what is due, in the order of its ticks. However far `now` has jumped, each entry is looked at once.
  void advance(TimePoint now) {
    const int64_t target = (now - start_) / tick_;
    if (target <= current_) return;
    const int64_t slots = std::min(target - current_, static_cast<int64_t>(kSlots));
    // All moved to a list of their own, and the clock set, before the first on_timer: what it arms must not fire in
    // this call.
    Head due;
    due.next_ = due.previous_ = &due;
    for (int64_t slot = current_ + 1; slot <= current_ + slots; ++slot) splice(slots_[index(slot)], due);
    current_ = target;
    while (due.next_ != &due) {
      Timer& timer = *due.next_;
      timer.unlink();
      if (!timer.armed()) continue;
      if (timer.deadline_ > now) {
        link(timer);
      } else {
        timer.cancel();
        timer.on_timer(now);
      }
    }
    due.next_ = due.previous_ = nullptr;
  }
  Duration tick() const { return tick_; }

 private:
  struct Head final : Timer {
    void on_timer(TimePoint) override {}
  };

  static size_t index(int64_t slot) { return static_cast<size_t>(slot) % kSlots; }

  void link(Timer& timer) {
    timer.unlink();
    // Slot k is looked at when now ≥ start + k·tick, so an entry goes to the first slot not before its deadline, or to
    // the last of the wheel, where it is looked at and moved on. Compared before it is computed: far deadlines would
    // overflow.
    int64_t slot = current_ + static_cast<int64_t>(kSlots);
    if (timer.deadline_ <= start_ + tick_ * (current_ + 1)) {
      slot = current_ + 1;
    } else if (timer.deadline_ < start_ + tick_ * slot) {
      slot = (timer.deadline_ - start_ + tick_ - Duration(1)) / tick_;
    }
    timer.slot_time_ = start_ + tick_ * slot;
    Timer& head = slots_[index(slot)];
    timer.previous_ = head.previous_;
    timer.next_ = &head;
    head.previous_->next_ = &timer;
    head.previous_ = &timer;
  }

  /// Moves all of `from` to the end of `to`.
  static void splice(Head& from, Head& to) {
    if (from.next_ == &from) return;
    from.next_->previous_ = to.previous_;
    to.previous_->next_ = from.next_;
    from.previous_->next_ = &to;
    to.previous_ = from.previous_;
    from.next_ = from.previous_ = &from;
  }

  Duration tick_;
  TimePoint start_;
  int64_t current_ = 0;
  std::array<Head, kSlots> slots_;
};

}  // namespace weir
