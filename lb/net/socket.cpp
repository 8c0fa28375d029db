#include "lb/net/socket.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <system_error>

namespace weir::net {

namespace {

constexpr int kBacklog = 4096;  // the kernel cuts it to net.core.somaxconn

[[noreturn]] void fail(const Endpoint& where, int error) {
  std::string what = "cannot listen on " + where.to_string();
  if (error == EADDRINUSE) what += " (another program, or another weir, has it)";
  if (error == EACCES) what += " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
  throw std::system_error(error, std::generic_category(), what);
}

UniqueFd new_socket(const Endpoint& where) {
  UniqueFd fd(::socket(where.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) fail(where, errno);
  return fd;
}

void set_int(int fd, int level, int option, int value) { ::setsockopt(fd, level, option, &value, sizeof value); }

UniqueFd listen_tcp(const Endpoint& where, bool reuse_port, bool listens = true) {
  UniqueFd fd = new_socket(where);
  set_int(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (reuse_port) set_int(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (where.family() == AF_INET6) set_int(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, where.host() == "::" ? 0 : 1);
  if (::bind(fd.get(), where.address(), where.length) != 0) fail(where, errno);
  if (listens && ::listen(fd.get(), kBacklog) != 0) fail(where, errno);
  return fd;
}

int get_int(int fd, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

Endpoint local_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length);
  return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage), length);
}

bool has_ipv6() { return static_cast<bool>(UniqueFd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0))); }

/// A socket file whose owner is gone (kill -9) refuses connections: it may be removed.
void remove_stale_socket(const Endpoint& where) {
  const auto* address = reinterpret_cast<const sockaddr_un*>(where.address());
  if (address->sun_path[0] == '\0') return;  // abstract
  struct stat status {};
  if (::stat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (probe && ::connect(probe.get(), where.address(), where.length) != 0 && errno == ECONNREFUSED)
    ::unlink(address->sun_path);
}

ListenerSockets open_unix(const Endpoint& where, size_t workers, unsigned mode) {
  remove_stale_socket(where);
  UniqueFd fd = new_socket(where);
  if (mode) ::fchmod(fd.get(), mode);  // unix(7): bind() takes it over, so that nobody else gets in for a moment
  if (::bind(fd.get(), where.address(), where.length) != 0) fail(where, errno);
  if (::listen(fd.get(), kBacklog) != 0) fail(where, errno);
  ListenerSockets sockets{where, {}, false};
  for (size_t i = 1; i < workers; ++i) {
    UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy) fail(where, errno);
    sockets.fds.push_back(std::move(copy));
  }
  sockets.fds.push_back(std::move(fd));
  return sockets;
}

/// ":80" means every address that there is.
Endpoint without_ipv6(const Endpoint& where) {
  if (where.family() != AF_INET6 || where.host() != "::" || has_ipv6()) return where;
  return *Endpoint::parse("0.0.0.0:" + std::to_string(where.port()));
}

}  // namespace

ListenerSockets open_listener(const Endpoint& where, size_t workers, unsigned unix_mode) {
  if (where.is_unix()) return open_unix(where, workers, unix_mode);
  const Endpoint real = without_ipv6(where);
  if (real.port() != 0) listen_tcp(real, false);  // closed at once: only to see that nobody has the port
  return open_listener_beside(real, workers);
}

ListenerSockets open_listener_beside(const Endpoint& where, size_t workers, bool listens) {
  ListenerSockets sockets{without_ipv6(where), {}, false};
  for (size_t i = 0; i < workers; ++i) {
    sockets.fds.push_back(listen_tcp(sockets.address, true, listens));
    if (i == 0) sockets.address = local_address(sockets.fds[0].get());
  }
  return sockets;
}

std::optional<Endpoint> listening_address(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || get_int(fd, SO_TYPE) != SOCK_STREAM || get_int(fd, SO_ACCEPTCONN) != 1) return std::nullopt;
  ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  ::setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, nullptr, 0);
  return local_address(fd);
}

void stop_new_connections(int listener_fd) {
  // A listener's socket filter sees the TCP header: drop SYN without ACK, let the last ACK of a handshake under way
  // through.
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog program{sizeof code / sizeof code[0], code};
  ::setsockopt(listener_fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void accept_new_connections(int listener_fd) {
  const int ignored = 0;
  ::setsockopt(listener_fd, SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof ignored);
  ::listen(listener_fd, kBacklog);
}

void close_listener(int listener_fd) { ::shutdown(listener_fd, SHUT_RDWR); }

UpstreamSocket connect_to(const Endpoint& where, std::chrono::milliseconds user_timeout) {
  UniqueFd fd(::socket(where.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return {{}, false, errno};
  if (!where.is_unix()) prepare_downstream(fd.get(), user_timeout);
  int outcome;
  do outcome = ::connect(fd.get(), where.address(), where.length);
  while (outcome != 0 && errno == EINTR);
  if (outcome == 0) return {std::move(fd), true, 0};
  if (errno == EINPROGRESS) return {std::move(fd), false, 0};
  return {{}, false, errno};
}

void prepare_downstream(int fd, std::chrono::milliseconds user_timeout) {
  set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (user_timeout.count() > 0) set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(user_timeout.count()));
}

void forget_user_timeout(int fd) { set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 0); }

void defer_accept(int listener_fd, bool on) { set_int(listener_fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, on ? 1 : 0); }

uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

}  // namespace weir::net
