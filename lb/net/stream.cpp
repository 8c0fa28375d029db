#include "lb/net/stream.hpp"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "lb/net/tls_session.hpp"

namespace weir::net {

namespace {
IoResult result_of(ssize_t n) {
  if (n > 0) return {IoStatus::ok, false, 0, static_cast<size_t>(n)};
  if (n == 0) return {IoStatus::end};
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoStatus::would_block};
  return {IoStatus::error, false, errno};
}

// libc's recv and send are points where a thread may be cancelled, which costs two locked instructions a call, 1 % of
// a small request; no thread of ours is ever cancelled. A sanitizer must see the calls.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
ssize_t receive_some(int fd, char* data, size_t size) { return ::recv(fd, data, size, 0); }
ssize_t send_some(int fd, const char* data, size_t size) { return ::send(fd, data, size, MSG_NOSIGNAL); }
ssize_t send_parts(int fd, const msghdr& message) { return ::sendmsg(fd, &message, MSG_NOSIGNAL); }
#else
ssize_t receive_some(int fd, char* data, size_t size) {
  return ::syscall(SYS_recvfrom, fd, data, size, 0, nullptr, nullptr);
}
ssize_t send_some(int fd, const char* data, size_t size) {
  return ::syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL, nullptr, 0);
}
ssize_t send_parts(int fd, const msghdr& message) { return ::syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL); }
#endif
}  // namespace

IoResult receive_plain(int fd, char* data, size_t size) {
  ssize_t n;
  do n = receive_some(fd, data, size);
  while (n < 0 && errno == EINTR);
  IoResult result = result_of(n);
  result.more = result.bytes == size;
  return result;
}

IoResult send_plain(int fd, const char* data, size_t size) {
  ssize_t n;
  do n = send_some(fd, data, size);
  while (n < 0 && errno == EINTR);
  return n == 0 ? IoResult{IoStatus::would_block} : result_of(n);
}

Stream::Stream() = default;
Stream::Stream(UniqueFd fd) : fd_(std::move(fd)) {}
Stream::~Stream() = default;
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;

IoResult Stream::receive(char* data, size_t size) {
  if (tls_) [[unlikely]]
    return tls_->receive(data, size);
  return receive_plain(fd_.get(), data, size);
}

IoResult Stream::peek(char* data, size_t size) {
  ssize_t n;
  do n = ::recv(fd_.get(), data, size, MSG_PEEK);
  while (n < 0 && errno == EINTR);
  return result_of(n);
}

IoResult Stream::send(const iovec* parts, int count) {
  if (tls_) [[unlikely]]
    return tls_->send(parts, count);
  // sendto is 3 % of a small request cheaper than sendmsg, which copies its header and list first.
  if (count == 1) return send_plain(fd_.get(), static_cast<const char*>(parts->iov_base), parts->iov_len);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<size_t>(count);
  ssize_t n;
  do n = send_parts(fd_.get(), message);
  while (n < 0 && errno == EINTR);
  return n == 0 ? IoResult{IoStatus::would_block} : result_of(n);
}

IoResult Stream::send(const char* data, size_t size) {
  if (tls_) [[unlikely]] {
    const iovec part{const_cast<char*>(data), size};
    return tls_->send(&part, 1);
  }
  return send_plain(fd_.get(), data, size);
}

void Stream::shutdown_send() {
  if (tls_) [[unlikely]]
    if (!tls_->say_end()) return;  // it shuts down when what waits before it has gone
  ::shutdown(fd_.get(), SHUT_WR);
}

void Stream::close_with_reset() {
  const linger now{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  tls_.reset();
  fd_.reset();
}

void Stream::close() {
  if (tls_) [[unlikely]] {
    tls_->say_end();
    tls_.reset();
  }
  fd_.reset();
}

bool Stream::unread() const {
  int bytes = 0;
  return (::ioctl(fd_.get(), FIONREAD, &bytes) == 0 && bytes > 0) || (tls_ && tls_->unread());
}

uint64_t Stream::unacknowledged() const {
  int bytes = 0;
  return ::ioctl(fd_.get(), TIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<uint64_t>(bytes) : 0;
}

void Stream::start_tls(std::unique_ptr<TlsSession> session) { tls_ = std::move(session); }
void Stream::drop_tls() { tls_.reset(); }

int Stream::take_error() const {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

}  // namespace weir::net
