#include "lb/admin/broadcast.hpp"

#include <exception>

#include "lb/base/log.hpp"

namespace weir::admin {

bool Broadcast::add(const void* id, Deliver deliver) {
  if (stopped_ || streams_.size() >= kStreams) return false;
  if (!running_) refresh();
  deliver(last_);
  streams_.emplace(id, std::move(deliver));
  if (!std::exchange(running_, true)) {
    timer_.expires_after(kPeriod);
    wait();
  }
  return true;
}

void Broadcast::remove(const void* id) { streams_.erase(id); }

void Broadcast::stop() {
  stopped_ = true;
  streams_.clear();
  timer_.cancel();
}

void Broadcast::refresh() { last_ = std::make_shared<const std::string>("data: " + make_() + "\n\n"); }

void Broadcast::wait() {
  timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (!error && self && !self->stopped_) self->tick();
  });
}

void Broadcast::tick() {
  if (streams_.empty()) {
    running_ = false;
    last_.reset();
    return;
  }
  try {
    refresh();
    for (const auto& [id, deliver] : streams_) deliver(last_);
  } catch (const std::exception& error) {
    log::error("admin_request_failed", {{"error", error.what()}});
  }
  // From the last time rather than from now: charts like an even step. After a long pause it doesn't catch up.
  timer_.expires_at(std::max(timer_.expiry(), std::chrono::steady_clock::now() - kPeriod) + kPeriod);
  wait();
}

}  // namespace weir::admin
