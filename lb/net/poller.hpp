// Edge-triggered readiness for the data path's sockets, as a guest of an Asio io_context.
//
// Asio 1.81 pays an epoll_ctl(MOD) for every async_wait and keeps some 200 bytes a descriptor. The data path instead
// registers each socket once, edge-triggered, in an epoll instance of its own, and Asio watches that one descriptor: no
// system call but recv and send per message, and timers, posts from other threads, signals and everything else stay
// Asio's. docs/adr/0002-own-poller.md has the figures.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

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
  /// `before_batch` runs when events have arrived (the worker reads its clock there); `after_batch` when all are
  /// handled (deferred deletion).
  Poller(boost::asio::io_context& context, std::function<void()> before_batch, std::function<void()> after_batch);
  ~Poller();

  void start();
  void stop();
  /// Registers for input, output and hang-ups. False with errno on failure (ENOSPC, ENOMEM).
  bool add(int fd, Pollable& target);
  /// For listeners: level-triggered input.
  bool add_level(int fd, Pollable& target);
  void remove(int fd);
  /// Calls on_events(0) once more in the next round: for work cut short in fairness to others.
  void again(Pollable& target);
  /// Forgets what is retired, then runs after_batch: for code outside on_events (timers, posts) that retired something.
  void sweep();
  /// The object will be deleted in after_batch: no more calls.
  static void retire(Pollable& target) { target.retired_ = true; }

 private:
  static constexpr int kBatch = 256;
  static constexpr int kRounds = 16;    // before Asio gets its turn
  static constexpr int kBusyBatch = 4;  // so many events suggest that more have come meanwhile

  void wait();
  void run();
  int round();

  struct Watch;  // keeps Asio's headers out of the data path's files
  std::unique_ptr<Watch> watch_;
  int epoll_ = -1;
  std::function<void()> before_batch_, after_batch_;
  std::vector<Pollable*> again_, running_again_;
  bool again_posted_ = false;
};

}  // namespace weir::net
