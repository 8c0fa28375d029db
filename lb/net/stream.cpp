#include "lb/net/stream.hpp"

#include <sys/socket.h>

#include <cerrno>

namespace weir::net {

namespace {
IoResult result_of(ssize_t n) {
  if (n > 0) return {IoStatus::ok, static_cast<size_t>(n)};
  if (n == 0) return {IoStatus::end};
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoStatus::would_block};
  return {IoStatus::error, 0, errno};
}
}  // namespace

IoResult Stream::receive(char* data, size_t size) {
  ssize_t n;
  do n = ::recv(fd_.get(), data, size, 0);
  while (n < 0 && errno == EINTR);
  return result_of(n);
}

IoResult Stream::send(const iovec* parts, int count) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<size_t>(count);
  ssize_t n;
  do n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n == 0 ? IoResult{IoStatus::would_block} : result_of(n);
}

IoResult Stream::send(const char* data, size_t size) {
  ssize_t n;
  do n = ::send(fd_.get(), data, size, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n == 0 ? IoResult{IoStatus::would_block} : result_of(n);
}

void Stream::shutdown_send() { ::shutdown(fd_.get(), SHUT_WR); }

void Stream::close_with_reset() {
  const linger now{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  fd_.reset();
}

int Stream::take_error() const {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

}  // namespace weir::net
