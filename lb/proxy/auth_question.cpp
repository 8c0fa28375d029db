#include "lb/proxy/auth_question.hpp"

#include <algorithm>
#include <utility>

#include "lb/balance/latency.hpp"
#include "lb/proxy/exchange.hpp"

namespace weir::proxy {

namespace {

constexpr uint8_t kMaxInterim = 8;  // as for any backend (security-rules A13)

bool lets_pass(uint16_t status) { return status >= 200 && status < 300; }
bool is_answer(uint16_t status) { return (status >= 300 && status < 400) || status == 401 || status == 403; }

/// What frames the answer, or says when it was made, is ours to say.
bool goes_on(const http1::Field& field) {
  using http1::FieldId;
  return !field.drop && field.id != FieldId::content_length && field.id != FieldId::transfer_encoding &&
         field.id != FieldId::date;
}

}  // namespace

void AuthQuestion::ask(const config::ForwardAuth& how, WorkerPool& pool, const http1::RequestHead& head,
                       const RequestContext& context, uint64_t key_hash) {
  head_ = &head;
  how_ = &how;
  pool_ = &pool;
  context_ = context;
  context_.pool = pool.pool->config.get();
  key_hash_ = key_hash;
  set_ = nullptr;
  tried_.count = 0;
  fields_.clear();
  body_.clear();
  status_ = 0;
  raced_ = false;
  keep_alive_ = 0;
  deadline_ = worker_.now + how.timeout;
  connect_deadline_ = TimePoint::max();
  pool_->cells->requests.add();
  admitted_ = pool_->pool->admission->try_admit(context_.pool->limits);
  if (!admitted_) return fail("the service's pool is at its limit");
  begin_attempt();
}

void AuthQuestion::begin_attempt() {
  worker_.refresh(*pool_);
  if (pool_->panic) pool_->cells->panics.add();
  uint32_t backend = 0;
  if (!take_backend(worker_, *pool_, key_hash_, tried_, backend))
    return fail("no backend of the service's pool could be asked");
  backend_held_ = true;
  set_ = pool_->upstreams[backend];
  context_.backend = &context_.pool->backends[backend];
  connect(false);
}

void AuthQuestion::connect(bool fresh) {
  set_->cells->requests.add();
  const Connection connection =
      open_connection(worker_, *pool_, *set_, fresh, Duration::max(), *this, exchange_.connection());
  upstream_ = connection.upstream;
  if (local_shortage(connection.error)) return fail("descriptors, memory or ports ran out here");
  if (connection.error) return on_connect_failed(connection.error);
  if (upstream_->connected()) return send();
  connect_deadline_ = worker_.now + context_.pool->timeout.connect;
  arm();
}

void AuthQuestion::on_connect_failed(int) {
  set_->cells->connect_failures.add();
  attempt_failed(route::FailureKind::connect);
}

void AuthQuestion::send() {
  connect_deadline_ = TimePoint::max();
  sent_ = worker_.now;
  HeadWriter writer(worker_.send_scratch.get(), Worker::kSendScratch);
  write_auth_head(writer, *head_, context_, *how_);
  if (writer.overflow()) return fail("the request head grew beyond the send buffer");
  const iovec bytes{const_cast<char*>(writer.view().data()), writer.size()};
  if (upstream_->send(&bytes, 1) == Sent::failed) {
    if (upstream_->bytes_sent == 0) return attempt_failed(route::FailureKind::reset);
    upstream_->look_for_end();
  }
  arm();
}

void AuthQuestion::arm() { exchange_.set_auth_timer(std::min(deadline_, connect_deadline_)); }

void AuthQuestion::on_timer() {
  if (worker_.now < deadline_) return on_connect_failed(0);
  if (set_) report_failure(worker_, *pool_, *set_);
  fail("the service did not answer in time");
}

void AuthQuestion::attempt_failed(route::FailureKind kind) {
  const auto& rules = context_.pool->retry;
  route::Attempt attempt;
  attempt.kind = kind;
  attempt.others_tried = tried_.count - 1u;
  attempt.bytes_sent = upstream_->bytes_sent > 0 || upstream_->blocked();
  attempt.response_begun = upstream_->response_started;
  attempt.reused_connection = upstream_->reused();
  attempt.method_idempotent = true;
  attempt.raced_before = raced_;
  close(false);
  const auto verdict = route::decide(attempt, rules);
  if (verdict != route::Verdict::retry_same) report_failure(worker_, *pool_, *set_);
  if (retrying_) route::end_retry(*pool_->pool->state);
  retrying_ = verdict == route::Verdict::retry && route::take_retry(*pool_->pool->state, rules);
  if (verdict == route::Verdict::retry && !retrying_) pool_->cells->retry_budget_exhausted.add();
  if (verdict == route::Verdict::give_up || (verdict == route::Verdict::retry && !retrying_) ||
      worker_.now >= deadline_)
    return fail(kind == route::FailureKind::connect ? "the service can't be reached" : "the service gave no answer");
  pool_->cells->retries.add();
  if (verdict == route::Verdict::retry_same) {
    raced_ = true;
    return connect(true);
  }
  if (drop_backend()) pool_->pool->admission->backend_freed(context_.pool->limits);
  begin_attempt();
}

void AuthQuestion::on_upstream_bytes(char* data, size_t size) {
  if (status_ == 0 && !take_head(data, size)) return;
  take_body(data, size);
}

/// True: the final head has come, and `data` is what stands behind it.
bool AuthQuestion::take_head(char*& data, size_t& size) {
  // A head that came in parts is put together in memory of the connection's own.
  const bool partial = !upstream_->head.empty();
  if (partial) {
    upstream_->head.append(worker_.buffers, {data, size});
    data = upstream_->head.data();
    size = upstream_->head.size();
  }
  http1::ResponseHead& response = worker_.response_head;
  do {
    const auto result = http1::parse_response({data, size}, http1::Method::GET, {}, response);
    if (result.status == http1::Parse::need_more) {
      if (partial)
        upstream_->head.consume(worker_.buffers, upstream_->head.size() - static_cast<uint32_t>(size));
      else
        upstream_->head.append(worker_.buffers, {data, size});
      return false;
    }
    const bool interim = response.status < 200 && response.status != 101;
    if (result.status == http1::Parse::error || response.status == 101 ||
        (interim && ++upstream_->interim > kMaxInterim)) {
      report_failure(worker_, *pool_, *set_);
      fail("the service's answer breaks HTTP/1.1");
      return false;
    }
    response.base = data;
    data += response.size;
    size -= response.size;
  } while (response.status < 200 && size > 0);
  if (response.status < 200) {
    upstream_->head.release(worker_.buffers);
    return false;
  }
  return judge(response);
}

/// False: it is no answer to this question, and the exchange knows.
bool AuthQuestion::judge(const http1::ResponseHead& response) {
  status_ = response.status;
  note_response();
  upstream_->framing = response.framing;
  upstream_->remaining = response.content_length;
  upstream_->chunks = http1::ChunkDecoder();
  reusable_ = response.keep_alive;
  keep_alive_ = response.keep_alive_timeout;
  if (!lets_pass(status_) && !is_answer(status_)) {
    fail("the service answered with a status that is neither yes nor no");
    return false;
  }
  const auto& wanted = how_->response_headers;
  for (const auto& field : response.all()) {
    const std::string_view name = response.name(field);
    const auto same = [&](const std::string& listed) { return http1::equals_ignore_case(listed, name); };
    if (!goes_on(field) || (lets_pass(status_) && std::none_of(wanted.begin(), wanted.end(), same))) continue;
    fields_.append(name).append(": ").append(response.value(field)).append("\r\n");
  }
  return true;
}

void AuthQuestion::note_response() {
  const auto us = static_cast<uint64_t>((worker_.refresh_clock() - sent_).count() / 1000);
  set_->cells->responses[status_ / 100].add();
  set_->cells->latency.observe(us);
  pool_->cells->latency.observe(us);
  pool_->note_latency(us);
  if (pool_->pool->observes_latency) balance::observe(set_->backend->latency, worker_.now, us);
  if (status_ >= 502 && status_ <= 504)
    report_failure(worker_, *pool_, *set_);
  else
    report_success(*set_);
  route::repay_retries(*pool_->pool->state, context_.pool->retry);
}

void AuthQuestion::take_body(char* data, size_t size) {
  std::string_view body;
  bool complete = false;
  size_t used = 0;
  if (!upstream_->decode(data, size, body, used, complete)) return fail("the body of the service's answer is broken");
  if (used < size) reusable_ = false;  // bytes that nobody asked for
  // A yes is a yes, whatever is written below it: the rest is not waited for.
  if (lets_pass(status_)) return answered(complete);
  if (body_.size() + body.size() > kMaxBody) return fail("the service's answer is longer than 64 KiB");
  body_ += body;
  if (complete) answered(true);
}

void AuthQuestion::on_upstream_end(bool reset) {
  if (status_ == 0) return attempt_failed(route::FailureKind::reset);
  reusable_ = false;
  if (!reset && upstream_->framing == http1::Framing::until_close) return answered(true);
  report_failure(worker_, *pool_, *set_);
  fail("the service's answer is cut short");
}

void AuthQuestion::answered(bool whole) {
  close(reusable_ && whole && !upstream_->blocked());
  release();
  if (lets_pass(status_)) return exchange_.on_auth_granted();
  exchange_.on_auth_refused(status_);
}

void AuthQuestion::fail(const char* detail) {
  abandon();
  exchange_.on_auth_failed(detail);
}

void AuthQuestion::abandon() {
  if (!asking()) return;
  close(false);
  release();
}

void AuthQuestion::close(bool reusable) {
  if (!upstream_) return;
  Upstream& connection = *std::exchange(upstream_, nullptr);
  // The client has one connection of its own, with proxy_protocol: that is for the pool of its requests.
  give_back(connection, reusable && set_->proxy == ProxyVersion::none, *pool_, keep_alive_);
}

bool AuthQuestion::drop_backend() {
  if (!std::exchange(backend_held_, false)) return false;
  set_->backend->inflight.value.fetch_sub(1);
  return context_.pool->limits.per_backend > 0;
}

void AuthQuestion::release() {
  head_ = nullptr;
  const bool freed = drop_backend();
  if (retrying_) route::end_retry(*pool_->pool->state);
  retrying_ = false;
  if (std::exchange(admitted_, false)) pool_->pool->admission->release(context_.pool->limits, freed);
}

}  // namespace weir::proxy
