// Edge-triggered readiness for the data path's sockets, as a guest of an Asio io_context.
//
// Asio 1.81 pays an epoll_ctl(MOD) for every async_wait and keeps some 200 bytes a descriptor. The data path instead
// registers each socket once, edge-triggered, in an epoll instance of its own, and Asio watches that one descriptor: no
// system call but recv and send per message, and timers, posts from other threads, signals and everything else stay
// Asio's. Once it has the thread it also waits by itself, until Asio has something to do: one system call a wake-up
// instead of four. docs/adr/0002-own-poller.md and 0003-poller-waits.md have the figures.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "lb/base/clock.hpp"
#include "lb/base/unique_fd.hpp"

namespace boost::asio {
class io_context;
}

namespace weir::net {

/// Something with a descriptor in the poller. Events are edges: what on_events leaves unread raises no second event
/// (use Poller::again).
class Pollable {
 public:
  virtual ~Pollable() = default;
  virtual void on_events(uint32_t events) = 0;

 protected:
  friend class Poller;
  Pollable() = default;
  bool queued_again_ = false;
  bool retired_ = false;  // set by Poller::retire: events still in the current batch are dropped
};

class Poller {
 public:
  /// `before_batch` runs when a batch of events has arrived: the worker reads its clock, and says what it read;
  /// `after_batch` when all are handled (deferred deletion).
  Poller(boost::asio::io_context& context, std::function<TimePoint()> before_batch, std::function<void()> after_batch);
  ~Poller();

  void start();
  void stop();
  /// Any thread, after each post to the io_context: the poller gives the thread back to Asio.
  void wake();
  /// Asio's next timer: the poller gives the thread back by then.
  void return_by(TimePoint when) { return_by_ = when; }
  /// Registers for input, output and hang-ups. False with errno on failure (ENOSPC, ENOMEM).
  bool add(int fd, Pollable& target);
  /// For listeners: level-triggered input.
  bool add_level(int fd, Pollable& target);
  void remove(int fd);
  /// Calls on_events(0) once more, in the next round or, if there are many, one soon after: for work cut short in
  /// fairness to others.
  void again(Pollable& target);
  /// Forgets what is retired, then runs after_batch: for code outside on_events (timers, posts) that retired something.
  void sweep();
  /// The object will be deleted in after_batch: no more calls.
  static void retire(Pollable& target) { target.retired_ = true; }

 private:
  static constexpr int kBatch = 256;

  void wait();
  void run();
  void run_soon();
  TimePoint round(int timeout_ms);
  void run_again(TimePoint batch_began);

  struct Watch;  // keeps Asio's headers out of the data path's files
  std::unique_ptr<Watch> watch_;
  int epoll_ = -1;
  UniqueFd wake_;  // an eventfd, in the epoll instance without a target
  std::function<TimePoint()> before_batch_;
  std::function<void()> after_batch_;
  std::vector<Pollable*> again_, running_again_;
  TimePoint return_by_{};
  bool running_ = false, woken_ = false, run_posted_ = false;
};

}  // namespace weir::net
