// After 101: bytes both ways until both sides have ended (RFC 9110 §7.8).
#include <algorithm>

#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/upstream.hpp"

namespace weir::proxy {

using http1::FieldId;

namespace {

/// Does the answer name a protocol, and none that the request has not named? All lines count: all are passed on.
bool protocol_matches(const http1::ResponseHead& response, const http1::RequestHead& request) {
  if (!response.has(FieldId::upgrade)) return false;
  const auto fields = response.all();
  return std::all_of(fields.begin(), fields.end(), [&](const http1::Field& field) {
    const std::string_view protocol = response.value(field);
    return field.id != FieldId::upgrade ||
           (!protocol.empty() && http1::field_contains(request, FieldId::upgrade, protocol));
  });
}

/// By HTTP/2 the key is ours, and so is what it proves (RFC 8441 §5).
bool accepts_key(http1::ResponseHead& response, const http1::RequestHead& request) {
  std::string_view key, accept;
  for (const auto& field : request.all())
    if (http1::equals_ignore_case(request.name(field), "sec-websocket-key")) key = request.value(field);
  for (auto& field : response.all())
    if (http1::equals_ignore_case(response.name(field), "sec-websocket-accept")) {
      accept = response.value(field);
      field.drop = true;
    }
  const auto right = net::websocket_accept(key);
  return accept == std::string_view(right.data(), right.size());
}

}  // namespace

/// The backend has switched protocols: right only if the client asked for that one.
void Exchange::enter_tunnel(http1::ResponseHead& response, std::string_view rest) {
  if (!upgrade_ || !protocol_matches(response, head)) return bad_response(Cause::upstream_bad_response);
  if (head.minor == 2 && !accepts_key(response, head)) return bad_response(Cause::upstream_bad_response);
  websocket_ = http1::field_contains(head, FieldId::upgrade, "websocket");
  frames_ = {};
  note_response(response.status);
  status_ = response.status;
  upstream_reusable_ = false;
  head_sent_ = true;
  keep_alive_ = false;
  phase_ = Phase::tunnel;
  try_deadline_ = total_deadline_ = TimePoint::max();
  worker_.cells.tunnels_opened.add();
  HeadWriter writer(worker_.send_scratch.get(), Worker::kSendScratch);
  ResponseContext context;
  context.route = route_->config;
  context.date = worker_.http_date();
  context.upgrade = true;
  std::array<char, route::Affinity::kMostBytes> cookie;
  if (pool_->pool->affinity) give_affinity(context, cookie.data());
  if (client_tls_) note_tls(response, context);
  write_response_head(writer, response, context);
  iovec parts[2] = {{const_cast<char*>(writer.view().data()), writer.size()},
                    {const_cast<char*>(rest.data()), rest.size()}};
  bytes_sent_ += writer.size() + rest.size();
  if (downstream_->send(parts, rest.empty() ? 1 : 2) == Sent::failed) return on_downstream_failed(Cause::client_gone);
  if (websocket_) frames_.follow(rest);
  upstream_->head.release(worker_.buffers);
  arm_phase(route_->timeout.tunnel);
  downstream_->enter_tunnel();
  resume_downstream_later();
}

void Exchange::on_tunnel_data(std::string_view data) {
  const iovec bytes{const_cast<char*>(data.data()), data.size()};
  if (upstream_->send(&bytes, 1) == Sent::failed) return upstream_->look_for_end();
  arm_phase(route_->timeout.tunnel);
}

void Exchange::on_upstream_tunnel_data(std::string_view data) {
  const iovec bytes{const_cast<char*>(data.data()), data.size()};
  bytes_sent_ += data.size();
  if (websocket_) frames_.follow(data);
  if (downstream_->send(&bytes, 1) == Sent::failed) return on_downstream_failed(Cause::client_gone);
  arm_phase(route_->timeout.tunnel);
}

void Exchange::on_downstream_end() {
  downstream_end_ = true;
  upstream_->shutdown_send_after_flush();
  end_tunnel_if_done();
}

void Exchange::on_upstream_tunnel_end(bool reset) {
  if (reset) {
    cause_ = upstream_->failure == Cause::none ? Cause::upstream_reset : upstream_->failure;
    downstream_->reset();
    return end_tunnel();
  }
  upstream_end_ = true;
  downstream_->shutdown_send_after_flush();
  end_tunnel_if_done();
}

void Exchange::end_tunnel_if_done() {
  if (downstream_end_ && upstream_end_) end_tunnel();
}

void Exchange::tunnel_timed_out() {
  cause_ = Cause::tunnel_timeout;
  end_tunnel();
}

/// RFC 6455 §7.4.1, so that a browser knows to connect again, unless it would stand within another frame.
void Exchange::say_going_away() {
  if (!frames_.may_add()) return;
  const iovec bytes{const_cast<char*>(net::kGoingAway.data()), net::kGoingAway.size()};
  bytes_sent_ += bytes.iov_len;
  downstream_->send(&bytes, 1);
}

void Exchange::end_tunnel() {
  worker_.cells.tunnels_closed.add();
  release_upstream(false);
  finish();
}

}  // namespace weir::proxy
