#include "lb/net/watchdog.hpp"

#include <string>
#include <utility>

#include "lb/base/log.hpp"

namespace weir::net {

Watchdog::Watchdog(boost::asio::io_context& control, Post post, std::function<void()> alive)
    : timer_(control), post_(std::move(post)), alive_(std::move(alive)) {}

void Watchdog::start(size_t threads, std::chrono::microseconds within) {
  if (within.count() == 0) return;
  interval_ = within / 3;
  round_ = 0;
  answered_ = std::make_shared<std::vector<std::atomic<uint64_t>>>(threads);
  tick();
}

void Watchdog::stop() { timer_.cancel(); }

void Watchdog::tick() {
  const size_t threads = answered_->size();
  size_t silent = threads;
  for (size_t i = 0; i < threads; ++i)
    if ((*answered_)[i].load(std::memory_order_relaxed) != round_) silent = i;
  if (silent == threads) {
    alive_();
    complained_ = false;
    ++round_;
    for (size_t i = 0; i < threads; ++i)
      post_(i, [answered = answered_, i, round = round_] { (*answered)[i].store(round, std::memory_order_relaxed); });
  } else if (!std::exchange(complained_, true)) {
    log::error("worker_silent", {{"worker", std::to_string(silent)},
                                 {"action", "the service manager gets no sign of life until it answers"}});
  }
  timer_.expires_after(interval_);
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) tick();
  });
}

}  // namespace weir::net
