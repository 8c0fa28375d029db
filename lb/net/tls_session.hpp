// TLS on a descriptor: OpenSSL over a BIO of ours, so that a wake-up costs one recv and an answer one send, as without
// TLS. Made by TlsServer::accept. Not thread-safe; belongs to one worker.
#pragma once
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lb/base/tls_failure.hpp"
#include "lb/net/buffer.hpp"
#include "lb/net/stream.hpp"

struct ssl_st;
struct ssl_ctx_st;

namespace weir::net {

class TlsServer;

/// Of a client whose first byte begins no TLS: HTTP, or something else.
TlsFailure failure_without_tls(char first);

/// What the sessions of one worker share.
struct TlsScratch {
  static constexpr size_t kIn = 64 << 10;      // ciphertext taken with one recv
  static constexpr size_t kRecord = 16 << 10;  // plaintext of one record (RFC 8446 §5.1)
  explicit TlsScratch(BufferPool& pool) : buffers(pool) {}
  BufferPool& buffers;
  std::unique_ptr<char[]> in, record;  // made when they are needed first
  size_t begin = 0, end = 0;           // what of `in` is not yet decrypted
};

class TlsSession {
 public:
  /// `owner`: what the context must not outlive; null is allowed. Throws std::bad_alloc.
  TlsSession(ssl_ctx_st* context, std::shared_ptr<const TlsServer> owner, TlsScratch& scratch, int fd);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  /// Goes on with the handshake, after each event. `ok`: it has ended well; `error`: see failure().
  IoResult handshake();
  IoResult receive(char* data, size_t size);
  IoResult send(const iovec* parts, int count);
  /// Bytes that the kernel has not taken, apart from those that send() has left with its caller: alerts, tickets, key
  /// updates.
  bool unsent() const { return !out_.empty() && !tickets_wait_; }
  /// Of a server, after the handshake: session tickets go out with the first record, not before. A client that reads
  /// nothing would leave them unread, and its close() become a reset.
  void let_tickets_wait() { tickets_wait_ = tls13(); }
  /// False: it is not all sent, wait for the next event.
  bool flush();
  /// close_notify. False: bytes before it are still to be flushed, which then shuts the descriptor down.
  bool say_end();
  bool unread() const;

  TlsFailure failure() const { return failure_; }
  /// In OpenSSL's words; static storage.
  const char* failure_detail() const { return failure_detail_; }
  /// Has the peer sent anything?
  bool heard() const { return first_byte_ >= 0; }

  // Once the handshake has ended.
  bool established() const { return established_; }
  std::string_view alpn() const;         // "h2", "http/1.1"; empty: none was agreed
  std::string_view server_name() const;  // that the client asked for; empty: none
  bool tls13() const;
  bool resumed() const;
  /// The certificate that was shown, for TlsServer.
  uint32_t certificate() const { return certificate_; }
  void choose_certificate(uint32_t index) { certificate_ = index; }
  /// The handshake fails, since no certificate stands for the name that was asked for.
  void refuse_name() { name_refused_ = true; }
  const TlsServer* server() const { return owner_.get(); }
  /// Field lines that say who the client is, made once; empty: it has shown no certificate.
  const std::string& identity() const { return identity_; }
  ssl_st* native() const { return ssl_; }

 private:
  friend struct TlsBio;
  int read_cipher(char* data, int size);
  int write_cipher(const char* data, int size);
  IoResult result_of_failure(int outcome);
  void keep_rest();
  size_t send_record(const iovec*& part, int& count, size_t& offset);

  ssl_st* ssl_;
  std::shared_ptr<const TlsServer> owner_;
  TlsScratch& scratch_;
  const int fd_;
  int error_ = 0, write_error_ = 0;  // errno of the transport
  Buffer in_, out_;                  // ciphertext: not yet decrypted, not yet sent
  size_t withheld_ = 0;              // plaintext that is encrypted in out_, and that send() has not yet owned up to
  uint32_t certificate_ = 0;         // in the table of the server
  TlsFailure failure_ = TlsFailure::none;
  bool established_ = false, corked_ = false, blocked_ = false, drained_ = false, eof_ = false, failed_ = false;
  bool said_end_ = false, shutdown_after_flush_ = false, name_refused_ = false, tickets_wait_ = false;
  int16_t first_byte_ = -1;
  const char* failure_detail_ = "";
  std::string identity_;
};

}  // namespace weir::net
