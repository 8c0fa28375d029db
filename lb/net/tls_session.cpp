#include "lb/net/tls_session.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "lb/net/tls_server.hpp"

namespace weir::net {

namespace {
constexpr uint32_t kMostUnsent = 64 << 10;  // a peer that asks for key updates and reads none gets no further
constexpr int kHandshakeRecord = 22;        // RFC 8446 §5.1
}  // namespace

/// Between OpenSSL and the descriptor. OpenSSL's own socket BIO would pay two recv for each record and raise SIGPIPE.
struct TlsBio {
  static TlsSession& session(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }
  static int read(BIO* bio, char* data, int size) {
    BIO_clear_retry_flags(bio);
    const int n = session(bio).read_cipher(data, size);
    if (n < 0 && session(bio).error_ == 0) BIO_set_retry_read(bio);
    return n;
  }
  static int write(BIO* bio, const char* data, int size) {
    BIO_clear_retry_flags(bio);
    const int n = session(bio).write_cipher(data, size);
    if (n < 0) BIO_set_retry_write(bio);
    return n;
  }
  static long control(BIO* bio, int command, long, void*) {
    if (command == BIO_CTRL_EOF) return session(bio).eof_;
    return command == BIO_CTRL_FLUSH;
  }
  static int create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }
  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = [] {
      BIO_METHOD* const own = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir");
      BIO_meth_set_read(own, read);
      BIO_meth_set_write(own, write);
      BIO_meth_set_ctrl(own, control);
      BIO_meth_set_create(own, create);
      return own;
    }();
    return made;
  }
};

TlsSession::TlsSession(ssl_ctx_st* context, std::shared_ptr<const TlsServer> owner, TlsScratch& scratch, int fd)
    : ssl_(SSL_new(context)), owner_(std::move(owner)), scratch_(scratch), fd_(fd) {
  BIO* const bio = ssl_ ? BIO_new(TlsBio::method()) : nullptr;
  if (!bio) {
    SSL_free(ssl_);
    throw std::bad_alloc();
  }
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_app_data(ssl_, this);
}

TlsSession::~TlsSession() {
  SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // else the session could not be resumed
  SSL_free(ssl_);
  in_.release(scratch_.buffers);
  out_.release(scratch_.buffers);
}

// ---- ciphertext ----

int TlsSession::read_cipher(char* data, int size) {
  const auto wanted = static_cast<uint32_t>(size);
  if (!in_.empty()) {
    const uint32_t n = std::min(wanted, in_.size());
    std::memcpy(data, in_.data(), n);
    in_.consume(scratch_.buffers, n);
    return static_cast<int>(n);
  }
  if (scratch_.begin == scratch_.end) {
    if (eof_) return 0;
    if (drained_ || error_) return -1;
    if (!scratch_.in) scratch_.in = std::make_unique<char[]>(TlsScratch::kIn);
    const auto result = receive_plain(fd_, scratch_.in.get(), TlsScratch::kIn);
    eof_ = result.status == IoStatus::end;
    drained_ = !result.more && !eof_;
    if (result.status == IoStatus::error) error_ = result.error;
    if (result.status != IoStatus::ok) return eof_ ? 0 : -1;
    if (first_byte_ < 0) first_byte_ = static_cast<uint8_t>(scratch_.in[0]);
    scratch_.begin = 0;
    scratch_.end = result.bytes;
  }
  const size_t n = std::min<size_t>(wanted, scratch_.end - scratch_.begin);
  std::memcpy(data, scratch_.in.get() + scratch_.begin, n);
  scratch_.begin += n;
  return static_cast<int>(n);
}

/// The scratch is everybody's: what is not decrypted now moves into memory of the session's own.
void TlsSession::keep_rest() {
  if (scratch_.begin == scratch_.end) return;
  in_.append(scratch_.buffers, {scratch_.in.get() + scratch_.begin, scratch_.end - scratch_.begin});
  scratch_.begin = scratch_.end = 0;
}

int TlsSession::write_cipher(const char* data, int size) {
  tickets_wait_ = false;
  const auto length = static_cast<uint32_t>(size);
  if (write_error_) return size;  // what the peer has said before it closed can still be read
  if (corked_ || !out_.empty()) {
    if (out_.size() > kMostUnsent) return -1;
    out_.append(scratch_.buffers, {data, length});
    return size;
  }
  const auto result = send_plain(fd_, data, length);
  if (result.status == IoStatus::error) {
    write_error_ = result.error;
    return size;
  }
  if (result.bytes < length) {
    blocked_ = true;
    out_.append(scratch_.buffers, {data + result.bytes, length - result.bytes});
  }
  return size;
}

bool TlsSession::flush() {
  while (!out_.empty()) {
    const auto result = send_plain(fd_, out_.data(), out_.size());
    blocked_ = result.status == IoStatus::would_block;
    if (result.status == IoStatus::error) {
      write_error_ = result.error;
      out_.release(scratch_.buffers);
    }
    if (result.status != IoStatus::ok) return false;
    out_.consume(scratch_.buffers, static_cast<uint32_t>(result.bytes));
  }
  if (shutdown_after_flush_) ::shutdown(fd_, SHUT_WR);
  shutdown_after_flush_ = false;
  return true;
}

// ---- handshake ----

IoResult TlsSession::handshake() {
  if (!out_.empty()) flush();
  if (ERR_peek_error()) ERR_clear_error();
  drained_ = false;
  corked_ = true;  // a flight goes out with one send
  const int outcome = SSL_do_handshake(ssl_);
  corked_ = false;
  keep_rest();
  if (outcome != 1) {
    const IoResult result = result_of_failure(outcome);
    const bool sent = flush();
    if (sent && !failed_ && SSL_want_write(ssl_)) return handshake();  // a flight longer than what is kept of one
    return result;
  }
  established_ = true;
  if (owner_) identity_ = owner_->identity_of(*this);
  // In TLS 1.3 the peer waits for nothing more: what is left goes out with the first bytes, or when we wait for some.
  if (!tls13()) flush();
  return {IoStatus::ok};
}

namespace {

TlsFailure failure_of(int reason) {
  if (reason >= SSL_AD_REASON_OFFSET) return TlsFailure::alert;
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST: return TlsFailure::plain_http;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_PROTOCOLS_AVAILABLE: return TlsFailure::version;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS: return TlsFailure::cipher;
    case SSL_R_NO_APPLICATION_PROTOCOL: return TlsFailure::alpn;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return TlsFailure::certificate_missing;
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return TlsFailure::certificate_refused;
    default: return TlsFailure::protocol;
  }
}

}  // namespace

TlsFailure failure_without_tls(char first) {
  return first >= 'A' && first <= 'Z' ? TlsFailure::plain_http : TlsFailure::not_tls;
}

/// After a call of OpenSSL that was not done.
IoResult TlsSession::result_of_failure(int outcome) {
  const int why = SSL_get_error(ssl_, outcome);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return {IoStatus::would_block};
  if (why == SSL_ERROR_ZERO_RETURN) return {IoStatus::end};
  failed_ = true;
  const unsigned long queued = ERR_peek_error();
  const int reason = queued ? ERR_GET_REASON(queued) : 0;
  if (error_ || eof_) {
    failure_ = TlsFailure::closed;
    failure_detail_ = error_ ? "connection reset" : "the peer has ended it";
  } else if (!established_ && first_byte_ >= 0 && first_byte_ != kHandshakeRecord) {
    failure_ = failure_without_tls(static_cast<char>(first_byte_));
    failure_detail_ = "no TLS at all";
  } else if (name_refused_) {
    failure_ = TlsFailure::server_name;
    failure_detail_ = "no certificate for the name, or no name";
  } else {
    failure_ = failure_of(reason);
    const char* const text = failure_ == TlsFailure::certificate_refused
                                 ? X509_verify_cert_error_string(SSL_get_verify_result(ssl_))
                                 : ERR_reason_error_string(queued);
    if (text) failure_detail_ = text;
  }
  ERR_clear_error();
  return {IoStatus::error, false, error_ ? error_ : EPROTO};
}

// ---- plaintext ----

IoResult TlsSession::receive(char* data, size_t size) {
  if (failed_) return {IoStatus::error, false, error_ ? error_ : EPROTO};
  if (ERR_peek_error()) ERR_clear_error();
  drained_ = false;
  size_t got = 0;
  IoResult last{IoStatus::ok};
  while (got < size) {
    size_t n = 0;
    if (const int outcome = SSL_read_ex(ssl_, data + got, size - got, &n); outcome != 1) {
      last = result_of_failure(outcome);
      break;
    }
    got += n;
  }
  keep_rest();
  if (unsent() && !blocked_ && last.status == IoStatus::would_block && got == 0) flush();
  if (got == 0) return last;
  return {IoStatus::ok, last.status != IoStatus::would_block, 0, got};
}

/// Encrypts one record from the front of `parts`, and returns how much plaintext it has. 0: it failed.
size_t TlsSession::send_record(const iovec*& part, int& count, size_t& offset) {
  const char* data = static_cast<const char*>(part->iov_base) + offset;
  size_t size = std::min(part->iov_len - offset, TlsScratch::kRecord);
  if (size < TlsScratch::kRecord && count > 1) {
    if (!scratch_.record) scratch_.record = std::make_unique<char[]>(TlsScratch::kRecord);
    char* const into = scratch_.record.get();
    size = 0;
    for (int i = 0; i < count && size < TlsScratch::kRecord; ++i) {
      const size_t skip = i == 0 ? offset : 0;
      const size_t n = std::min(part[i].iov_len - skip, TlsScratch::kRecord - size);
      if (n) std::memcpy(into + size, static_cast<const char*>(part[i].iov_base) + skip, n);
      size += n;
    }
    data = into;
  }
  size_t written = 0;
  if (size && SSL_write_ex(ssl_, data, size, &written) != 1) return 0;
  size_t left = written;
  while (count > 0 && left >= part->iov_len - offset) {
    left -= part->iov_len - offset;
    offset = 0;
    ++part;
    --count;
  }
  offset += left;
  return written;
}

/// What has gone counts, also where a later record fails: that is for the next call to say. An event brings it about.
/// The kernel reports its own errors; one of OpenSSL's, of which it knows nothing, is made known to it.
IoResult TlsSession::send(const iovec* parts, int count) {
  const auto failed = [this] { return IoResult{IoStatus::error, false, write_error_ ? write_error_ : EPROTO}; };
  if (failed_ || said_end_ || write_error_) return failed();
  if (blocked_ && !flush()) return write_error_ ? failed() : IoResult{IoStatus::would_block};
  if (ERR_peek_error()) ERR_clear_error();
  size_t offset = std::exchange(withheld_, 0);  // that has gone with the flush
  size_t done = offset;
  while (count > 0 && offset >= parts->iov_len) {
    offset -= parts->iov_len;
    ++parts;
    --count;
  }
  while (count > 0) {
    const size_t size = send_record(parts, count, offset);
    if (size == 0) {
      if (count == 0) break;  // nothing but empty parts
      failed_ = true;
      ERR_clear_error();
      if (done) ::shutdown(fd_, SHUT_RDWR);
      break;
    }
    if (!out_.empty() && !blocked_) flush();
    if (write_error_) break;
    if (!out_.empty()) {
      withheld_ = size;
      break;
    }
    done += size;
  }
  if (done) return {IoStatus::ok, false, 0, done};
  return failed_ || write_error_ ? failed() : IoResult{IoStatus::would_block};
}

// ---- the end ----

bool TlsSession::say_end() {
  if (established_ && !failed_ && !said_end_ && !write_error_ && withheld_ == 0) {
    if (ERR_peek_error()) ERR_clear_error();
    SSL_shutdown(ssl_);
    ERR_clear_error();
  }
  said_end_ = true;
  if (out_.empty() || (!blocked_ && flush()) || write_error_) return true;
  shutdown_after_flush_ = true;
  return false;
}

bool TlsSession::unread() const { return !in_.empty() || SSL_pending(ssl_) > 0; }

// ---- what was agreed ----

std::string_view TlsSession::alpn() const {
  const unsigned char* name = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(ssl_, &name, &length);
  return {reinterpret_cast<const char*>(name), length};
}

std::string_view TlsSession::server_name() const {
  const char* const name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
  return name ? name : std::string_view();
}

bool TlsSession::tls13() const { return SSL_version(ssl_) >= TLS1_3_VERSION; }
bool TlsSession::resumed() const { return SSL_session_reused(ssl_) != 0; }

}  // namespace weir::net
