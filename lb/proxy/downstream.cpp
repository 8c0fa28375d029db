#include "lb/proxy/downstream.hpp"

#include <sys/epoll.h>

#include <cerrno>
#include <cstring>

#include "lb/base/endpoint.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/http2_session.hpp"
#include "lb/proxy/proxy_side.hpp"
#include "lb/proxy/refused_head.hpp"
#include "lb/proxy/request_facts.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

namespace {
// RFC 9112 §9.6: how long, and how much, is read and thrown away before a close, so that a client still sending can
// read the answer. It may have sent what two kernels hold, some MiB each, before it sees that.
constexpr auto kLingerTime = std::chrono::seconds(2);
constexpr uint32_t kLingerBytes = 16 << 20;
constexpr uint64_t kCloseAtOnce = 16 << 10;  // an answer so small is with the client when we close
constexpr int kTurns = 16;                   // receives or pipelined requests, then others get a turn
constexpr uint32_t kHeadStep = 1024;         // a partial head grows by at least so much room

/// TCP_USER_TIMEOUT is timeout.send_stall as well, and the kernel may look at its clock before we look at ours.
Cause cause_of(int error) { return error == ETIMEDOUT ? Cause::client_too_slow : Cause::client_gone; }

/// It begins no head: the time that is over goes on, and the connection is as idle as before (else two bytes every few
/// seconds would keep its place for ever).
bool half_an_empty_line(std::string_view bytes) { return bytes == "\r"; }
}  // namespace

DownstreamConnection::DownstreamConnection(Worker& worker, std::shared_ptr<const ListenerInfo> listener,
                                           net::Stream stream, const Endpoint& peer)
    : worker_(worker), listener_(std::move(listener)), stream_(std::move(stream)) {
  set_peer(peer);
}

void DownstreamConnection::set_peer(const Endpoint& peer) {
  const std::string text = peer.is_unix() ? "unix:" : peer.host();
  peer_length_ = static_cast<uint8_t>(std::min(text.size(), sizeof peer_text_));
  std::memcpy(peer_text_, text.data(), peer_length_);
}

DownstreamConnection::~DownstreamConnection() {
  in_.release(worker_.buffers);
  out_.release(worker_.buffers);
}

void DownstreamConnection::start() {
  arm_for_head();
  pump();
}

void DownstreamConnection::watch() {
  if (watched_ || state_ == State::closed) return;
  watched_ = worker_.poller.add(stream_.fd(), *this);
  if (watched_)
    worker_.forget_unwatched(unwatched_at_);
  else
    worker_.watch_later(*this, unwatched_at_);  // no room in the kernel now; the time-outs hold meanwhile
}

// ---- sending ----

Sent DownstreamConnection::send(const iovec* parts, int count) {
  if (state_ == State::closed) return Sent::failed;
  size_t skip = 0;
  if (out_.empty()) {
    const auto result = stream_.send(parts, count);
    if (result.status == net::IoStatus::error) return Sent::failed;
    skip = result.bytes;
    worker_.cells.bytes_sent.add(skip);
  }
  const bool was_empty = out_.empty();
  for (int i = 0; i < count; ++i) {
    if (skip >= parts[i].iov_len) {
      skip -= parts[i].iov_len;
      continue;
    }
    out_.append(worker_.buffers, {static_cast<const char*>(parts[i].iov_base) + skip, parts[i].iov_len - skip});
    skip = 0;
  }
  if (out_.empty()) return Sent::all;
  if (was_empty) worker_.wheel.arm(*this, worker_.now + listener_->send_stall);
  watch();
  return Sent::pending;
}

/// False: the connection is dead and lost() has been called.
bool DownstreamConnection::flush() {
  while (!out_.empty()) {
    const auto result = stream_.send(out_.data(), out_.size());
    if (result.status == net::IoStatus::would_block) return true;
    if (result.status == net::IoStatus::error) {
      lost(cause_of(result.error));
      return false;
    }
    worker_.cells.bytes_sent.add(result.bytes);
    out_.consume(worker_.buffers, static_cast<uint32_t>(result.bytes));
    worker_.wheel.arm(*this, worker_.now + listener_->send_stall);
  }
  cancel();
  if (shutdown_pending_) stream_.shutdown_send();
  shutdown_pending_ = false;
  if (state_ == State::body) arm_for_body();
  if (exchange_) exchange_->on_downstream_drained();
  return state_ != State::closed;
}

void DownstreamConnection::shutdown_send_after_flush() {
  if (out_.empty())
    stream_.shutdown_send();
  else
    shutdown_pending_ = true;
}

// ---- events ----

void DownstreamConnection::on_events(uint32_t events) {
  if (state_ == State::closed) return;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) readable_ = true;
  if (events & EPOLLRDHUP) peer_fin_ = true;
  if (stream_.tls()) [[unlikely]] {
    on_tls_events(events);
    if (state_ == State::closed) return;
  }
  // Both directions of a tunnel may have ended in order: that hang-up is read as the end it is.
  if ((events & EPOLLERR) || ((events & EPOLLHUP) && state_ != State::tunnel))
    return lost(cause_of(stream_.take_error()));
  if ((events & EPOLLOUT) && !out_.empty() && !flush()) return;
  if (http2_) [[unlikely]]
    http2_->on_event();
  pump();
}

void DownstreamConnection::lost(Cause cause) {
  if (http2_) {
    http2_->say_end();
    http2_->fail_streams(cause);
  }
  if (exchange_)
    exchange_->on_downstream_failed(cause);
  else
    close();
}

void DownstreamConnection::pump() {
  if (pumping_) return;
  pumping_ = true;
  for (int turn = 0; pump_once();)
    if (++turn == kTurns) {
      worker_.poller.again(*this);
      break;
    }
  pumping_ = false;
  if (watched_) return;
  // While an answer is waited for, the client can only go away: that is time enough for the next tick.
  if (state_ == State::waiting && out_.empty())
    worker_.watch_later(*this, unwatched_at_);
  else
    watch();
}

/// True: something was done, and there may be more.
bool DownstreamConnection::pump_once() {
  switch (state_) {
    case State::proxy_header: return readable_ && receive_proxy_header();
    case State::handshake: return readable_ && shake_hands();
    case State::head:
      if (!in_.empty()) {
        if (const size_t used = take_request(in_.data(), in_.size())) {
          in_.consume(worker_.buffers, static_cast<uint32_t>(used));
          return true;
        }
      }
      if (!readable_ || state_ != State::head) return false;
      receive_head();
      return true;
    case State::body:
      if (body_ == Body::none) {
        state_ = State::waiting;
        if (out_.empty()) cancel();
        return false;
      }
      if (body_abandoned_ || !exchange_->wants_body() || (in_.empty() && !readable_)) return false;
      receive_body();
      return true;
    case State::tunnel:
      if (!exchange_->wants_body() || (in_.empty() && !readable_)) return false;
      receive_tunnel();
      return true;
    case State::linger:
      if (!readable_) return false;
      discard();
      return true;
    case State::http2: return readable_ && http2_->receive();
    case State::waiting:
    case State::closed: return false;
  }
  return false;
}

void DownstreamConnection::receive_head() {
  const bool partial = !in_.empty();
  char* into = partial ? in_.prepare(worker_.buffers, kHeadStep) : worker_.receive_scratch.get();
  const bool maybe_http2 = listener_->http2 && requests_ == 0;
  const size_t room = partial ? in_.room() : maybe_http2 ? Http2Session::kFirstPiece : Worker::kReceiveScratch;
  const auto result = stream_.receive(into, room);
  if (result.status == net::IoStatus::would_block) {
    readable_ = false;
    return;
  }
  if (result.status != net::IoStatus::ok) {
    // An end between requests is the ordinary one; within a head nobody is left to read a 400.
    readable_ = false;
    return close();
  }
  readable_ = result.more || peer_fin_;
  worker_.cells.bytes_received.add(result.bytes);
  if (partial) {
    in_.commit(static_cast<uint32_t>(result.bytes));
    return;
  }
  const size_t used = take_request(into, result.bytes);
  if (state_ != State::closed && state_ != State::linger && state_ != State::http2)
    in_.append(worker_.buffers, {into + used, result.bytes - used});
}

size_t DownstreamConnection::take_request(char* bytes, size_t size) {
  const size_t skip = http1::skip_empty_lines({bytes, size});
  if (skip == size) return skip;
  const auto& config = worker_.runtime->config();
  Exchange* exchange = worker_.take_exchange();
  auto rules = request_rules(config);
  rules.tls = stream_.tls() != nullptr;
  const auto result = http1::parse_request({bytes + skip, size - skip}, rules, exchange->head);
  const TimePoint first_byte = head_started_ == TimePoint{} ? worker_.now : head_started_;
  if (result.status == http1::Parse::need_more) {
    worker_.recycle(exchange);
    if (head_started_ == TimePoint{} && !half_an_empty_line({bytes + skip, size - skip})) {
      head_started_ = worker_.now;
      arm_for_head();
    }
    return 0;
  }
  head_started_ = {};
  if (result.status == http1::Parse::error && begins_http2(result, *exchange)) {
    worker_.recycle(exchange);
    begin_http2({bytes, size});
    return size;
  }
  exchange_ = exchange;
  worker_.cells.requests_parsed.add();
  if (result.status == http1::Parse::error) {
    state_ = State::waiting;
    body_ = Body::none;
    keep_for_the_record(exchange->head);
    exchange->head.base = bytes + skip;
    exchange->begin(*this, *this, first_byte);
    exchange->bytes_received = size;
    exchange->refuse(result.cause, result.detail);
    return size;
  }
  exchange->head.base = bytes + skip;
  exchange->begin(*this, *this, first_byte);
  size_t used = skip + exchange->head.size;
  state_ = State::body;
  body_abandoned_ = false;
  body_ = exchange->head.framing == http1::Framing::chunked                                       ? Body::chunked
          : exchange->head.framing == http1::Framing::length && exchange->head.content_length > 0 ? Body::length
                                                                                                  : Body::none;
  body_remaining_ = exchange->head.content_length;
  if (body_ == Body::chunked)
    chunks_ = http1::ChunkDecoder({config.limits.chunk_ext_bytes, config.limits.trailers, config.limits.trailer_bytes});
  if (body_ == Body::none) {
    state_ = State::waiting;
    cancel();
  } else {
    arm_for_body();
  }
  if (refuse_) {
    exchange->refuse(Cause::overload_connections, "");
    return used;
  }
  if (body_ == Body::length && body_too_large(config.limits, body_remaining_)) {
    exchange->refuse(Cause::body_too_large, "Content-Length is above limits.body_bytes");
    return used;
  }
  std::string_view data;
  bool failed = false;
  const size_t body_bytes = take_body(bytes + used, size - used, data, failed);
  used += body_bytes;
  exchange->bytes_received += body_bytes;
  if (failed)
    exchange->refuse(chunks_.cause(), chunks_.detail());
  else
    exchange->handle_request(data, body_ == Body::none);
  return used;
}

/// Decodes what belongs to the body; the pieces of a chunked body are moved together, so that `data` is one piece.
/// Returns the bytes used.
size_t DownstreamConnection::take_body(char* bytes, size_t size, std::string_view& data, bool& failed) {
  if (body_ == Body::none) return 0;
  if (body_ == Body::length) {
    const size_t part = std::min<uint64_t>(size, body_remaining_);
    data = {bytes, part};
    body_remaining_ -= part;
    if (body_remaining_ == 0) body_ = Body::none;
    clocked_bytes_ += part;
    return part;
  }
  size_t used = 0;
  char* end = nullptr;
  char* begin = nullptr;
  for (;;) {
    const auto step = chunks_.next({bytes + used, size - used});
    used += step.consumed;
    if (step.status == http1::ChunkDecoder::Status::data) {
      char* piece = const_cast<char*>(step.data.data());
      if (!begin) begin = end = piece;
      if (piece != end) std::memmove(end, piece, step.data.size());
      end += step.data.size();
      continue;
    }
    if (step.status == http1::ChunkDecoder::Status::done) body_ = Body::none;
    failed = step.status == http1::ChunkDecoder::Status::error;
    break;
  }
  if (begin) data = {begin, static_cast<size_t>(end - begin)};
  clocked_bytes_ += data.size();
  return used;
}

void DownstreamConnection::receive_body() {
  const bool from_in = !in_.empty();
  char* bytes = from_in ? in_.data() : worker_.receive_scratch.get();
  size_t size = in_.size();
  if (!from_in) {
    const auto result = stream_.receive(bytes, Worker::kReceiveScratch);
    if (result.status == net::IoStatus::would_block) {
      readable_ = false;
      return;
    }
    if (result.status != net::IoStatus::ok) {
      readable_ = false;
      return exchange_->on_downstream_failed(Cause::client_gone, "the client ended within the request body");
    }
    size = result.bytes;
    readable_ = result.more || peer_fin_;
    worker_.cells.bytes_received.add(size);
  }
  std::string_view data;
  bool failed = false;
  const size_t used = take_body(bytes, size, data, failed);
  Exchange& exchange = *exchange_;
  exchange.bytes_received += used;
  if (failed)
    exchange.on_downstream_failed(chunks_.cause(), chunks_.detail());
  else
    exchange.on_request_body(data, body_ == Body::none);
  if (state_ == State::closed) return;
  if (from_in)
    in_.consume(worker_.buffers, static_cast<uint32_t>(used));
  else if (state_ != State::linger)
    in_.append(worker_.buffers, {bytes + used, size - used});
}

void DownstreamConnection::receive_tunnel() {
  if (!in_.empty()) {
    exchange_->on_tunnel_data(in_.view());
    if (state_ != State::closed) in_.release(worker_.buffers);
    return;
  }
  const auto result = stream_.receive(worker_.receive_scratch.get(), Worker::kReceiveScratch);
  if (result.status == net::IoStatus::would_block) {
    readable_ = false;
  } else if (result.status == net::IoStatus::ok) {
    readable_ = result.more || peer_fin_;
    worker_.cells.bytes_received.add(result.bytes);
    exchange_->bytes_received += result.bytes;
    exchange_->on_tunnel_data({worker_.receive_scratch.get(), result.bytes});
  } else {
    readable_ = false;
    if (result.status == net::IoStatus::error) return lost(Cause::client_gone);
    exchange_->on_downstream_end();
  }
}

// ---- ends ----

void DownstreamConnection::exchange_done(bool keep_alive) {
  const bool client_closes =
      !exchange_->head.keep_alive && exchange_->head.size > 0 && exchange_->bytes_sent() <= kCloseAtOnce;
  exchange_ = nullptr;
  ++requests_;
  if (state_ == State::closed) return;
  if (!keep_alive || body_ != Body::none) {
    if (client_closes && body_ == Body::none && in_.empty() && !stream_.unread()) return close();
    return begin_linger();
  }
  state_ = State::head;
  arm_for_head();
  pump();
}

void DownstreamConnection::enter_tunnel() {
  state_ = State::tunnel;
  if (out_.empty()) cancel();
}

void DownstreamConnection::begin_linger() {
  stream_.shutdown_send();
  state_ = State::linger;
  body_ = Body::none;
  discarded_ = 0;
  worker_.wheel.arm(*this, worker_.now + kLingerTime);
  pump();
}

void DownstreamConnection::discard() {
  const auto result = stream_.receive(worker_.receive_scratch.get(), Worker::kReceiveScratch);
  if (result.status == net::IoStatus::would_block) {
    readable_ = false;
    return;
  }
  if (result.status == net::IoStatus::ok) {
    readable_ = result.more || peer_fin_;
    discarded_ += static_cast<uint32_t>(result.bytes);
  }
  if (result.status != net::IoStatus::ok || discarded_ > kLingerBytes) close();
}

void DownstreamConnection::reset() {
  if (state_ == State::closed) return;
  stream_.close_with_reset();
  close();
}

void DownstreamConnection::close() {
  if (state_ == State::closed) return;
  if (state_ == State::handshake) return end_handshake(TlsFailure::closed, "the client has ended it");
  state_ = State::closed;
  if (proxy_) [[unlikely]]
    close_upstream();
  if (http2_) [[unlikely]] {
    http2_->say_end();
    http2_->fail_streams(Cause::client_gone);
  }
  cancel();
  worker_.forget_unwatched(unwatched_at_);
  stream_.close();
  worker_.retire(this);
}

bool DownstreamConnection::idle() const {
  if (state_ == State::http2) return http2_->idle();
  return !exchange_ && state_ == State::head && (in_.empty() || half_an_empty_line(in_.view()));
}

bool DownstreamConnection::close_if_idle() {
  if (state_ == State::http2) return http2_->end_if_idle();
  if (!idle() || head_started_ != TimePoint{}) return false;
  begin_linger();
  return true;
}

void DownstreamConnection::abort_for_drain() {
  if (http2_) http2_->abort_for_drain();
  if (exchange_) exchange_->abort_for_drain();
}

Endpoint DownstreamConnection::peer() const {
  if (const auto address = AddressBlock::parse_address(peer_text())) return *address;
  Endpoint unix_peer;
  unix_peer.storage.ss_family = AF_UNIX;
  return unix_peer;
}

}  // namespace weir::proxy
