// A try at a backend: choosing it, reaching it, its time-outs, and whether another may follow.
#include <algorithm>
#include <atomic>

#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/http2_stream.hpp"
#include "lb/proxy/request_facts.hpp"
#include "lb/proxy/upstream.hpp"

namespace weir::proxy {

namespace {

// The keep-alive race (users-pains 12): what can't be repeated goes only to connections that were in use a moment ago.
constexpr Duration kFreshEnough = std::chrono::seconds(1);

}  // namespace

void Exchange::begin_attempt() {
  if (!choose_backend()) return;
  connect_upstream(false);
}

/// Picks and takes a backend. False: the request waits in the queue, or is answered.
bool Exchange::choose_backend() {
  worker_.refresh(*pool_);
  if (pool_->panic) pool_->cells->panics.add();
  if (take_backend()) return true;
  if (!others_full(*pool_, tried_)) {
    const Cause none = pool_->upstreams.empty() ? Cause::name_unresolved : Cause::no_backend;
    fail(last_cause_ == Cause::none ? none : last_cause_);
    return false;
  }
  if (wait_in_queue(true) || phase_ != Phase::queued) return false;
  // One that came free before the queue knew of us has told nobody.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!take_backend()) return false;
  leave_queue();
  phase_ = Phase::deciding;
  return true;
}

bool Exchange::take_backend() {
  if (!take_home() && !proxy::take_backend(worker_, *pool_, key_hash(*pool_), tried_, backend_index_)) return false;
  backend_held_ = true;
  set_ = pool_->upstreams[backend_index_];
  return true;
}

void Exchange::connect_upstream(bool fresh) {
  ++attempts_;
  asked_again_ = fresh;
  attempt_began_ = worker_.now;
  set_->cells->requests.add();
  const Connection connection =
      open_connection(worker_, *pool_, *set_, fresh, idempotent_ ? Duration::max() : kFreshEnough, *this, *connection_);
  upstream_ = connection.upstream;
  if (head.minor == 2) upstream_->receive_room = Http2Stream::kReceive;  // many may wait on one connection
  attempt_reused_ = upstream_->reused();
  if (attempt_reused_) return send_request();
  stash_body();
  if (local_shortage(connection.error)) return fail(Cause::overload_connections);
  if (connection.error) return on_connect_failed(connection.error);
  if (upstream_->connected()) return send_request();
  phase_ = Phase::connecting;
  arm_phase(route_->timeout.connect);
}

void Exchange::on_connected() { send_request(); }

void Exchange::on_connect_failed(int error) {
  set_->cells->connect_failures.add();
  attempt_failed(cause_of_connect(error), route::FailureKind::connect);
}

/// Before anything asynchronous: what came with the head moves from the receive scratch to memory of its own.
void Exchange::stash_body() {
  body_.append(worker_.buffers, first_body_);
  first_body_ = {};
}

void Exchange::send_request() {
  phase_ = Phase::requesting;
  attempt_started_ = worker_.now;
  try_deadline_ = route_->timeout.per_try > Duration::zero() ? worker_.now + route_->timeout.per_try : TimePoint::max();
  HeadWriter writer(worker_.send_scratch.get(), Worker::kSendScratch);
  RequestContext context = request_context();
  context.pool = pool_->pool->config.get();
  context.backend = &context.pool->backends[backend_index_];
  context.upgrade = upgrade_ = wants_upgrade(head);
  context.trailers = upstream_->framed && http1::field_contains(head, http1::FieldId::te, "trailers");
  if (hide_cookie_) context.hidden_cookie = context.pool->affinity->cookie;
  if (trace_.on) context.traceparent = traceparent(attempts_);
  write_request_head(writer, head, context);
  if (writer.overflow()) return fail(Cause::header_too_large, "the request head grew beyond the send buffer");
  forward_request_start(writer.view());
}

/// What doesn't depend on the backend.
RequestContext Exchange::request_context() const {
  RequestContext context;
  context.path = path_.forwarded;
  context.matched_path = path_.matched;
  context.route = route_->config;
  context.peer = connection_->peer_text();
  context.client = client_;
  context.request_id = request_id_;
  context.user = user_;
  context.granted = granted_;
  context.port = connection_->listener().port_text;
  context.trusted = trusted_peer_;
  context.forwarded = runtime_->config().http.forwarded;
  context.framing = head.framing;
  context.max_forwards = max_forwards_;
  context.tracestate = trace_.on && trace_.with_state;
  if (const auto* tls = connection_->tls()) {
    context.tls = true;
    context.identity = tls->identity();
  }
  return context;
}

// ---- failure ----

void Exchange::attempt_failed(Cause why, route::FailureKind kind) {
  if (body_lost_ && upstream_ && upstream_->body_unsent) [[unlikely]]
    take_body_back();
  route::Attempt attempt = describe_attempt(kind);
  const bool excused = upstream_ && upstream_->excused && !asked_again_;
  note_attempt(why, 0);
  release_upstream(false);
  last_cause_ = why;
  const auto verdict = route::decide(attempt, pool_->pool->config->retry);
  if (verdict != route::Verdict::retry_same && !excused) report_failure();
  if (!may_retry(verdict)) return fail(why);
  next_attempt(verdict);
}

/// An answer that breaks the protocol: asking again would not mend it.
void Exchange::bad_response(Cause why) {
  note_attempt(why, 0);
  release_upstream(false);
  report_failure();
  fail(why);
}

/// The backend has ended a stream by breaking the protocol.
void Exchange::upstream_broken(Cause why) {
  if (phase_ == Phase::requesting) return bad_response(why);
  report_failure();
  response_broken(why);
}

route::Attempt Exchange::describe_attempt(route::FailureKind kind) const {
  route::Attempt attempt;
  attempt.kind = kind;
  attempt.others_tried = tried_.count ? tried_.count - 1u : 0u;
  attempt.bytes_sent = upstream_ && (upstream_->bytes_sent > 0 || upstream_->blocked());
  attempt.response_begun = upstream_ && upstream_->response_started;
  attempt.response_started = head_sent_;
  attempt.body_replayable = !body_lost_;
  attempt.reused_connection = upstream_ && (upstream_->reused() || upstream_->refused);
  attempt.method_idempotent = idempotent_;
  attempt.raced_before = raced_;
  return attempt;
}

/// Takes the retry's share of the budget, if it needs one.
bool Exchange::may_retry(route::Verdict verdict) {
  if (verdict == route::Verdict::give_up || worker_.now >= total_deadline_) return false;
  end_retry();
  if (verdict != route::Verdict::retry) return true;
  retrying_ = route::take_retry(*pool_->pool->state, pool_->pool->config->retry);
  if (!retrying_) pool_->cells->retry_budget_exhausted.add();
  return retrying_;
}

void Exchange::end_retry() {
  if (retrying_) route::end_retry(*pool_->pool->state);
  retrying_ = false;
}

void Exchange::next_attempt(route::Verdict verdict) {
  expecting_ = false;
  try_deadline_ = TimePoint::max();
  pool_->cells->retries.add();
  if (verdict == route::Verdict::retry_same) {
    raced_ = true;
    return connect_upstream(true);
  }
  release_backend();
  begin_attempt();
}

/// For `weir why`.
void Exchange::note_attempt(Cause why, uint16_t status) {
  if (failed_count_ < failed_.size()) {
    failed_[failed_count_] = {set_->backend.get(),
                              microseconds_of(attempt_began_ - started_),
                              microseconds_of(worker_.now - attempt_began_),
                              status,
                              why,
                              attempt_reused_};
  }
  ++failed_count_;
}

void Exchange::report_failure() { proxy::report_failure(worker_, *pool_, *set_); }

void Exchange::release_upstream(bool reusable) {
  if (!upstream_) return;
  give_back(*std::exchange(upstream_, nullptr), reusable, *pool_, upstream_keep_alive_);
}

/// An attempt has ended, and its request goes on.
void Exchange::release_backend() {
  const auto& limits = pool_->pool->config->limits;
  if (drop_backend() && limits.per_backend) pool_->pool->admission->backend_freed(limits);
}

bool Exchange::drop_backend() {
  if (!backend_held_) return false;
  backend_held_ = false;
  set_->backend->inflight.value.fetch_sub(1);
  return true;
}

void Exchange::release_places() {
  if (question_) question_->abandon();
  const bool dropped = drop_backend();
  end_retry();
  if (!admitted_) return;
  admitted_ = false;
  const auto& limits = pool_->pool->config->limits;
  pool_->pool->admission->release(limits, dropped && limits.per_backend);
}

// ---- time ----

/// One timer serves the phase, the try and the whole request: the nearest deadline is armed.
void Exchange::arm_phase(Duration how_long) {
  arm_phase_until(how_long > Duration::zero() ? worker_.now + how_long : TimePoint::max());
}

void Exchange::arm_phase_until(TimePoint deadline) {
  phase_deadline_ = deadline;
  const TimePoint nearest = std::min({phase_deadline_, total_deadline_, try_deadline_});
  if (nearest == TimePoint::max()) return cancel();
  worker_.wheel.arm(*this, nearest);
}

void Exchange::on_timer(TimePoint now) {
  if (now >= total_deadline_ && phase_ != Phase::tunnel) return request_timed_out();
  switch (phase_) {
    case Phase::queued:
      // A grant may be on its way: then it finds another serial and gives the place back.
      leave_queue();
      return answer_error(Cause::queue_timeout);
    case Phase::authenticating:
      if (question_ && question_->asking()) return question_->on_timer();
      return answer_error(Cause::auth_overload);
    case Phase::connecting:
      set_->cells->connect_failures.add();
      return attempt_failed(Cause::connect_timeout, route::FailureKind::connect);
    case Phase::requesting: return requesting_timed_out(now);
    case Phase::responding:
      // While the client does not read, nothing is expected of the backend; the client's own time-out is running.
      if (downstream_->blocked() || now < phase_deadline_) return arm_phase(route_->timeout.idle);
      report_failure();
      return response_broken(Cause::idle_timeout);
    case Phase::tunnel: return tunnel_timed_out();
    case Phase::idle:
    case Phase::deciding:
    case Phase::finishing: return;
  }
}

void Exchange::requesting_timed_out(TimePoint now) {
  if (now >= try_deadline_) return attempt_failed(Cause::response_timeout, route::FailureKind::timeout);
  if (expecting_) {
    expecting_ = false;
    arm_phase(route_->timeout.idle);
    return downstream_->resume();
  }
  if (body_complete_) return attempt_failed(Cause::response_timeout, route::FailureKind::timeout);
  if (upstream_->blocked()) return attempt_failed(Cause::idle_timeout, route::FailureKind::timeout);
  fail(Cause::body_too_slow);
}

void Exchange::request_timed_out() {
  if (phase_ == Phase::queued) leave_queue();
  const Cause why = clients_deadline_ ? Cause::grpc_deadline : Cause::total_timeout;
  if (phase_ == Phase::responding) return response_broken(why);
  if (upstream_ && !clients_deadline_) report_failure();
  fail(why);
}

}  // namespace weir::proxy
