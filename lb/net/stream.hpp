// A non-blocking byte stream over a descriptor: one recv or sendmsg a call, never blocking, never throwing. The one
// place where the data path moves bytes, so that TLS can stand beneath it.
#pragma once
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "lb/base/unique_fd.hpp"

namespace weir::net {

enum class IoStatus : uint8_t {
  ok,  // `bytes` were moved (> 0)
  would_block,
  end,    // recv: the peer has ended its side
  error,  // see `error`; the connection is dead
};

struct IoResult {
  IoStatus status;
  size_t bytes = 0;
  int error = 0;
};

class Stream {
 public:
  Stream() = default;
  explicit Stream(UniqueFd fd) : fd_(static_cast<UniqueFd&&>(fd)) {}

  bool open() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }

  IoResult receive(char* data, size_t size);
  IoResult send(const iovec* parts, int count);
  IoResult send(const char* data, size_t size);
  /// FIN: the peer reads the end after what was sent.
  void shutdown_send();
  /// RST: the peer sees an error, so that what it has is not taken for complete.
  void close_with_reset();
  void close() { fd_.reset(); }
  /// Bytes have come that nobody has read: close() would be a reset.
  bool unread() const;
  /// SO_ERROR: the outcome of a connect, 0 for success.
  int take_error() const;

 private:
  UniqueFd fd_;
};

}  // namespace weir::net
