// A session until both of its connections stand: what the client says before a backend is chosen, the choice, the
// connection to it.
#include <sys/epoll.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "lb/balance/latency.hpp"
#include "lb/base/hash.hpp"
#include "lb/base/log.hpp"
#include "lb/net/client_hello.hpp"
#include "lb/net/socket.hpp"
#include "lb/net/tls_session.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/proxy_side.hpp"
#include "lb/proxy/tcp_listener.hpp"
#include "lb/proxy/tcp_session.hpp"
#include "lb/route/retry.hpp"

namespace weir::proxy {

/// Step by step, as far as what has come allows.
void TcpSession::go_on() {
  for (;;) {
    if (phase_ < Phase::deciding && !client_.readable) return;
    switch (phase_) {
      case Phase::proxy_header:
        if (!receive_proxy_header()) return;
        break;
      case Phase::handshake:
        if (!shake_hands()) return;
        break;
      case Phase::hello:
        if (!read_hello()) return;
        break;
      case Phase::deciding: return choose_pool();
      default: return;
    }
  }
}

// ---- what comes first ----

/// True: go on. What stands behind the header stays in the socket.
bool TcpSession::receive_proxy_header() {
  char* const into = worker_.receive_scratch.get();
  const auto refused = [&](ProxyFailure failure, const char* detail) {
    if (proxy_->heard)
      tell_proxy_refusal(worker_, *listener_, std::string(peer_text()), failure, detail);
    else  // a probe of who sits in front
      worker_.cells.proxy_failures[static_cast<size_t>(failure)].add();
    end(Cause::bad_request, How::orderly);
    return false;
  };
  const auto peeked = client_.stream.peek(into, net::kMaxProxyHeader);
  client_.readable = false;
  if (peeked.status == net::IoStatus::would_block) return false;
  if (peeked.status != net::IoStatus::ok) return refused(ProxyFailure::closed, "the peer has gone");
  proxy_->heard = true;
  net::ProxyHeader header;
  const auto result = net::parse_proxy_header({into, peeked.bytes}, header);
  if (result.status == net::ProxyParse::Status::need_more) {
    if (client_.peer_fin) return refused(ProxyFailure::closed, "the peer has ended within the header");
    return false;
  }
  if (result.status == net::ProxyParse::Status::error)
    return refused(result.failure,
                   result.failure == ProxyFailure::missing ? what_came_instead({into, peeked.bytes}) : result.detail);
  worker_.cells.proxy_headers[header.local ? 2 : header.version == ProxyVersion::v2].add();
  worker_.cells.bytes_received.add(header.size);
  if (!header.local) {
    proxy_->source = header.source;
    proxy_->destination = header.destination;
    proxy_->authority = header.authority;
    proxy_->alpn = header.alpn;
    set_peer(header.source);
  }
  client_.stream.receive(into, header.size);
  client_.readable = true;
  phase_ = Phase::hello;
  worker_.wheel.arm(*this, worker_.now + listener_->header_timeout);
  if (!listener_->tls || begin_tls()) return true;
  refuse(Cause::overload_memory);
  return false;
}

/// False: out of memory.
bool TcpSession::begin_tls() {
  auto session = listener_->tls->accept(worker_.tls.scratch, client_.stream.fd());
  if (!session) return false;
  client_.stream.start_tls(std::move(session));
  phase_ = Phase::handshake;
  auto& under_way = worker_.tcp.handshakes;
  handshake_ = under_way.insert(under_way.end(), this);
  if (under_way.size() + worker_.tls.handshakes.size() > runtime_->config().limits.handshakes && under_way.size() > 1)
    under_way.front()->end_handshake(TlsFailure::overload, "limits.handshakes");
  return true;
}

/// One step. True: go on.
bool TcpSession::shake_hands() {
  net::TlsSession& tls = *client_.stream.tls();
  const auto result = tls.handshake();
  if (result.status == net::IoStatus::would_block) {
    client_.readable = false;
    return false;
  }
  if (result.status != net::IoStatus::ok) {
    end_handshake(tls.failure(), tls.failure_detail());
    return false;
  }
  tls.let_tickets_wait();
  worker_.tcp.handshakes.erase(handshake_);
  worker_.cells.tls_handshakes[tls.tls13()][tls.resumed()].add();
  server_name_ = tls.server_name();
  for (char& c : server_name_)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  phase_ = Phase::hello;  // which is read already
  return true;
}

/// It came to nothing: counted, told, and the connection ends.
void TcpSession::end_handshake(TlsFailure failure, const char* detail) {
  net::TlsSession& tls = *client_.stream.tls();
  worker_.cells.tls_failures[static_cast<size_t>(failure)].add();
  if (tls.heard()) tell_handshake_failure(worker_, *listener_, peer_text(), tls, failure, detail);
  if (failure != TlsFailure::closed) {
    // What the client has sent meanwhile must not turn the alert into a reset.
    client_.stream.drop_tls();
    client_.stream.shutdown_send();
    client_.stream.receive(worker_.receive_scratch.get(), Worker::kReceiveScratch);
  }
  end(Cause::bad_client_hello, How::orderly);
}

/// True: a pool can be chosen. The bytes stay in the socket: they are the backend's.
bool TcpSession::read_hello() {
  net::ClientHello hello;
  if (tcp_->reads_hello) {
    char* const into = worker_.receive_scratch.get();
    const auto peeked = client_.stream.peek(into, net::kMaxClientHello);
    client_.readable = false;
    if (peeked.status == net::IoStatus::would_block) return false;
    if (peeked.status != net::IoStatus::ok) {
      end(Cause::client_gone, How::orderly);
      return false;
    }
    begin();
    const auto result =
        net::parse_client_hello({into, peeked.bytes}, {worker_.send_scratch.get(), net::kMaxClientHello}, hello);
    if (result.status == net::HelloParse::Status::need_more && !client_.peer_fin) return false;
    if (result.status != net::HelloParse::Status::ok) {
      const char* const detail = result.status == net::HelloParse::Status::error
                                     ? result.detail
                                     : "the client has ended within its ClientHello";
      uint64_t left_out = 0;
      if (worker_.tls.failures.take(worker_.now, left_out))
        log::info("client_hello_refused", {{"listener", listener_->name},
                                           {"client", std::string(peer_text())},
                                           {"detail", detail},
                                           {"not_told", std::to_string(left_out)}});
      end(Cause::bad_client_hello, How::reset);
      return false;
    }
    server_name_ = hello.server_name;
  }
  begin();
  client_.readable = true;
  phase_ = Phase::deciding;
  return true;
}

// ---- the choice ----

void TcpSession::choose_pool() {
  cancel();
  const uint32_t index = tcp_->pool_for(server_name_);
  if (index == TcpListener::kNoPool) return end(Cause::no_route, How::reset);
  pool_ = &runtime_->pools[index];
  pool_->cells->requests.add();
  pool_state_ = pool_->pool->state;
  admission_ = pool_->pool->admission;
  limits_ = pool_->pool->config->limits;
  idle_ = pool_->pool->config->timeout.tunnel;
  if (!admission_->try_admit(limits_)) {
    if (!wait_in_queue(false)) return;
  } else {
    admitted_ = true;
  }
  if (choose_backend()) connect();
}

uint64_t TcpSession::key_hash() const {
  const auto& key = pool_->pool->config->balance.key;
  if (!key) return 0;
  const std::string_view value = session_key(*key, server_name_, peer_text());
  return value.empty() ? worker_.rng() : stable_hash(value);
}

/// Waits for a place in the pool or, holding one, for a backend below its limit. True: a place came free meanwhile.
bool TcpSession::wait_in_queue(bool holds_place) {
  if (limits_.queue == 0) {
    end(Cause::pool_limit, How::reset);
    return false;
  }
  phase_ = Phase::queued;
  const bool again = turn_.order != 0;
  turn_.holds_place = holds_place;
  turn_.retrying = tried_.count > 0;
  ticket_ = worker_.tcp.queue(*this);
  const auto outcome = admission_->wait(ticket_, limits_, turn_);
  if (outcome != Admission::Wait::queued) {
    worker_.tcp.leave_queue(ticket_);
    phase_ = Phase::deciding;
    if (outcome == Admission::Wait::full) {
      end(Cause::queue_full, How::reset);
      return false;
    }
    admitted_ = true;
    return true;
  }
  if (!again) {
    pool_->cells->queued.add();
    queue_deadline_ = worker_.now + limits_.queue_timeout;
  }
  worker_.wheel.arm(*this, queue_deadline_);
  return false;
}

void TcpSession::leave_queue() {
  worker_.tcp.leave_queue(ticket_);
  if (admission_->forget(ticket_) == Admission::Left::with_place) admitted_ = true;
}

bool TcpSession::on_granted() {
  leave_queue();
  admitted_ = true;
  phase_ = Phase::deciding;
  cancel();
  if (!choose_backend()) return false;
  connect();
  return true;
}

/// Picks and takes a backend. False: the session waits in the queue, or has ended.
bool TcpSession::choose_backend() {
  worker_.refresh(*pool_);
  if (pool_->panic) pool_->cells->panics.add();
  const auto take = [this] {
    if (!take_backend(worker_, *pool_, key_hash(), tried_, backend_index_)) return false;
    backend_held_ = true;
    set_ = pool_->upstreams[backend_index_];
    return true;
  };
  if (take()) return true;
  if (!others_full(*pool_, tried_)) {
    const Cause none = pool_->upstreams.empty() ? Cause::name_unresolved : Cause::no_backend;
    end(last_cause_ == Cause::none ? none : last_cause_, How::reset);
    return false;
  }
  if (wait_in_queue(true) || phase_ != Phase::queued) return false;
  // One that came free before the queue knew of us has told nobody.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!take()) return false;
  leave_queue();
  phase_ = Phase::deciding;
  return true;
}

// ---- the connection to the backend ----

void TcpSession::connect() {
  ++attempts_;
  attempt_began_ = worker_.now;
  set_->cells->requests.add();
  const BackendState& backend = *set_->backend;
  auto socket = net::connect_to(backend.address, pool_->pool->user_timeout);
  if (local_shortage(socket.error) && worker_.shed_idle_upstream())
    socket = net::connect_to(backend.address, pool_->pool->user_timeout);
  if (socket.error) return connect_failed(socket.error);
  server_.stream = net::Stream(std::move(socket.fd));
  server_.readable = server_.peer_fin = false;
  set_->cells->connects.add();
  set_->backend->open_connections.fetch_add(1, std::memory_order_relaxed);
  worker_.cells.upstream_opened.add();
  worker_.tcp.attach(*this, *set_);
  attached_ = true;
  if (!worker_.poller.add(server_.stream.fd(), server_)) return end(Cause::overload_connections, How::reset);
  if (socket.connected) return on_connected();
  phase_ = Phase::connecting;
  worker_.wheel.arm(*this, worker_.now + pool_->pool->config->timeout.connect);
}

void TcpSession::on_connect_event(uint32_t events) {
  if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
  const int error = events & (EPOLLERR | EPOLLHUP) ? server_.stream.take_error() : 0;
  if (error) return connect_failed(error);
  on_connected();
}

void TcpSession::on_connected() {
  if (set_->proxy != ProxyVersion::none && !send_proxy_header()) return connect_failed(ENOBUFS);
  if (!set_->tls) return begin_relay();
  if (!begin_upstream_tls()) return end(Cause::overload_memory, How::reset);
  phase_ = Phase::upstream_handshake;
  worker_.wheel.arm(*this, attempt_began_ + pool_->pool->config->timeout.connect);
  shake_upstream_hands();
}

/// The socket is fresh: it has room for the header. False: it has not.
bool TcpSession::send_proxy_header() {
  net::ProxyBytes room;
  const std::string_view header = proxy_header(set_->proxy, room);
  return server_.stream.send(header.data(), header.size()).bytes == header.size();
}

bool TcpSession::begin_upstream_tls() {
  auto session = set_->tls->connect(worker_.tls.scratch, server_.stream.fd(), set_->tls_name, &set_->tls_memory);
  if (!session) return false;
  server_.stream.start_tls(std::move(session));
  return true;
}

void TcpSession::shake_upstream_hands() {
  net::TlsSession& tls = *server_.stream.tls();
  const auto result = tls.handshake();
  if (result.status == net::IoStatus::would_block) return;
  if (result.status == net::IoStatus::ok) {
    server_.readable = true;
    return begin_relay();
  }
  tell_backend_tls_failure(worker_, *set_, tls);
  connect_failed(-static_cast<int>(tls.failure()));
}

/// No byte of the client has gone anywhere: another backend may be tried.
void TcpSession::connect_failed(int error) {
  if (local_shortage(error)) return end(Cause::overload_connections, How::reset);
  const Cause cause = cause_of_connect(error);
  set_->cells->connect_failures.add();
  pool_->cells->connect_failures[static_cast<size_t>(cause) - static_cast<size_t>(kFirstConnectCause)].add();
  report_failure(worker_, *pool_, *set_);
  try_another(cause);
}

/// By an order, or by the checks. Who only connects to it needs no reset: another one may do.
void TcpSession::backend_taken_out() {
  const bool relays = phase_ != Phase::connecting && phase_ != Phase::upstream_handshake;
  relays ? end(Cause::backend_out, How::reset) : try_another(Cause::backend_out);
}

void TcpSession::try_another(Cause cause) {
  last_cause_ = cause;
  failed_.push_back({set_->backend, microseconds_of(attempt_began_ - started_),
                     microseconds_of(worker_.refresh_clock() - attempt_began_), cause});
  drop_upstream();
  phase_ = Phase::deciding;
  cancel();
  route::Attempt attempt;
  attempt.kind = route::FailureKind::connect;
  attempt.others_tried = tried_.count - 1u;
  if (route::decide(attempt, pool_->pool->config->retry) == route::Verdict::give_up)
    return end(last_cause_, How::reset);
  pool_->cells->retries.add();
  if (drop_backend() && limits_.per_backend) admission_->backend_freed(limits_);
  if (choose_backend()) connect();
}

void TcpSession::begin_relay() {
  connect_us_ = static_cast<uint64_t>(std::max<int64_t>(1, (worker_.refresh_clock() - attempt_began_).count() / 1000));
  set_->cells->latency.observe(connect_us_);
  pool_->cells->latency.observe(connect_us_);
  pool_->note_latency(connect_us_);
  if (pool_->pool->observes_latency) balance::observe(set_->backend->latency, worker_.now, connect_us_);
  report_success(*set_);
  phase_ = Phase::relay;
  let_go_of_runtime();
  arm_relay();
  if (client_.readable) move(client_);
  if (phase_ == Phase::relay && server_.readable) move(server_);
}

}  // namespace weir::proxy
