// The life of a session, and the bytes both ways.
#include "lb/proxy/tcp_session.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "lb/net/tls_session.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/proxy_side.hpp"
#include "lb/proxy/tcp_listener.hpp"
#include "lb/route/retry.hpp"

namespace weir::proxy {

namespace {
constexpr Duration kAfterReset = std::chrono::seconds(5);  // for a side that takes nothing of what came before
constexpr Duration kFirstLook = std::chrono::milliseconds(5), kLongestLook = std::chrono::milliseconds(250);
}  // namespace

TcpSession::TcpSession(Worker& worker, std::shared_ptr<const ListenerInfo> listener, net::Stream client,
                       const Endpoint& peer)
    : worker_(worker), listener_(std::move(listener)), runtime_(worker.runtime), started_(worker.now) {
  const auto& listeners = runtime_->shared->tcp;
  tcp_ = listener_->index < listeners.size() ? listeners[listener_->index].get() : nullptr;
  worker_.pin(*runtime_);
  if (tcp_) state_ = tcp_->state;
  client_.stream = std::move(client);
  set_peer(peer);
}

TcpSession::~TcpSession() = default;

void TcpSession::start() {
  if (!tcp_) return end(Cause::no_route, How::reset);
  if (worker_.shared.memory.load(std::memory_order_relaxed) >= MemoryLevel::refuse_requests)
    return refuse(Cause::overload_memory);
  auto& open = state_->sessions.value;
  counted_ = true;
  if (open.fetch_add(1, std::memory_order_relaxed) >= tcp_->max_sessions && tcp_->max_sessions)
    return refuse(Cause::listener_limit);
  if (!worker_.poller.add(client_.stream.fd(), client_)) return refuse(Cause::overload_connections);
  if (!listener_->proxy_protocol && !listener_->tls && !tcp_->reads_hello) {
    begin();
    return choose_pool();
  }
  worker_.wheel.arm(*this, worker_.now + listener_->header_timeout);
  client_.readable = true;
  phase_ = listener_->proxy_protocol ? Phase::proxy_header : Phase::hello;
  if (phase_ == Phase::proxy_header)
    proxy_ = std::make_unique<ProxySide>();
  else if (listener_->tls && !begin_tls())
    return refuse(Cause::overload_memory);
  go_on();
}

void TcpSession::refuse(Cause cause) {
  begin();
  end(cause, How::reset);
}

/// It counts as a session from now on.
void TcpSession::begin() {
  if (begun_ || !state_) return;
  begun_ = true;
  state_->cells[worker_.index].sessions.add();
}

void TcpSession::cut(Cause cause) { end(cause, How::reset); }

// ---- events ----

void TcpSession::on_events(Side& side, uint32_t events) {
  if (phase_ == Phase::ended) return;
  if (phase_ == Phase::last_words) {
    if (&side != broken_ && (events & EPOLLERR)) return end(last_cause_, How::reset);
    return &side != broken_ || events == 0 ? say_last_words() : void();
  }
  if ((events & EPOLLRDHUP) && !(events & EPOLLERR)) side.has_ended = true;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) side.readable = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) side.peer_fin = true;
  if (side.stream.tls() && (events & EPOLLOUT) && side.stream.tls()->unsent()) [[unlikely]]
    side.stream.tls()->flush();
  if (phase_ == Phase::relay) [[likely]] {
    if (side.readable) move(side);
    Side& other = &side == &client_ ? server_ : client_;
    if ((events & EPOLLOUT) && phase_ == Phase::relay && flow_from(other).holds()) move(other);
    // A side that is not read now, because the other takes nothing, has broken off all the same.
    if ((events & EPOLLERR) && phase_ == Phase::relay)
      if (const int error = side.stream.take_error()) side_failed(side, error);
    return;
  }
  if (&side == &server_) {
    if (phase_ == Phase::connecting) return on_connect_event(events);
    if (phase_ == Phase::upstream_handshake) shake_upstream_hands();
    return;
  }
  if (phase_ < Phase::deciding) {
    if (phase_ == Phase::handshake) side.readable = true;
    return go_on();
  }
  // Whoever sends and goes at once has said something all the same: it is read when there is somebody to read it.
  if ((events & EPOLLERR) && !client_.stream.unread()) end(Cause::client_gone, How::reset);
}

void TcpSession::move(Side& from) {
  Side& to = &from == &client_ ? server_ : client_;
  net::Flow& flow = flow_from(from);
  const uint64_t taken = flow.taken(), given = flow.given();
  const auto outcome = flow.move(from.stream, to.stream, from.readable, from.peer_fin, worker_.tcp.means());
  count(from, flow.taken() - taken, flow.given() - given);
  TimePoint& stalled = stalled_since_[&from == &server_];
  if (outcome != net::Flow::Outcome::blocked) stalled = TimePoint::max();
  switch (outcome) {
    case net::Flow::Outcome::idle: break;
    case net::Flow::Outcome::again: worker_.poller.again(from); break;
    case net::Flow::Outcome::blocked:
      if (stalled == TimePoint::max() || flow.given() != given) stalled = worker_.now;
      break;
    case net::Flow::Outcome::ended:
      if (up_.ended() && down_.ended()) return end(Cause::none, How::orderly);
      break;
    case net::Flow::Outcome::source_failed: return side_failed(from, flow.error());
    case net::Flow::Outcome::sink_failed: return side_failed(to, flow.error());
  }
  arm_relay();
}

void TcpSession::count(Side& from, uint64_t taken, uint64_t given) {
  SessionCells& listener = state_->cells[worker_.index];
  if (&from == &client_) {
    worker_.cells.bytes_received.add(taken);
    listener.received.add(taken);
    set_->cells->bytes_sent.add(given);
  } else {
    set_->cells->bytes_received.add(taken);
    listener.sent.add(given);
    worker_.cells.bytes_sent.add(given);
  }
}

/// The connection has broken off. The other side gets what came before that, and then learns that it is no end in
/// order.
void TcpSession::side_failed(Side& side, int error) {
  const bool slow = &side == &client_ && error == ETIMEDOUT && listener_->send_stall > Duration::zero();
  last_cause_ = slow ? Cause::client_too_slow : &side == &client_ ? Cause::client_gone : Cause::upstream_reset;
  phase_ = Phase::last_words;
  broken_ = &side;
  flow_from(&side == &client_ ? server_ : client_).release(worker_.tcp.means());
  if (!side.has_ended) flow_from(side).source_broke_off();
  side.readable = true;
  left_since_ = worker_.now;
  look_ = kFirstLook;
  say_last_words();
}

/// A reset drops what the kernel has not delivered: so it waits until the other side has all.
void TcpSession::say_last_words() {
  Side& to = broken_ == &client_ ? server_ : client_;
  net::Flow& flow = flow_from(*broken_);
  const uint64_t taken = flow.taken(), given = flow.given();
  const auto outcome = flow.move(broken_->stream, to.stream, broken_->readable, true, worker_.tcp.means());
  count(*broken_, flow.taken() - taken, flow.given() - given);
  if (outcome == net::Flow::Outcome::again) return worker_.poller.again(*broken_);
  const uint64_t left = to.stream.unacknowledged();
  if (outcome == net::Flow::Outcome::sink_failed || (left == 0 && !flow.holds())) return end(last_cause_, How::reset);
  if (left != left_ || flow.given() != given) left_since_ = worker_.now;
  left_ = left;
  const Duration usual = &to == &client_ && listener_->send_stall > Duration::zero() ? listener_->send_stall : idle_;
  // TLS without a close_notify is how many clients end; whoever resets wants no more of it.
  const bool truncated = broken_->stream.tls() && flow.error() == EPROTO;
  const Duration most = truncated ? usual : usual > Duration::zero() ? std::min(usual, kAfterReset) : kAfterReset;
  if (most > Duration::zero() && worker_.now - left_since_ >= most) return end(last_cause_, How::reset);
  worker_.wheel.arm(*this, worker_.now + std::exchange(look_, std::min(look_ * 2, kLongestLook)));
}

// ---- time ----

void TcpSession::arm_relay() {
  const bool bounded = idle_ > Duration::zero();
  TimePoint next = bounded ? worker_.now + idle_ : TimePoint::max();
  if (stalled_since_[0] != TimePoint::max() && bounded) next = std::min(next, stalled_since_[0] + idle_);
  if (stalled_since_[1] != TimePoint::max()) {
    const Duration most = listener_->send_stall > Duration::zero() ? listener_->send_stall : idle_;
    if (most > Duration::zero()) next = std::min(next, stalled_since_[1] + most);
  }
  worker_.wheel.arm(*this, next);
}

void TcpSession::relay_timed_out(TimePoint now) {
  const Duration send_stall = listener_->send_stall;
  if (send_stall > Duration::zero() && stalled_since_[1] != TimePoint::max() && now - stalled_since_[1] >= send_stall)
    return end(Cause::client_too_slow, How::reset);
  // Silence is no fault in what has come so far; bytes that nobody takes are.
  end(Cause::tunnel_timeout, up_.holds() || down_.holds() ? How::reset : How::orderly);
}

void TcpSession::on_timer(TimePoint now) {
  switch (phase_) {
    case Phase::proxy_header:
      tell_proxy_refusal(worker_, *listener_, std::string(peer_text()), ProxyFailure::timeout, "timeout.header");
      return end(Cause::header_timeout, How::orderly);
    case Phase::handshake: return end_handshake(TlsFailure::timeout, "timeout.header");
    case Phase::hello: return end(Cause::header_timeout, begun_ ? How::reset : How::orderly);
    case Phase::queued: return end(Cause::queue_timeout, How::reset);
    case Phase::connecting:
    case Phase::upstream_handshake: return connect_failed(ETIMEDOUT);
    case Phase::relay: return relay_timed_out(now);
    case Phase::last_words: return say_last_words();
    case Phase::deciding:
    case Phase::ended: return;
  }
}

// ---- the end ----

void TcpSession::end(Cause cause, How how) {
  if (phase_ == Phase::ended) return;
  if (phase_ == Phase::queued) leave_queue();
  if (phase_ == Phase::handshake) worker_.tcp.handshakes.erase(handshake_);
  phase_ = Phase::ended;
  cancel();
  if (begun_) record(cause);
  up_.release(worker_.tcp.means());
  down_.release(worker_.tcp.means());
  if (how == How::reset && server_.stream.open()) server_.stream.close_with_reset();
  drop_upstream();
  if (how == How::reset)
    client_.stream.close_with_reset();
  else
    client_.stream.close();
  release_places();
  if (counted_) state_->sessions.value.fetch_sub(1, std::memory_order_relaxed);
  let_go_of_runtime();
  net::Poller::retire(client_);
  net::Poller::retire(server_);
  worker_.tcp.remove(*this);
}

/// The connection to the backend, or the attempt at one.
void TcpSession::drop_upstream() {
  if (!attached_) return;
  attached_ = false;
  worker_.tcp.detach(*this, *set_);
  set_->backend->open_connections.fetch_sub(1, std::memory_order_relaxed);
  worker_.cells.upstream_closed.add();
  // While another process has copies of all descriptors, closing one takes it out of no poller.
  if (server_.stream.open()) {
    if (phase_ != Phase::ended) worker_.poller.remove(server_.stream.fd());
    server_.stream.close();
  }
}

bool TcpSession::drop_backend() {
  if (!backend_held_) return false;
  backend_held_ = false;
  set_->backend->inflight.value.fetch_sub(1);
  return true;
}

void TcpSession::release_places() {
  const bool dropped = drop_backend();
  if (!admitted_) return;
  admitted_ = false;
  admission_->release(limits_, dropped && limits_.per_backend);
}

void TcpSession::let_go_of_runtime() {
  pool_ = nullptr;
  tcp_ = nullptr;
  if (runtime_) worker_.unpin(*std::exchange(runtime_, nullptr));
}

}  // namespace weir::proxy
