// Tells the service manager how the daemon is: systemd's notification protocol (sd_notify(3)), spoken without its
// library.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

namespace weir::net {

/// Where NOTIFY_SOCKET is not set, every call does nothing. Messages are rare; one takes at most a second. A message
/// that can't be sent is lost, and the first such loss is an event: a daemon serves without its manager, too.
class ServiceManager {
 public:
  /// NOTIFY_SOCKET is a path or "@abstract"; WATCHDOG_USEC counts only if WATCHDOG_PID is this process, or not set: who
  /// starts a successor has to change it.
  static ServiceManager from_environment();
  ServiceManager() = default;
  ServiceManager(std::string socket, std::chrono::microseconds watchdog)
      : socket_(std::move(socket)), watchdog_(watchdog) {}

  /// The start, or a reload, is over.
  void ready(std::string_view status);
  /// The same, and this process is the service's main one from now on (NotifyAccess=all).
  void ready_in_place_of_another(std::string_view status);
  void reloading();
  /// The end has begun and may take so long: systemd's own TimeoutStopSec is extended by it.
  void stopping(std::string_view status, std::chrono::microseconds at_most);
  void status(std::string_view text);
  /// To be called more often than watchdog().
  void alive();
  /// Zero: nobody watches.
  std::chrono::microseconds watchdog() const { return watchdog_; }

 private:
  void send(std::string message);

  std::string socket_;
  std::chrono::microseconds watchdog_{0};
  bool complained_ = false;
};

}  // namespace weir::net
