// A sign of life for as long as every thread still turns its loop.
#pragma once
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

namespace weir::net {

class Watchdog {
 public:
  /// Hands work to the loop of thread `index`.
  using Post = std::function<void(size_t index, std::function<void()> work)>;

  /// `alive` is called on the control thread.
  Watchdog(boost::asio::io_context& control, Post post, std::function<void()> alive);
  /// `alive` is called at once, and then three times `within` this time; not while one of the threads doesn't answer.
  /// The first such silence is an event. Zero: nobody watches, nothing happens. May be
  /// called again after stop().
  void start(size_t threads, std::chrono::microseconds within);
  void stop();

 private:
  void tick();

  boost::asio::steady_timer timer_;
  Post post_;
  std::function<void()> alive_;
  std::chrono::microseconds interval_{0};
  uint64_t round_ = 0;
  /// The last round that each thread has answered; a thread may outlive us.
  std::shared_ptr<std::vector<std::atomic<uint64_t>>> answered_;
  bool complained_ = false;
};

}  // namespace weir::net
