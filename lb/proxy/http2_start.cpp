// How a client's connection comes to speak HTTP/2 (RFC 9113 §3).
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/http2_session.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

/// Is what is no request of HTTP/1 the preface of a client that knows that we speak HTTP/2? "PRI * HTTP/2.0".
bool DownstreamConnection::begins_http2(const http1::ParseResult& result, const Exchange& exchange) const {
  return result.cause == Cause::version_not_supported && listener_->http2 && requests_ == 0 && !stream_.tls() &&
         exchange.head.method_view() == "PRI";
}

/// `bytes`: what has come of it already, preface and all.
void DownstreamConnection::begin_http2(std::string_view bytes) {
  state_ = State::http2;
  http2_ = std::make_unique<Http2Session>(*this);
  if (!bytes.empty()) http2_->receive_first(bytes);
}

void DownstreamConnection::begin_drain() {
  if (state_ == State::http2) http2_->begin_drain();
}

}  // namespace weir::proxy
