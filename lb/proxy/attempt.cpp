// A try at a backend: choosing it, reaching it, its time-outs, and whether another may follow.
#include <algorithm>
#include <atomic>
#include <cerrno>

#include "lb/balance/latency.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/upstream.hpp"

namespace weir::proxy {

namespace {

// The keep-alive race (users-pains 12): what can't be repeated goes only to connections that were in use a moment ago.
constexpr Duration kFreshEnough = std::chrono::seconds(1);

Cause cause_of_connect(int error) {
  switch (error) {
    case ECONNREFUSED:
    case ENOENT: return Cause::connect_refused;
    case ETIMEDOUT: return Cause::connect_timeout;
    default: return Cause::connect_failed;
  }
}

/// No descriptors, memory or ports left here: it says nothing about the backend.
bool local_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM || error == ENOSPC ||
         error == EADDRNOTAVAIL;
}

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
  if (!others_full()) {
    fail(last_cause_ == Cause::none ? Cause::no_backend : last_cause_);
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

/// Those of the table that this request has tried, as the picker wants them: indices of candidates.
size_t Exchange::tried_candidates(std::array<uint32_t, kMaxTried>& tried) const {
  const auto candidates = pool_->table->candidates();
  size_t count = 0;
  if (tried_count_)
    for (uint32_t i = 0; i < candidates.size() && count < tried.size(); ++i)
      if (has_tried(candidates[i].backend)) tried[count++] = i;
  return count;
}

bool Exchange::has_tried(uint32_t backend) const {
  const auto end = tried_.begin() + tried_count_;
  return std::find(tried_.begin(), end, backend) != end;
}

/// Is there another backend, which is only too busy now?
bool Exchange::others_full() const {
  for (const auto& candidate : pool_->table->candidates())
    if (candidate.limit && !has_tried(candidate.backend)) return true;
  return false;
}

bool Exchange::another_is_free() const {
  for (const auto& candidate : pool_->table->candidates())
    if (!candidate.full() && !has_tried(candidate.backend)) return true;
  return false;
}

bool Exchange::take_backend() {
  WorkerPool& pool = *pool_;
  std::array<uint32_t, kMaxTried> tried;
  const size_t tried_here = tried_candidates(tried);
  const auto candidates = pool.table->candidates();
  balance::PickContext context{key_hash(), {tried.data(), tried_here}, worker_.now, worker_.rng};
  for (;;) {
    const uint32_t picked = pool.picker->pick(context);
    if (picked == balance::kNone) return false;
    const balance::Candidate& candidate = candidates[picked];
    auto& inflight = pool.pool->backends[candidate.backend]->inflight.value;
    uint32_t now = inflight.load(std::memory_order_relaxed);
    if (!candidate.limit)
      inflight.fetch_add(1, std::memory_order_relaxed);
    else
      while (now < candidate.limit && !inflight.compare_exchange_weak(now, now + 1)) {
      }
    if (candidate.limit && now >= candidate.limit)
      continue;  // another worker was faster: it is full now, the picker passes it over
    backend_held_ = true;
    if (context.spilled) pool.cells->spilled.add();
    set_ = pool.upstreams[candidate.backend];
    backend_index_ = candidate.backend;
    tried_[tried_count_++] = candidate.backend;
    return true;
  }
}

void Exchange::connect_upstream(bool fresh) {
  ++attempts_;
  attempt_began_ = worker_.now;
  set_->cells->requests.add();
  UpstreamConnection* connection =
      fresh ? nullptr : UpstreamConnection::take_idle(*set_, worker_.now, idempotent_ ? Duration::max() : kFreshEnough);
  attempt_reused_ = connection != nullptr;
  if (connection) {
    set_->cells->reused.add();
    upstream_ = connection;
    connection->attach(*this);
    return send_request();
  }
  stash_body();
  upstream_ = new UpstreamConnection(worker_, *set_);
  int error = upstream_->connect(pool_->pool->user_timeout);
  if (local_shortage(error) && worker_.shed_idle_upstream()) error = upstream_->connect(pool_->pool->user_timeout);
  upstream_->attach(*this);
  if (local_shortage(error)) return fail(Cause::overload_connections);
  if (error) return on_connect_failed(error);
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
  RequestContext context;
  context.path = path_.forwarded;
  context.matched_path = path_.matched;
  context.route = route_->config;
  context.pool = pool_->pool->config.get();
  context.backend = &context.pool->backends[backend_index_];
  context.peer = downstream_->peer_text();
  context.client = client_;
  context.request_id = request_id_;
  context.user = user_;
  context.port = downstream_->listener().port;
  context.trusted = trusted_peer_;
  context.forwarded = runtime_->config().http.forwarded;
  context.upgrade = upgrade_ = wants_upgrade();
  context.framing = head.framing;
  context.max_forwards = max_forwards_;
  write_request_head(writer, head, context);
  if (writer.overflow()) return fail(Cause::header_too_large, "the request head grew beyond the send buffer");
  forward_request_start(writer.view());
}

/// RFC 9110 §7.8; an Upgrade with a body, or to h2c, is forwarded as an ordinary request (security-rules A10).
bool Exchange::wants_upgrade() const {
  return head.connection_upgrade && head.minor == 1 && head.framing == http1::Framing::none &&
         head.has(http1::FieldId::upgrade) && !http1::field_contains(head, http1::FieldId::upgrade, "h2c");
}

// ---- failure ----

void Exchange::attempt_failed(Cause why, route::FailureKind kind) {
  route::Attempt attempt = describe_attempt(kind);
  note_attempt(why, 0);
  release_upstream(false);
  last_cause_ = why;
  const auto verdict = route::decide(attempt, pool_->pool->config->retry);
  if (verdict != route::Verdict::retry_same) report_failure();
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

route::Attempt Exchange::describe_attempt(route::FailureKind kind) const {
  route::Attempt attempt;
  attempt.kind = kind;
  attempt.others_tried = tried_count_ ? tried_count_ - 1u : 0u;
  attempt.bytes_sent = upstream_ && (upstream_->bytes_sent > 0 || upstream_->blocked());
  attempt.response_begun = upstream_ && upstream_->response_started;
  attempt.response_started = head_sent_;
  attempt.body_replayable = !body_lost_;
  attempt.reused_connection = upstream_ && upstream_->reused();
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
    const auto microseconds = [](Duration d) { return static_cast<uint32_t>(std::max<int64_t>(0, d.count() / 1000)); };
    failed_[failed_count_] = {set_->backend.get(),
                              microseconds(attempt_began_ - started_),
                              microseconds(worker_.now - attempt_began_),
                              status,
                              why,
                              attempt_reused_};
  }
  ++failed_count_;
}

/// For passive ejection: only what the backend is to blame for.
void Exchange::report_failure() {
  BackendState& backend = *set_->backend;
  set_->cells->failures.add();
  const auto& eject = pool_->pool->config->eject;
  if (const Duration median = pool_->median_latency; median > Duration::zero())
    worker_.add_phantom(set_->backend, median);
  if (!eject.enabled) return;
  if (backend.consecutive_failures.fetch_add(1, std::memory_order_relaxed) + 1 == eject.after)
    worker_.shared.monitor.report_failures(set_->backend);
}

void Exchange::report_success() {
  auto& failures = set_->backend->consecutive_failures;
  if (failures.load(std::memory_order_relaxed)) failures.store(0, std::memory_order_relaxed);
}

void Exchange::release_upstream(bool reusable) {
  if (!upstream_) return;
  UpstreamConnection* connection = std::exchange(upstream_, nullptr);
  if (!reusable) return connection->close();
  Duration keep = pool_->pool->config->timeout.keep_alive;
  if (upstream_keep_alive_ > 0)
    keep = std::min<Duration>(keep, std::chrono::seconds(std::max(1u, upstream_keep_alive_) - 1));
  connection->keep(keep);
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
    case Phase::authenticating: return answer_error(Cause::auth_overload);
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
  if (phase_ == Phase::responding) return response_broken(Cause::total_timeout);
  if (upstream_) report_failure();
  fail(Cause::total_timeout);
}

}  // namespace weir::proxy
