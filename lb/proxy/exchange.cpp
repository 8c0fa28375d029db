// The beginning and the end of a request.
#include "lb/proxy/exchange.hpp"

#include <algorithm>
#include <cstring>

#include "lb/proxy/downstream.hpp"
#include "lb/proxy/upstream.hpp"

namespace weir::proxy {

using http1::FieldId;

namespace {

/// Not what the configuration or the protocol asks for.
bool worth_remembering(Cause cause) {
  return cause != Cause::none && cause != Cause::redirect && cause != Cause::fixed_response &&
         cause != Cause::max_forwards;
}

}  // namespace

/// The head moves out of the receive scratch: a retry and the log read it again.
void Exchange::begin(Downstream& downstream, DownstreamConnection& connection, TimePoint first_byte) {
  downstream_ = &downstream;
  connection_ = &connection;
  runtime_ = worker_.runtime;
  worker_.pin(*runtime_);
  if (head.size > inline_head_.size()) {
    long_head_.append(worker_.buffers, head.view(0, head.size));
    head.base = long_head_.data();
  } else if (head.size) {
    std::memcpy(inline_head_.data(), head.base, head.size);
    head.base = inline_head_.data();
  }
  if (head.size == 0) reset_head();
  started_ = first_byte;
  ++serial_;
  route_ = nullptr;
  pool_ = nullptr;
  set_ = nullptr;
  response_trailers_ = {};
  first_body_ = client_ = user_ = claimed_user_ = granted_ = request_id_ = {};
  bytes_received = head.size;
  bytes_sent_ = body_received_ = upstream_us_ = 0;
  total_deadline_ = try_deadline_ = TimePoint::max();
  queue_deadline_ = TimePoint::max();
  turn_ = {};
  tried_.count = attempts_ = failed_count_ = 0;
  status_ = upstream_status_ = 0;
  cause_ = last_cause_ = Cause::none;
  detail_ = {};
  max_forwards_ = kNoMaxForwards;
  home_ = route::Affinity::kNobody;
  hide_cookie_ = home_full_ = false;
  upstream_keep_alive_ = 0;
  grpc_status_ = AccessRecord::kNoGrpc;
  phase_ = Phase::deciding;
  keep_alive_ = true;
  trusted_peer_ = admitted_ = backend_held_ = retrying_ = idempotent_ = body_complete_ = body_kept_ = body_lost_ =
      head_sent_ = chunk_response_ = expecting_ = upgrade_ = raced_ = upstream_end_ = downstream_end_ =
          upstream_reusable_ = grpc_ = clients_deadline_ = trace_.on = false;
  if (logged_) logged_->log = 0;
  worker_.cells.headers_dropped_underscore.add(head.underscores_dropped);
}

/// For a request that could not be parsed: an empty head, so that nothing of it is read.
void Exchange::reset_head() {
  head.base = "";
  head.field_count = 0;
  head.seen = 0;
  head.minor = 1;
  head.method = http1::Method::other;
  head.method_offset = head.method_length = head.target = head.target_length = head.host_offset = head.host_length = 0;
  head.path = head.path_length = head.query = head.query_length = 0;
  head.has_query = head.expect_continue = head.absolute_form = head.connection_upgrade = false;
  head.framing = http1::Framing::none;
  head.underscores_dropped = 0;
  head.keep_alive = true;
}

/// A request that is not to be trusted: answered, then the connection ends.
void Exchange::refuse(Cause why, const char* detail) {
  keep_alive_ = false;
  downstream_->stop_reading_body();
  if (request_id_.empty()) identify_client();
  if (!route_) worker_.cells.protocol_errors[static_cast<size_t>(why)].add();
  answer_error(why, detail);
}

/// No answer can be had from the pool: an error to the client if nothing was sent yet, else a broken connection.
void Exchange::fail(Cause why, const char* detail) {
  if (upstream_) release_upstream(false);
  if (encoder_) end_encoding();
  if (!head_sent_) return answer_error(why, detail);
  cause_ = why;
  detail_ = detail;
  downstream_->reset();
  finish();
}

void Exchange::on_downstream_failed(Cause cause, const char* detail) {
  if (phase_ == Phase::queued) leave_queue();
  if (upstream_) release_upstream(false);
  const bool gone = cause == Cause::client_gone || cause == Cause::client_too_slow || cause == Cause::http2_flood;
  if (!gone && !head_sent_) return refuse(cause, detail);
  if (phase_ == Phase::tunnel) worker_.cells.tunnels_closed.add();
  // An answer of which the last byte is already with the kernel is complete; otherwise the first cause stands.
  if (cause_ == Cause::none || gone) {
    cause_ = cause;
    detail_ = detail;
  }
  downstream_->reset();
  finish();
}

void Exchange::abort_for_drain() {
  if (phase_ == Phase::queued) leave_queue();
  if (phase_ == Phase::tunnel) {
    cause_ = Cause::draining;
    if (websocket_) say_going_away();
    return end_tunnel();
  }
  fail(Cause::draining);
}

/// Everything is sent, or nothing more can be.
void Exchange::finish() {
  release_places();
  if (upstream_) release_upstream(false);
  if (encoder_) end_encoding();
  phase_ = Phase::finishing;
  record();
  cancel();
  Downstream* downstream = std::exchange(downstream_, nullptr);
  body_.release(worker_.buffers);
  request_trailers_.release(worker_.buffers);
  phase_ = Phase::idle;
  ++serial_;  // a grant under way finds nobody
  downstream->exchange_done(keep_alive_);
  long_head_.release(worker_.buffers);
  worker_.unpin(*std::exchange(runtime_, nullptr));
  worker_.recycle(this);
}

void Exchange::record() {
  const Route* route = route_;
  const auto& state = route ? route->state : runtime_->shared->unrouted;
  RouteCells& cells = state->cells[worker_.index];
  const bool nothing_sent = !head_sent_ || status_ == 0;
  const uint16_t status = nothing_sent ? info(cause_).status : status_;
  cells.responses[nothing_sent ? 0 : status_ / 100].add();
  cells.causes[static_cast<size_t>(cause_)].add();
  if (grpc_status_ != AccessRecord::kNoGrpc) [[unlikely]]
    cells.grpc[grpc_status_].add();
  const auto us = static_cast<uint64_t>((monotonic_now() - started_).count() / 1000);
  cells.latency.observe(us);
  const bool failed = attempts_ > 1 || status >= 500 || worth_remembering(cause_);
  // Until the head: a stream or a big download lasts as long as it lasts, and a tunnel is no answer at all.
  const bool slow = route && upstream_us_ > route->slow_us, notable = failed || slow;
  const bool traced = trace_.on && trace_.sampled;
  AccessLog* log = worker_.shared.access_log.load(std::memory_order_acquire);
  // What was answered at the first try, and is neither traced nor logged, pays for one comparison here.
  if (!notable && !traced && !log) return;
  const int64_t wall_ns = wall_now_ns() - static_cast<int64_t>(us) * 1000;
  using Kind = RecentKind;
  if (notable) remember(!failed ? Kind::slow : pool_ ? Kind::forwarded : Kind::refused, slow, wall_ns, us, status);
  if (traced) export_trace(wall_ns, us, status, !nothing_sent);
  if (log) write_log(*log, wall_ns, us, status);
}

void Exchange::write_log(AccessLog& log, int64_t wall_ns, uint64_t duration_us, uint16_t status) {
  AccessRecord entry;
  entry.wall_ns = wall_ns;
  entry.duration_us = duration_us;
  entry.upstream_us = upstream_us_;
  entry.bytes_received = bytes_received;
  entry.bytes_sent = bytes_sent_;
  entry.status = status;
  entry.upstream_status = upstream_status_;
  entry.attempts = attempts_;
  entry.minor = head.minor;
  entry.grpc_status = grpc_status_;
  entry.cause = cause_;
  entry.client = client_;
  entry.user = user_;
  entry.method = head.method_view();
  entry.target = head.view(head.target, head.target_length);
  entry.host = head.host();
  entry.user_agent = head.find(FieldId::user_agent);
  entry.referer = head.find(FieldId::referer);
  entry.request_id = request_id_;
  entry.listener = connection_->listener().name;
  if (route_) entry.route = route_->state->name;
  if (pool_) entry.pool = pool_->pool->state->name;
  if (set_) entry.backend = set_->backend->name;
  entry.query = head.query_view();
  entry.path = entry.target.empty() ? std::string_view() : head.path_view();
  std::array<char, trace::kSpanIdDigits> span;
  if (trace_.on) {
    entry.trace_id = trace_id();
    entry.span_id = span_id(span);
  }
  std::array<std::string_view, kMostLogHeaders> headers;
  if (!log.headers().empty()) entry.headers = worker_.log_headers.find(log, head, logged_.get(), headers);
  if (!log.write(worker_.index, entry)) worker_.cells.log_dropped.add();
}

/// Copies into the worker's ring; nothing is allocated.
void Exchange::remember(RecentKind kind, bool slow, int64_t wall_ns, uint64_t duration_us, uint16_t status) {
  constexpr uint64_t kMost = ~uint32_t{0};
  RequestRecord& record = worker_.recent.next(kind);
  record.slow = slow;
  record.wall_ns = wall_ns;
  record.duration_us = static_cast<uint32_t>(std::min(duration_us, kMost));
  record.status = status;
  record.cause = cause_;
  record.attempts = attempts_;
  record.id = request_id_;
  record.client = client_;
  record.method = head.method_view();
  record.host = head.host();
  record.target = head.view(head.target, head.target_length);
  record.listener = connection_->listener().name;
  record.pool = pool_ ? std::string_view(pool_->pool->state->name) : std::string_view();
  record.route = route_ ? std::string_view(route_->state->name) : std::string_view();
  record.trace_id = trace_.on ? trace_id() : std::string_view();
  record.detail = detail_;
  record.kept = 0;
  for (const auto& from : list_attempts(duration_us, false))
    record.add_try(*from.backend, from.start_us, from.took_us, from.status, from.cause, from.reused);
}

/// The attempts of a request that has ended, RequestRecord::kAttempts of them at most. The last one's time is that to
/// the head of its answer, or `to_the_end` of that.
std::span<const Exchange::FailedAttempt> Exchange::list_attempts(uint64_t duration_us, bool to_the_end) {
  const size_t failed = std::min<size_t>(failed_count_, failed_.size());
  // The last one has not failed, or by what came after its answer's head; or the time was over, or the client gone.
  if (attempts_ <= failed_count_ || failed == failed_.size()) return {failed_.data(), failed};
  const uint64_t start = static_cast<uint64_t>(std::max<int64_t>(0, (attempt_began_ - started_).count() / 1000));
  const uint64_t to_head = static_cast<uint64_t>((attempt_started_ - attempt_began_).count() / 1000) + upstream_us_;
  const uint64_t took = upstream_status_ && !to_the_end ? to_head : duration_us - std::min(start, duration_us);
  failed_[failed] = {set_->backend.get(),
                     static_cast<uint32_t>(start),
                     static_cast<uint32_t>(std::min<uint64_t>(took, ~uint32_t{0})),
                     upstream_status_,
                     cause_,
                     attempt_reused_};
  return {failed_.data(), failed + 1};
}

}  // namespace weir::proxy
