// A non-blocking byte stream over a descriptor, never blocking, never throwing: plain, or TLS on the same descriptor.
// The one place where the data path moves bytes; who uses it need not know which of the two it is, but for the
// handshake before the first byte. docs/adr/0006-tls-in-the-stream.md says why it is made so.
#pragma once
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "lb/base/unique_fd.hpp"

namespace weir::net {

class TlsSession;

enum class IoStatus : uint8_t {
  ok,  // `bytes` were moved (> 0)
  would_block,
  end,    // recv: the peer has ended its side
  error,  // see `error`; the connection is dead
};

struct IoResult {
  IoStatus status;
  bool more = false;  // recv: ask again without waiting for an event
  int error = 0;
  size_t bytes = 0;
};

class Stream {
 public:
  Stream();
  explicit Stream(UniqueFd fd);
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  bool open() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }

  IoResult receive(char* data, size_t size);
  /// What has come already, left where it is. Never under TLS.
  IoResult peek(char* data, size_t size);
  /// What was not taken must be offered again, the same bytes first: with TLS they may be encrypted already.
  IoResult send(const iovec* parts, int count);
  IoResult send(const char* data, size_t size);
  /// FIN: the peer reads the end after what was sent. With TLS close_notify goes before it.
  void shutdown_send();
  /// RST: the peer sees an error, so that what it has is not taken for complete.
  void close_with_reset();
  /// With TLS after a close_notify, if the kernel has room for it.
  void close();
  /// Bytes have come that nobody has read: close() would be a reset.
  bool unread() const;
  /// Bytes that the kernel has taken and the peer's has not, which a reset would drop.
  uint64_t unacknowledged() const;
  /// SO_ERROR: the outcome of a connect, 0 for success.
  int take_error() const;

  /// From here on everything is TLS. TlsSession::handshake() must have ended before the first receive or send.
  void start_tls(std::unique_ptr<TlsSession> session);
  /// Back to plain, for a peer that has never begun with TLS.
  void drop_tls();
  /// Null: plain.
  TlsSession* tls() { return tls_.get(); }
  const TlsSession* tls() const { return tls_.get(); }

 private:
  UniqueFd fd_;
  std::unique_ptr<TlsSession> tls_;
};

/// One recv or send on a descriptor, for what stands beneath a stream.
IoResult receive_plain(int fd, char* data, size_t size);
IoResult send_plain(int fd, const char* data, size_t size);

}  // namespace weir::net
