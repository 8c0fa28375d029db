// What is decided about a request, top-down, before a backend is tried.
#include <algorithm>
#include <cstring>

#include "lb/base/hash.hpp"
#include "lb/base/hex.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/forwarded.hpp"
#include "lb/proxy/request_facts.hpp"

namespace weir::proxy {

using http1::FieldId;

void Exchange::handle_request(std::string_view body, bool body_complete) {
  first_body_ = body;
  body_received_ = body.size();
  body_complete_ = body_complete;
  // What came of a chunked body together with the head; the rest is measured in on_request_body().
  if (body_too_large(runtime_->config().limits, body_received_))
    return refuse(Cause::body_too_large, "the body is above limits.body_bytes");
  if (!normalize_target()) return;
  identify_client();
  if (connection_->tls() && misdirected()) return;
  if (answers_options()) return;
  if (!find_route()) return;
  if (route_->guarded && !pass_guards()) return;
  serve();
}

/// What is left once the request may come in.
void Exchange::serve() {
  if (answered_by_route()) return;
  if (refused_by_overload()) return;
  if (route_->pool->affinity) look_for_home();
  if (!admit()) return;
  begin_attempt();
}

bool Exchange::normalize_target() {
  const auto& http = runtime_->config().http;
  const char* detail = "";
  if (http1::normalize_path(head.path_view(), {http.reject_escaped_slash, http.reject_path_params}, path_storage_,
                            path_, detail))
    return true;
  refuse(Cause::bad_request, detail);
  return false;
}

void Exchange::identify_client() {
  const auto& blocks = runtime_->config().trusted_proxies;
  // Usually there are none, and then the peer need not be read back from its text (500 instructions).
  const std::string_view peer = connection_->peer_text();
  const Client client =
      blocks.empty() ? Client{peer, false} : believed_client(head, blocks, connection_->peer(), peer, client_text_);
  client_ = client.address;
  trusted_peer_ = client.trusted_peer;
  client_tls_ = client_used_tls(head, trusted_peer_, connection_->tls() != nullptr);
  request_id_ = {};
  drop_unbelieved(head, trusted_peer_, connection_->tls() && connection_->tls()->server()->asks_clients());
  if (trusted_peer_) {
    if (const auto id = head.find(FieldId::x_request_id); id.size() <= 128) request_id_ = id;
  }
  if (request_id_.empty()) {
    write_hex16(worker_.rng(), request_id_storage_.data());
    write_hex16(worker_.rng(), request_id_storage_.data() + 16);
    request_id_ = {request_id_storage_.data(), request_id_storage_.size()};
  }
  if (const auto& tracer = runtime_->shared->tracer) begin_trace(*tracer);
}

/// Security-rules B11: a client that has seen one certificate asks for what another one stands for. It may come in by a
/// connection of its own (RFC 9110 §7.4).
bool Exchange::misdirected() {
  const net::TlsSession& tls = *connection_->tls();
  const auto host = http1::host_without_port(head.host());
  if (!tls.server()->misdirected(tls.server_name(), tls.certificate(), host)) return false;
  refuse(Cause::misdirected, "");
  return true;
}

/// OPTIONS with Max-Forwards: 0 is for us; above 0 it is passed on, one less.
bool Exchange::answers_options() {
  const auto hops = hops_left(head);
  if (!hops) return false;
  if (*hops == 0) {
    cause_ = Cause::max_forwards;
    answer_local(200, "", "", "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n");
    return true;
  }
  for (auto& field : head.all())
    if (field.id == FieldId::max_forwards) field.drop = true;
  max_forwards_ = *hops;
  return false;
}

bool Exchange::find_route() {
  const BelievedFields seen = fields();
  const uint32_t index = runtime_->shared->router->match(route_request(seen, path_, connection_->listener().index));
  if (index != route::kNoRoute) {
    route_ = &runtime_->shared->routes[index];
    return true;
  }
  answer_error(Cause::no_route);
  return false;
}

bool Exchange::answered_by_route() {
  if (route_->pool) return false;
  if (route_->config->redirect)
    answer_redirect();
  else
    answer_fixed();
  return true;
}

bool Exchange::refused_by_overload() {
  if (worker_.shared.memory.load(std::memory_order_relaxed) < MemoryLevel::refuse_requests) return false;
  answer_error(Cause::overload_memory);
  return true;
}

bool Exchange::admit() {
  pool_ = &runtime_->pools[route_->pool_index];
  pool_->cells->requests.add();
  if (const Duration total = route_->timeout.total; total > Duration::zero()) total_deadline_ = started_ + total;
  idempotent_ = route::method_repeatable(pool_->pool->config->retry, head.method_view());
  // A stream may be refused although its request went out: then any method may go again.
  const bool streams = pool_->pool->config->protocol != config::Pool::Protocol::h1;
  if (streams && is_grpc()) [[unlikely]] {
    grpc_ = true;
    take_grpc_deadline();
  }
  body_kept_ = (idempotent_ || streams) && head.framing != http1::Framing::none;
  if (!pool_->pool->admission->try_admit(pool_->pool->config->limits)) return wait_in_queue(false);
  admitted_ = true;
  return true;
}

/// Waits for a place in the pool or, holding one, for a backend below its limit. True: a place came free meanwhile.
bool Exchange::wait_in_queue(bool holds_place) {
  const auto& limits = pool_->pool->config->limits;
  if (limits.queue == 0) {
    answer_error(Cause::pool_limit);
    return false;
  }
  stash_body();
  phase_ = Phase::queued;
  const bool again = turn_.order != 0;
  turn_.holds_place = holds_place;
  turn_.retrying = tried_.count > 0;
  switch (pool_->pool->admission->wait(ticket(), limits, turn_)) {
    case Admission::Wait::full: answer_error(Cause::queue_full); return false;
    case Admission::Wait::admitted:
      admitted_ = true;
      phase_ = Phase::deciding;
      return true;
    case Admission::Wait::queued: break;
  }
  if (!again) {
    pool_->cells->queued.add();
    queue_deadline_ = worker_.now + limits.queue_timeout;
  }
  arm_phase_until(queue_deadline_);
  return false;
}

/// False: it found no backend, and waits again or has ended.
bool Exchange::on_granted() {
  leave_queue();  // an older grant may find it waiting anew
  admitted_ = true;
  phase_ = Phase::deciding;
  if (!choose_backend()) return false;
  connect_upstream(false);
  return true;
}

void Exchange::leave_queue() {
  if (pool_->pool->admission->forget(ticket()) == Admission::Left::with_place) admitted_ = true;
}

uint64_t Exchange::key_hash(const WorkerPool& pool) {
  const auto& key = pool.pool->config->balance.key;
  if (!key) return 0;
  const std::string_view value = key_value(*key);
  return value.empty() ? worker_.rng() : stable_hash(value);
}

std::string_view Exchange::key_value(const config::KeySpec& key) const {
  return proxy::key_value(key, fields(), path_, client_);
}

BelievedFields Exchange::fields() const {
  return {head, connection_->tls() ? std::string_view(connection_->tls()->identity()) : std::string_view()};
}

}  // namespace weir::proxy
