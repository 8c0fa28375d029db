// TLS of a client's connection: from its first byte to the first request.
#include <sys/epoll.h>

#include "lb/base/log.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

void tell_handshake_failure(Worker& worker, const ListenerInfo& listener, std::string_view client,
                            const net::TlsSession& session, TlsFailure failure, const char* detail) {
  uint64_t left_out = 0;
  if (worker.tls.failures.take(worker.now, left_out))
    log::info("tls_handshake_failed", {{"listener", listener.name},
                                       {"client", std::string(client)},
                                       {"reason", std::string(to_string(failure))},
                                       {"detail", detail},
                                       {"server_name", std::string(session.server_name())},
                                       {"not_told", std::to_string(left_out)}});
}

/// Before start(). False: out of memory.
bool DownstreamConnection::begin_tls() {
  auto session = listener_->tls->accept(worker_.tls.scratch, stream_.fd());
  if (!session) return false;
  stream_.start_tls(std::move(session));
  state_ = State::handshake;
  auto& under_way = worker_.tls.handshakes;
  handshake_ = under_way.insert(under_way.end(), this);
  if (under_way.size() > worker_.runtime->config().limits.handshakes)
    under_way.front()->end_handshake(TlsFailure::overload, "limits.handshakes");
  return true;
}

/// What TLS has to do beside what a plain connection does.
void DownstreamConnection::on_tls_events(uint32_t events) {
  if ((events & EPOLLOUT) && stream_.tls()->unsent()) {
    stream_.tls()->flush();
    readable_ = readable_ || state_ == State::handshake;
  }
  // A client that refuses our certificate says so and resets: the reset is not to hide the reason.
  if (state_ == State::handshake && (events & (EPOLLERR | EPOLLHUP))) pump();
}

/// One step. True: go on.
bool DownstreamConnection::shake_hands() {
  net::TlsSession& tls = *stream_.tls();
  const auto result = tls.handshake();
  if (result.status == net::IoStatus::would_block) {
    readable_ = false;
    return false;
  }
  if (result.status != net::IoStatus::ok) {
    end_handshake(tls.failure(), tls.failure_detail());
    return true;
  }
  worker_.tls.handshakes.erase(handshake_);
  worker_.cells.tls_handshakes[tls.tls13()][tls.resumed()].add();
  state_ = State::head;
  if (tls.alpn() == "h2")
    begin_http2({});
  else
    arm_for_head();
  return true;
}

/// It came to nothing: counted, told, and the connection ends.
void DownstreamConnection::end_handshake(TlsFailure failure, const char* detail) {
  const bool silent = !stream_.tls()->heard();  // a probe, or a browser that connects in advance
  worker_.tls.handshakes.erase(handshake_);
  worker_.cells.tls_failures[static_cast<size_t>(failure)].add();
  if (!silent) tell_handshake_failure(worker_, *listener_, peer_text(), *stream_.tls(), failure, detail);
  state_ = State::waiting;
  if (failure == TlsFailure::closed || failure == TlsFailure::overload || failure == TlsFailure::timeout)
    return close();
  stream_.drop_tls();
  if (failure == TlsFailure::plain_http) return refuse_plain_http();
  begin_linger();  // the alert is not to be lost in a reset
}

/// What the client has sent is no longer there, but that it was HTTP is known.
void DownstreamConnection::refuse_plain_http() {
  Exchange* exchange = worker_.take_exchange();
  exchange_ = exchange;
  body_ = Body::none;
  exchange->head.field_count = 0;
  exchange->head.size = 0;
  exchange->begin(*this, *this, worker_.now);
  exchange->refuse(Cause::plain_http_on_tls, "");
}

}  // namespace weir::proxy
