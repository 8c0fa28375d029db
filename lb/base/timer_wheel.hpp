// A hashed timer wheel (Varghese and Lauck 1987) with lazy re-arming: moving a deadline later is one store, the entry is moved only
// when its old slot comes round. One coarse tick serves all time-outs of a worker, so that no request pays for a timer.
#pragma once
#include <array>
#include <cstddef>

#include "lb/base/clock.hpp"

namespace weir {

/// Intrusive: derive from it, or hold it as a member; it unlinks itself when destroyed.
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
  ~TimerWheel() {
    for (auto& head : slots_)
      while (head.next_ != &head) head.next_->unlink();
    for (auto& head : slots_) head.next_ = head.previous_ = nullptr;
  }
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// The timer fires at the first advance() with now ≥ deadline, at most one tick late.
  void arm(Timer& timer, TimePoint deadline) {
    timer.deadline_ = deadline;
    if (timer.next_ && timer.slot_time_ <= deadline) return;  // its slot comes early enough to look again
    link(timer);
  }

  /// Fires what is due. A timer may arm, cancel or destroy itself and others from on_timer.
  void advance(TimePoint now) {
    const int64_t target = (now - start_) / tick_;
    if (target - current_ > static_cast<int64_t>(kSlots)) current_ = target - static_cast<int64_t>(kSlots);
    while (current_ < target) {
      ++current_;
      expire_slot(slots_[static_cast<size_t>(current_) % kSlots], now);
    }
  }
  Duration tick() const { return tick_; }

 private:
  struct Head final : Timer {
    void on_timer(TimePoint) override {}
  };

  void link(Timer& timer) {
    timer.unlink();
    // A slot k is expired when now ≥ start + k·tick, so an entry goes to the first slot not before its deadline.
    int64_t slot = (timer.deadline_ - start_ + tick_ - Duration(1)) / tick_;
    if (slot <= current_) slot = current_ + 1;
    if (slot > current_ + static_cast<int64_t>(kSlots)) slot = current_ + static_cast<int64_t>(kSlots);
    timer.slot_time_ = start_ + tick_ * slot;
    Timer& head = slots_[static_cast<size_t>(slot) % kSlots];
    timer.previous_ = head.previous_;
    timer.next_ = &head;
    head.previous_->next_ = &timer;
    head.previous_ = &timer;
  }

  void expire_slot(Head& head, TimePoint now) {
    // Moved to a list of its own first: on_timer may link into this very slot.
    Head due;
    if (head.next_ == &head) return;
    due.next_ = head.next_;
    due.previous_ = head.previous_;
    due.next_->previous_ = due.previous_->next_ = &due;
    head.next_ = head.previous_ = &head;
    while (due.next_ != &due) {
      Timer& timer = *due.next_;
      timer.unlink();
      if (timer.deadline_ == TimePoint::max()) continue;
      if (timer.deadline_ > now) {
        link(timer);
      } else {
        timer.deadline_ = TimePoint::max();
        timer.on_timer(now);
      }
    }
    due.next_ = due.previous_ = nullptr;
  }

  Duration tick_;
  TimePoint start_;
  int64_t current_ = 0;
  std::array<Head, kSlots> slots_;
};

}  // namespace weir
