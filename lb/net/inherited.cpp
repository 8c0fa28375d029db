#include "lb/net/inherited.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "lb/base/environment_number.hpp"
#include "lb/base/log.hpp"

namespace weir::net {

namespace {

constexpr int kFirst = 3;         // SD_LISTEN_FDS_START
constexpr uint64_t kMost = 1024;  // more than anybody has listeners

/// "a:b:c", a name for each descriptor.
std::string next_name(std::string_view& names) {
  const auto colon = names.find(':');
  const std::string name(names.substr(0, colon));
  names = colon == std::string_view::npos ? std::string_view() : names.substr(colon + 1);
  return name.empty() ? "unknown" : name;
}

}  // namespace

InheritedSockets InheritedSockets::from_environment() {
  InheritedSockets result;
  const uint64_t count = environment_number("LISTEN_FDS");
  const bool ours = environment_number("LISTEN_PID") == static_cast<uint64_t>(::getpid());
  const char* names_text = std::getenv("LISTEN_FDNAMES");
  std::string kept = names_text ? names_text : "";
  std::string_view names = kept;
  if (ours && count <= kMost)
    for (int i = 0; i < static_cast<int>(count); ++i) result.adopt(kFirst + i, next_name(names));
  for (const char* variable : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}) ::unsetenv(variable);
  return result;
}

void InheritedSockets::adopt(int fd, std::string name) {
  if (::fcntl(fd, F_GETFL) < 0) return;  // not open: the number in LISTEN_FDS was wrong
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  const auto address = listening_address(fd);
  if (!address) {
    log::warn("inherited_socket_ignored", {{"name", name}, {"reason", "it is no listening stream socket"}});
    return;
  }
  sockets_.push_back({std::move(name), *address, UniqueFd(fd), false});
}

std::optional<ListenerSockets> InheritedSockets::take(const Endpoint& where, size_t workers) {
  for (auto& socket : sockets_) {
    if (!(socket.address == where)) continue;
    ListenerSockets sockets{where, {}, true};
    for (size_t i = 0; i < workers; ++i) {
      UniqueFd copy(::fcntl(socket.fd.get(), F_DUPFD_CLOEXEC, 0));
      if (!copy)
        throw std::system_error(errno, std::generic_category(), "cannot share the inherited " + where.to_string());
      sockets.fds.push_back(std::move(copy));
    }
    socket.used = true;
    return sockets;
  }
  return std::nullopt;
}

void InheritedSockets::report_unused() const {
  for (const auto& socket : sockets_)
    if (!socket.used)
      log::warn("inherited_socket_unused", {{"name", socket.name},
                                            {"address", socket.address.to_string()},
                                            {"reason", "no listener has this very address as its bind"}});
}

}  // namespace weir::net
