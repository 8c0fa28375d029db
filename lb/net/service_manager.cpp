#include "lb/net/service_manager.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "lb/base/environment_number.hpp"
#include "lb/base/log.hpp"
#include "lb/base/unique_fd.hpp"

namespace weir::net {

namespace {

/// A status is one line: a line break would begin another assignment.
std::string one_line(std::string_view text) {
  std::string line(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

/// Zero, or an errno.
int deliver(const std::string& socket, const std::string& message) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  if (socket[0] != '/' && socket[0] != '@') return EAFNOSUPPORT;
  std::memcpy(address.sun_path, socket.data(), socket.size());
  if (socket[0] == '@') address.sun_path[0] = '\0';  // an abstract name ends where its length says
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.size());
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  const timeval limit{1, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ssize_t sent;
  do
    sent = ::sendto(fd.get(), message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
                    length);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

}  // namespace

ServiceManager ServiceManager::from_environment() {
  const char* socket = std::getenv("NOTIFY_SOCKET");
  if (!socket || !*socket) return {};
  const bool watched =
      !std::getenv("WATCHDOG_PID") || environment_number("WATCHDOG_PID") == static_cast<uint64_t>(::getpid());
  return {socket, std::chrono::microseconds(watched ? environment_number("WATCHDOG_USEC") : 0)};
}

void ServiceManager::ready(std::string_view text) { send("READY=1\nSTATUS=" + one_line(text)); }

void ServiceManager::ready_in_place_of_another(std::string_view text) {
  send(fmt::format("READY=1\nMAINPID={}\nSTATUS={}", ::getpid(), one_line(text)));
}

void ServiceManager::reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reloading the configuration",
                   uint64_t(now.tv_sec) * 1'000'000 + uint64_t(now.tv_nsec) / 1000));
}

void ServiceManager::stopping(std::string_view text, std::chrono::microseconds at_most) {
  send(fmt::format("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS={}", at_most.count(), one_line(text)));
}

void ServiceManager::status(std::string_view text) { send("STATUS=" + one_line(text)); }

void ServiceManager::alive() { send("WATCHDOG=1"); }

void ServiceManager::send(std::string message) {
  if (socket_.empty()) return;
  const int error = deliver(socket_, message);
  if (error == 0 || complained_) return;
  complained_ = true;
  log::warn("service_manager_unreachable", {{"socket", socket_}, {"reason", std::strerror(error)}});
}

}  // namespace weir::net
