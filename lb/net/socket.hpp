// Opening sockets: listeners (SO_REUSEPORT, one a worker) and connections to backends.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "lb/base/endpoint.hpp"
#include "lb/base/unique_fd.hpp"

namespace weir::net {

/// One listening socket a worker on one address (a unix socket is one socket, duplicated). Port 0 takes a free port,
/// the same for all. A port in use is an error even if its owner allows sharing, or a second daemon would silently take
/// half the connections. `unix_mode`: the permissions of a unix socket, less the umask (0: all of what that leaves).
/// Throws std::system_error with a sentence for people.
struct ListenerSockets {
  Endpoint address;  // with the real port
  std::vector<UniqueFd> fds;
  bool inherited = false;  // somebody else has them, too (lb/net/inherited.hpp)
};
ListenerSockets open_listener(const Endpoint& where, size_t workers, unsigned unix_mode = 0);

/// The same without that check, for a TCP address that this process itself listens on, or stops listening on, or that
/// it takes over. `listens` false: they get connections only after accept_new_connections().
ListenerSockets open_listener_beside(const Endpoint& where, size_t workers, bool listens = true);

/// The address of a listening stream socket, which is made non-blocking, without what stop_new_connections() did.
/// Nothing if it is none.
std::optional<Endpoint> listening_address(int fd);

/// New connections are refused from now on, while those the kernel is completing still arrive: to be followed by
/// accepts for a while, then close_listener().
void stop_new_connections(int listener_fd);
/// Takes that back, and close_listener(), too, for TCP; else it begins to listen.
void accept_new_connections(int listener_fd);
/// Nobody listens any more, even if another process has the socket, too.
void close_listener(int listener_fd);

struct UpstreamSocket {
  UniqueFd fd;
  bool connected = false;  // else in progress: writable when done
  int error = 0;           // errno; fd is empty then
};
/// Non-blocking connect; TCP_NODELAY, and TCP_USER_TIMEOUT so that a vanished host is noticed.
UpstreamSocket connect_to(const Endpoint& where, std::chrono::milliseconds user_timeout);

/// TCP_NODELAY, TCP_USER_TIMEOUT for an accepted socket; nothing for unix sockets.
void prepare_downstream(int fd, std::chrono::milliseconds user_timeout);

/// Takes TCP_USER_TIMEOUT back.
void forget_user_timeout(int fd);

/// On a listening TCP socket: accept() gives a connection once its first bytes have come, or when the client confirms
/// it again about a second later (TCP_DEFER_ACCEPT): one wake-up a connection instead of two.
void defer_accept(int listener_fd, bool on);

/// Raises RLIMIT_NOFILE to its hard limit; returns what it is then.
uint64_t raise_descriptor_limit();

}  // namespace weir::net
