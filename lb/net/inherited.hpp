// Listening sockets that whoever started the daemon has opened for it: systemd's socket activation (sd_listen_fds(3)).
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lb/net/socket.hpp"

namespace weir::net {

/// They stay open for the life of the process, as they do with the one who passed them: a listener that a reload
/// removes can be had again by the next one.
class InheritedSockets {
 public:
  /// Takes LISTEN_FDS descriptors from 3 on if LISTEN_PID is this process, and removes these variables, for they mean
  /// nothing to a child. What is no listening stream socket is left alone, with an event.
  static InheritedSockets from_environment();

  /// The socket bound to this very address, duplicated for each worker: one queue that all of them accept from. Empty
  /// if there is none. Throws std::system_error if descriptors run out.
  std::optional<ListenerSockets> take(const Endpoint& where, size_t workers);
  /// One event for each socket that nothing has asked for.
  void report_unused() const;

  /// Takes ownership of a descriptor that was passed under that name. What is no listening stream socket is left alone,
  /// with an event.
  void adopt(int fd, std::string name);
  struct Socket {
    std::string name;  // FileDescriptorName=, or "unknown"
    Endpoint address;
    UniqueFd fd;
    bool used = false;
  };
  const std::vector<Socket>& all() const { return sockets_; }

 private:
  std::vector<Socket> sockets_;
};

}  // namespace weir::net
