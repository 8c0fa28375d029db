#include "lb/proxy/upstream.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "lb/net/socket.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/http2_upstream.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

namespace {
constexpr int kReadsPerTurn = 4;  // of 256 KiB each, then others get a turn
constexpr auto kLearntFor = std::chrono::minutes(1);
constexpr auto kShortestKeepAlive = std::chrono::seconds(1);
}  // namespace

UpstreamSet::UpstreamSet() = default;
UpstreamSet::~UpstreamSet() = default;

void UpstreamSet::use_http2(bool on) {
  if (on == speaks_http2) return;
  UpstreamConnection::close_all_idle(*this);
  speaks_http2 = on;
  if (on && !http2) http2 = std::make_unique<Http2Set>();
}

UpstreamConnection::UpstreamConnection(Worker& worker, UpstreamSet& set) : worker_(worker), set_(set) {
  set_.backend->open_connections.fetch_add(1, std::memory_order_relaxed);
  worker_.cells.upstream_opened.add();
  ++set_.connections;
}

UpstreamConnection::~UpstreamConnection() {
  set_.backend->open_connections.fetch_sub(1, std::memory_order_relaxed);
  --set_.connections;
}

int UpstreamConnection::connect(std::chrono::milliseconds user_timeout) {
  auto socket = net::connect_to(set_.backend->address, user_timeout);
  if (!socket.fd) return socket.error;
  set_.cells->connects.add();
  stream_ = net::Stream(std::move(socket.fd));
  if (!worker_.poller.add(stream_.fd(), *this)) return errno;
  tls_ = set_.tls;
  if (socket.connected && !tls_) {
    if (client_ && !send_header()) return ENOBUFS;
    state_ = State::busy;
  }
  return 0;
}

void UpstreamConnection::attach(UpstreamUser& user) {
  user_ = &user;
  ++requests_;
  if (state_ == State::idle) {
    unlink_idle();
    cancel();
    state_ = State::busy;
  }
  bytes_sent = 0;
  response_started = false;
  interim = 0;
  receive_room = Worker::kReceiveScratch;
}

Sent UpstreamConnection::send(const iovec* parts, int count) {
  if (write_failed) return Sent::failed;
  size_t skip = 0;
  if (out_.empty()) {
    const auto result = stream_.send(parts, count);
    if (result.status == net::IoStatus::error) {
      write_failed = true;
      return Sent::failed;
    }
    skip = result.bytes;
    bytes_sent += skip;
    set_.cells->bytes_sent.add(skip);
  }
  for (int i = 0; i < count; ++i) {
    if (skip >= parts[i].iov_len) {
      skip -= parts[i].iov_len;
      continue;
    }
    out_.append(worker_.buffers, {static_cast<const char*>(parts[i].iov_base) + skip, parts[i].iov_len - skip});
    skip = 0;
  }
  return out_.empty() ? Sent::all : Sent::pending;
}

bool UpstreamConnection::flush() {
  while (!out_.empty()) {
    const auto result = stream_.send(out_.data(), out_.size());
    if (result.status == net::IoStatus::would_block) return false;
    if (result.status == net::IoStatus::error) {
      write_failed = true;
      out_.release(worker_.buffers);
      return true;
    }
    bytes_sent += result.bytes;
    set_.cells->bytes_sent.add(result.bytes);
    out_.consume(worker_.buffers, static_cast<uint32_t>(result.bytes));
  }
  if (shutdown_pending_) stream_.shutdown_send();
  shutdown_pending_ = false;
  return true;
}

void UpstreamConnection::shutdown_send_after_flush() {
  shutdown_pending_ = true;
  if (out_.empty()) flush();
}

void UpstreamConnection::on_events(uint32_t events) {
  if (state_ == State::closed) return;
  if (stream_.tls() && (events & EPOLLOUT) && stream_.tls()->unsent()) [[unlikely]]
    stream_.tls()->flush();
  if (state_ == State::connecting) {
    if (stream_.tls()) {
      if (!shake_hands()) return;
    } else if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
      finish_connecting();
    }
    if (state_ == State::closed || state_ == State::connecting || !user_) return;
  }
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) readable_ = true;
  if (events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP)) peer_fin_ = true;
  if (state_ == State::idle) {
    if (!readable_ || (tls_ && still_idle())) return;
    // Data or an end where nothing may come: never to be used again. How long it was idle tells when to retire the
    // others.
    const Duration age = worker_.now - idle_since_;
    if (age >= kShortestKeepAlive) {
      set_.learnt_keep_alive = std::max<Duration>(kShortestKeepAlive, age - std::chrono::seconds(1));
      set_.learnt_until = worker_.now + kLearntFor;
    }
    close();
    return;
  }
  if ((events & EPOLLOUT) && !out_.empty() && flush() && user_) user_->on_upstream_drained();
  pump();
}

void UpstreamConnection::finish_connecting() {
  const int error = stream_.take_error();
  if (client_ && (error || !send_header())) [[unlikely]] {
    out_.release(worker_.buffers);
    state_ = State::busy;
    if (user_) user_->on_connect_failed(error ? error : ENOBUFS);
    return;
  }
  if (tls_ && !error) return begin_tls();
  state_ = State::busy;
  if (!user_) return;
  if (error)
    user_->on_connect_failed(error);
  else
    user_->on_connected();
}

void UpstreamConnection::pump() {
  for (int turn = 0; readable_ && user_ && state_ == State::busy && user_->wants_response(); ++turn) {
    if (turn == kReadsPerTurn) return worker_.poller.again(*this);
    char* into = worker_.receive_scratch.get();
    const size_t room = receive_room;
    const auto result = stream_.receive(into, room);
    if (result.status == net::IoStatus::would_block) {
      readable_ = false;
    } else if (result.status == net::IoStatus::ok) {
      readable_ = result.more || peer_fin_;
      set_.cells->bytes_received.add(result.bytes);
      response_started = true;
      user_->on_upstream_bytes(into, result.bytes);
    } else {
      readable_ = false;
      user_->on_upstream_end(result.status == net::IoStatus::error);
    }
  }
}

bool Upstream::decode(char* data, size_t size, std::string_view& body, size_t& used, bool& complete) {
  switch (framing) {
    case http1::Framing::none: complete = true; return true;
    case http1::Framing::until_close:
      used = size;
      body = {data, size};
      return true;
    case http1::Framing::length:
      used = std::min<uint64_t>(size, remaining);
      remaining -= used;
      body = {data, used};
      complete = remaining == 0;
      return true;
    case http1::Framing::chunked: break;
  }
  char* begin = nullptr;
  char* end = nullptr;
  for (;;) {
    const auto step = chunks.next({data + used, size - used});
    used += step.consumed;
    if (step.status == http1::ChunkDecoder::Status::error) return false;
    if (step.status == http1::ChunkDecoder::Status::data) {
      char* piece = const_cast<char*>(step.data.data());
      if (!begin) begin = end = piece;
      if (piece != end) std::memmove(end, piece, step.data.size());
      end += step.data.size();
      continue;
    }
    complete = step.status == http1::ChunkDecoder::Status::done;
    break;
  }
  if (begin) body = {begin, static_cast<size_t>(end - begin)};
  return true;
}

void UpstreamConnection::look_for_end() {
  readable_ = true;
  worker_.poller.again(*this);
}

void UpstreamConnection::keep(Duration keep_alive) {
  user_ = nullptr;
  head.release(worker_.buffers);
  if (tls_ != set_.tls || set_.speaks_http2) return close();
  if (client_ || set_.proxy != ProxyVersion::none) [[unlikely]] {
    if (!client_ || set_.proxy == ProxyVersion::none || !client_->keep_upstream(*this)) return close();
  }
  if (readable_ && tls_) still_idle();
  // An end that has already been announced: a stale connection.
  if (readable_ || peer_fin_ || write_failed || !out_.empty() || set_.idle >= UpstreamSet::kMaxIdle || worker_.draining)
    return close();
  if (worker_.now < set_.learnt_until) keep_alive = std::min(keep_alive, set_.learnt_keep_alive);
  if (keep_alive <= Duration::zero()) return close();
  state_ = State::idle;
  idle_since_ = worker_.now;
  older_ = set_.newest;
  newer_ = nullptr;
  if (older_)
    older_->newer_ = this;
  else
    set_.oldest = this;
  set_.newest = this;
  ++set_.idle;
  worker_.wheel.arm(*this, worker_.now + keep_alive);
}

void UpstreamConnection::unlink_idle() {
  if (newer_) newer_->older_ = older_;
  if (older_) older_->newer_ = newer_;
  if (set_.newest == this) set_.newest = older_;
  if (set_.oldest == this) set_.oldest = newer_;
  newer_ = older_ = nullptr;
  --set_.idle;
}

void UpstreamConnection::on_timer(TimePoint) {
  if (state_ == State::idle) close();
}

void UpstreamConnection::close(bool reset) {
  if (state_ == State::closed) return;
  if (state_ == State::idle) unlink_idle();
  state_ = State::closed;
  user_ = nullptr;
  if (client_) [[unlikely]]
    std::exchange(client_, nullptr)->forget_upstream(*this);
  cancel();
  if (reset && stream_.open())
    stream_.close_with_reset();
  else
    stream_.close();
  out_.release(worker_.buffers);
  head.release(worker_.buffers);
  worker_.cells.upstream_closed.add();
  worker_.retire(this);
}

UpstreamConnection* UpstreamConnection::take_idle(UpstreamSet& set, TimePoint now, Duration max_idle) {
  UpstreamConnection* connection = set.newest;
  if (!connection || connection->idle_for(now) > max_idle) return nullptr;
  return connection;
}

void UpstreamConnection::close_all_idle(UpstreamSet& set) {
  while (set.newest) set.newest->close();
  if (set.http2) set.http2->retire_all();
}

}  // namespace weir::proxy
