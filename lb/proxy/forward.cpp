// Bytes in both directions, framed anew. A short write stops the reading on the other side: what waits is bounded by
// one receive.
#include <algorithm>
#include <cstring>

#include "lb/balance/latency.hpp"
#include "lb/proxy/compressor.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/parts.hpp"
#include "lb/proxy/request_facts.hpp"
#include "lb/proxy/upstream.hpp"

namespace weir::proxy {

using http1::Framing;

namespace {

constexpr uint32_t kMaxInterim = 8;  // 1xx responses to one request (security-rules A13)

}  // namespace

// ---- request ----

/// Sends the head, with as much of the body as is here.
void Exchange::forward_request_start(std::string_view request_head) {
  std::string_view data = first_body_;
  if (data.empty() && !body_.empty()) data = body_.view();
  Parts parts;
  parts.add(request_head);
  if (upstream_->framed) [[unlikely]]
    announce_body(data);
  parts.add_body(data, body_complete_ && head.framing != Framing::none, chunks_request());
  parts.join(worker_.send_scratch.get(), request_head);
  const auto sent = upstream_->send(parts.data(), parts.count());
  if (upstream_->framed && sent != Sent::failed) [[unlikely]]
    end_request_body();
  if (sent == Sent::failed && upstream_->bytes_sent == 0)
    return attempt_failed(Cause::upstream_reset, route::FailureKind::reset);
  if (!data.empty()) {
    if (!first_body_.empty() && body_kept_) keep_body(first_body_);
    if (!body_kept_) {
      body_lost_ = true;
      body_.release(worker_.buffers);
    }
  }
  first_body_ = {};
  if (sent == Sent::failed) return upstream_->look_for_end();
  expecting_ = head.expect_continue && head.minor != 0 && !body_complete_ && data.empty();
  arm_phase(expecting_ ? route_->timeout.expect : body_complete_ ? route_->timeout.response : route_->timeout.idle);
  if (!body_complete_) downstream_->resume();
}

/// For another try: up to kReplayBytes; beyond them there will be none once something was sent.
void Exchange::keep_body(std::string_view data) {
  if (body_lost_) return;
  if (!body_kept_ || body_.size() + data.size() > kReplayBytes) {
    body_kept_ = false;
    body_lost_ = true;
    body_.release(worker_.buffers);
    return;
  }
  body_.append(worker_.buffers, data);
}

/// It was too long to be kept, but the stream has not begun to send it.
void Exchange::take_body_back() {
  body_ = upstream_->take_body();
  body_lost_ = false;
}

void Exchange::on_request_body(std::string_view data, bool complete) {
  body_received_ += data.size();
  body_complete_ = complete;
  if (body_too_large(runtime_->config().limits, body_received_))
    return on_downstream_failed(Cause::body_too_large, "the body is above limits.body_bytes");
  if (!upstream_ || (phase_ != Phase::requesting && phase_ != Phase::responding)) return;
  keep_body(data);
  Parts parts;
  parts.add_body(data, complete, chunks_request());
  if (parts.count() && upstream_->send(parts.data(), parts.count()) == Sent::failed)
    return upstream_->look_for_end();  // wants_body() is false now
  if (upstream_->framed) [[unlikely]]
    end_request_body();
  arm_phase(complete && phase_ == Phase::requesting ? route_->timeout.response : route_->timeout.idle);
}

bool Exchange::wants_body() const {
  if (!upstream_ || upstream_->blocked() || upstream_->write_failed || expecting_) return false;
  return phase_ == Phase::requesting || phase_ == Phase::responding || phase_ == Phase::tunnel;
}

void Exchange::on_upstream_drained() {
  if (phase_ == Phase::tunnel || !body_complete_) {
    arm_phase(phase_ == Phase::tunnel ? route_->timeout.tunnel : route_->timeout.idle);
    downstream_->resume();
  } else if (phase_ == Phase::requesting) {
    arm_phase(route_->timeout.response);
  }
}

// ---- response ----

bool Exchange::wants_response() const {
  return (phase_ == Phase::requesting || phase_ == Phase::responding || phase_ == Phase::tunnel) &&
         !downstream_->blocked() && !(encoder_ && encoder_->paused);
}

void Exchange::on_upstream_bytes(char* data, size_t size) {
  if (phase_ == Phase::tunnel) return on_upstream_tunnel_data({data, size});
  if (phase_ == Phase::responding) return forward_body(data, size, {});
  // A head that came in parts is put together in memory of the connection's own.
  const bool partial = !upstream_->head.empty();
  if (partial) {
    upstream_->head.append(worker_.buffers, {data, size});
    data = upstream_->head.data();
    size = upstream_->head.size();
  }
  http1::ResponseHead& response = worker_.response_head;
  for (;;) {
    const auto result = http1::parse_response({data, size}, head.method, {}, response);
    if (result.status == http1::Parse::error) return bad_response(result.cause);
    if (result.status == http1::Parse::need_more) {
      if (partial)
        upstream_->head.consume(worker_.buffers, upstream_->head.size() - static_cast<uint32_t>(size));
      else
        upstream_->head.append(worker_.buffers, {data, size});
      return;
    }
    response.base = data;
    data += response.size;
    size -= response.size;
    if (response.status >= 200 || response.status == 101) break;
    if (!forward_interim()) return;
    if (size == 0) return upstream_->head.release(worker_.buffers);
  }
  if (response.status == 101) return enter_tunnel(response, {data, size});
  // By HTTP/2 a WebSocket is open with any 2xx (RFC 8441 §5), and this backend has opened none.
  if (upgrade_ && head.minor == 2 && response.status / 100 == 2) return bad_response(Cause::upstream_bad_response);
  if (retry_status(response.status)) return;
  forward_head(response, data, size);
}

/// False: the exchange has ended.
bool Exchange::forward_interim() {
  if (++upstream_->interim > kMaxInterim) {
    bad_response(Cause::upstream_bad_response);
    return false;
  }
  if (head.minor != 0) {
    HeadWriter writer(worker_.send_scratch.get(), Worker::kSendScratch);
    write_interim_head(writer, worker_.response_head);
    const iovec bytes = part(writer.view());
    if (downstream_->send(&bytes, 1) == Sent::failed) {
      on_downstream_failed(Cause::client_gone);
      return false;
    }
    bytes_sent_ += bytes.iov_len;
  }
  if (expecting_ && worker_.response_head.status == 100) {
    arm_phase(route_->timeout.idle);
    expect_no_longer();
  }
  return true;
}

/// A status that the configuration lists for retries.
bool Exchange::retry_status(uint16_t status) {
  const auto& statuses = pool_->pool->config->retry.statuses;
  if (statuses.empty() || std::find(statuses.begin(), statuses.end(), status) == statuses.end()) return false;
  if (!another_is_free(*pool_, tried_)) return false;  // nobody else to ask: the client gets this answer
  route::Attempt attempt = describe_attempt(route::FailureKind::status);
  attempt.status = status;
  const auto verdict = route::decide(attempt, pool_->pool->config->retry);
  if (!may_retry(verdict)) return false;
  note_attempt(Cause::none, status);
  release_upstream(false);
  set_->cells->responses[status / 100].add();
  if (status >= 500) set_->cells->failed_5xx.add();
  report_failure();
  last_cause_ = Cause::none;
  next_attempt(verdict);
  return true;
}

void Exchange::note_response(uint16_t status) {
  const auto us = static_cast<uint64_t>((worker_.refresh_clock() - attempt_started_).count() / 1000);
  upstream_us_ = us;
  upstream_status_ = status;
  set_->cells->responses[status / 100].add();
  set_->cells->latency.observe(us);
  pool_->cells->latency.observe(us);
  pool_->note_latency(us);
  if (pool_->pool->observes_latency) balance::observe(set_->backend->latency, worker_.now, us);
  const bool unavailable = grpc_status_ == static_cast<uint8_t>(grpc::Status::unavailable);
  if ((status >= 502 && status <= 504) || unavailable) {
    set_->cells->failed_5xx.add();
    report_failure();
  } else {
    report_success(*set_);
  }
  const auto& retry = pool_->pool->config->retry;
  if (std::find(retry.statuses.begin(), retry.statuses.end(), status) == retry.statuses.end())
    route::repay_retries(*pool_->pool->state, retry);
  if (AccessLog* log = worker_.shared.access_log.load(std::memory_order_acquire);
      log && log->wants_response_headers()) {
    if (!logged_) logged_ = std::make_unique<LoggedFields>();
    logged_->take(*log, worker_.response_head);
  }
}

/// What an answer to a client that came by TLS has beyond.
void Exchange::note_tls(http1::ResponseHead& response, ResponseContext& context) const {
  context.tls = true;
  context.hsts = connection_->listener().hsts;
  if (!context.hsts.empty()) http1::drop_fields_named(response, "strict-transport-security");
}

void Exchange::forward_head(http1::ResponseHead& response, char* data, size_t size) {
  if (grpc_) [[unlikely]]
    note_grpc_head(response);
  note_response(response.status);
  status_ = response.status;
  // A stream says itself when it ends; trailers may stand behind a body of known length.
  upstream_->framing =
      upstream_->framed && response.framing == Framing::length ? Framing::until_close : response.framing;
  upstream_->remaining = response.content_length;
  upstream_->chunks = http1::ChunkDecoder();
  upstream_reusable_ = response.keep_alive;
  upstream_keep_alive_ = response.keep_alive_timeout;
  ResponseContext context;
  if (route_->config->compress.on) consider_compression(response, context);
  const bool unknown_length =
      response.framing == Framing::chunked || response.framing == Framing::until_close || encoder_;
  chunk_response_ = unknown_length && head.minor == 1;
  // A body that is still on its way when the answer comes is not waited for: the connection ends with the answer (RFC
  // 9112 §9.6).
  keep_alive_ = head.keep_alive && body_complete_ && !(unknown_length && head.minor == 0) && !worker_.draining &&
                worker_.shared.memory.load(std::memory_order_relaxed) < MemoryLevel::shed_keep_alive;
  HeadWriter writer(worker_.send_scratch.get(), Worker::kSendScratch);
  context.route = route_->config;
  context.date = worker_.http_date();
  context.keep_alive = keep_alive_;
  context.downstream_minor = head.minor;
  context.chunked = chunk_response_;
  std::array<char, route::Affinity::kMostBytes> cookie;
  if (pool_->pool->affinity) give_affinity(context, cookie.data());
  if (client_tls_) note_tls(response, context);
  write_response_head(writer, response, context);
  if (writer.overflow()) return fail(Cause::upstream_header_too_large);
  phase_ = Phase::responding;
  head_sent_ = true;
  try_deadline_ = TimePoint::max();
  if (expecting_) expect_no_longer();  // it may want the body all the same
  forward_body(data, size, writer.view());
}

/// Sends `response_head` (empty once it was sent) and what `data` has of the body.
void Exchange::forward_body(char* data, size_t size, std::string_view response_head) {
  std::string_view body;
  bool complete = false;
  size_t used = 0;
  if (!upstream_->decode(data, size, body, used, complete))
    return response_broken(Cause::upstream_bad_response, response_head);
  if (used < size) upstream_reusable_ = false;  // bytes that nobody asked for
  if (encoder_) return forward_encoded(body, complete, response_head);
  Parts parts;
  parts.add(response_head);
  parts.add_body(body, complete, chunk_response_ && upstream_->framing != Framing::none);
  if (!response_head.empty()) parts.join(worker_.send_scratch.get(), response_head);
  auto sent = Sent::all;
  if (parts.count()) {
    bytes_sent_ += parts.bytes();
    sent = downstream_->send(parts.data(), parts.count());
  }
  if (sent == Sent::failed) return on_downstream_failed(Cause::client_gone);
  if (complete) return response_complete();
  arm_phase(route_->timeout.idle);
}

void Exchange::response_complete() {
  const bool reusable = upstream_reusable_ && body_complete_ && !upstream_->blocked();
  release_upstream(reusable);
  release_places();
  phase_ = Phase::finishing;
  cancel();
  if (!downstream_->blocked()) finish();
}

/// The response ends before its end: what the client has must not look complete (RFC 9112 §8).
void Exchange::response_broken(Cause why, std::string_view unsent_head) {
  cause_ = why;
  if (!unsent_head.empty()) {
    head_sent_ = false;
    return fail(why);
  }
  downstream_->reset();
  finish();
}

void Exchange::on_upstream_end(bool reset) {
  if (phase_ == Phase::tunnel) return on_upstream_tunnel_end(reset);
  if (reset && upstream_->failure != Cause::none) [[unlikely]]
    return upstream_broken(upstream_->failure);
  if (phase_ == Phase::requesting) {
    if (upstream_->write_failed && !reset) reset = true;
    return attempt_failed(reset ? Cause::upstream_reset : Cause::upstream_closed, route::FailureKind::reset);
  }
  if (phase_ != Phase::responding) return;
  if (reset || upstream_->framing != Framing::until_close) {
    report_failure();
    return response_broken(Cause::upstream_truncated);
  }
  upstream_reusable_ = false;
  if (encoder_) return forward_encoded({}, true, {});
  if (send_response_end() == Sent::failed) return on_downstream_failed(Cause::client_gone);
  response_complete();
}

/// The body is taken, but after the current event: the receive scratch is in use.
void Exchange::expect_no_longer() {
  expecting_ = false;
  resume_downstream_later();
}

void Exchange::resume_downstream_later() {
  downstream_->restart_body_clock();
  worker_.poller.again(*downstream_);
}

void Exchange::on_downstream_drained() {
  if (phase_ == Phase::finishing) return finish();
  if (phase_ == Phase::tunnel || phase_ == Phase::responding || phase_ == Phase::requesting) {
    if (phase_ != Phase::requesting) arm_phase(phase_ == Phase::tunnel ? route_->timeout.tunnel : route_->timeout.idle);
    if (upstream_) upstream_->pump();
  }
}

}  // namespace weir::proxy
