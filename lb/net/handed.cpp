#include "lb/net/handed.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>

#include "lb/base/log.hpp"
#include "lb/net/socket.hpp"

namespace weir::net {

void HandedSockets::add(const std::string& key, const std::vector<int>& fds) {
  Socket socket{key, {}};
  for (const int fd : fds) {
    const auto address = listening_address(fd);
    if (!address) {
      log::warn("inherited_socket_ignored", {{"name", key}, {"reason", "it is no listening stream socket"}});
      continue;
    }
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    socket.taken.address = *address;
    socket.taken.fds.emplace_back(fd);
  }
  if (socket.taken.fds.empty()) return;
  addresses_.push_back(socket.taken.address);
  sockets_.push_back(std::move(socket));
}

HandedSockets::Taken HandedSockets::take(const std::string& key) {
  const auto found =
      std::find_if(sockets_.begin(), sockets_.end(), [&](const auto& socket) { return socket.key == key; });
  if (found == sockets_.end()) return {};
  Taken taken = std::move(found->taken);
  sockets_.erase(found);
  return taken;
}

std::vector<std::string> HandedSockets::unused() const {
  std::vector<std::string> keys;
  for (const auto& socket : sockets_) keys.push_back(socket.key);
  return keys;
}

}  // namespace weir::net
