// A worker's listening socket: accepts in batches, and never spins when it can't.
#pragma once
#include <memory>
#include <string>

#include "lb/base/endpoint.hpp"
#include "lb/base/timer_wheel.hpp"
#include "lb/base/unique_fd.hpp"
#include "lb/net/poller.hpp"
#include "lb/proxy/downstream.hpp"

namespace weir::proxy {

class Acceptor final : public net::Pollable, public Timer {
 public:
  Acceptor(Worker& worker, std::shared_ptr<ListenerInfo> info, const Endpoint& address,
           std::shared_ptr<const UniqueFd> fd, bool inherited);
  ~Acceptor();

  const std::string& key() const { return info_->key; }
  bool has(const std::shared_ptr<const UniqueFd>& fd) const { return fd == fd_; }
  /// What the configuration says of the socket; again after each reload.
  void set_options();
  /// New connections are refused from now on; those under way are still accepted for a short while. An inherited
  /// socket is left as it is: its owner keeps it open, and what waits in it is for the next who accepts.
  void begin_closing(TimePoint now);
  /// Nobody but this process listens on a socket that is not inherited: from now on nobody does.
  void close();
  /// Leaves what waits in the socket to the process that has taken over.
  void halt();
  /// Undoes halt().
  void resume();
  /// Undoes begin_closing(), but for the socket itself. Not for an inherited one, of which there is another duplicate.
  void stay_open() { close_at_ = TimePoint::max(); }
  bool may_close(TimePoint now) const { return now >= close_at_; }
  /// Accepts what is in the queue.
  void drain();

 private:
  void on_events(uint32_t events) override;
  void on_timer(TimePoint now) override;  // the pause is over
  bool accept_one();
  void begin_session(UniqueFd fd, const Endpoint& peer, bool over);
  void pause();

  Worker& worker_;
  std::shared_ptr<ListenerInfo> info_;
  std::shared_ptr<const UniqueFd> fd_;
  const bool tcp_;
  UniqueFd reserve_;
  TimePoint close_at_ = TimePoint::max();
  bool paused_ = false;
  uint32_t passed_over_ = 0;
  const bool inherited_;
  bool closing_ = false;
};

}  // namespace weir::proxy
