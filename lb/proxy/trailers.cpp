// Fields after a body, both ways. To and from HTTP/1.1 they stand in the last chunk; streams of HTTP/2 take them apart
// from the body.
#include "lb/net/trailers.hpp"

#include <algorithm>
#include <cstring>

#include "lb/proxy/exchange.hpp"
#include "lb/proxy/parts.hpp"

namespace weir::proxy {

namespace {

bool named_by(const config::HeaderRules& rules, std::string_view name) {
  const auto is = [name](const std::string& one) { return http1::equals_ignore_case(one, name); };
  return std::any_of(rules.remove.begin(), rules.remove.end(), is) ||
         std::any_of(rules.set.begin(), rules.set.end(), [&](const auto& pair) { return is(pair.first); });
}

/// Moves the lines that may pass to the front, and returns them. What a route removes from heads, or sets there, does
/// not come back this way.
std::span<char> keep_allowed(std::span<char> lines, const config::HeaderRules& rules) {
  char* kept = lines.data();
  std::string_view rest{lines.data(), lines.size()};
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, std::min(rest.find("\r\n"), rest.size() - 2) + 2);
    rest.remove_prefix(line.size());
    const std::string_view name = line.substr(0, line.find(':'));
    if (!allowed_in_trailers(name) || named_by(rules, name)) continue;
    std::memmove(kept, line.data(), line.size());
    kept += line.size();
  }
  return {lines.data(), static_cast<size_t>(kept - lines.data())};
}

}  // namespace

void Exchange::on_request_trailers(std::span<char> lines) {
  static const config::HeaderRules kNone;
  const auto kept = keep_allowed(lines, kNone);
  request_trailers_.append(worker_.buffers, {kept.data(), kept.size()});
}

void Exchange::on_upstream_trailers(std::span<char> lines) {
  if (phase_ != Phase::responding) return;
  if (grpc_) note_grpc_status(grpc::find_line({lines.data(), lines.size()}, "grpc-status"));
  if (encoder_) return;  // a compressed answer loses them; they are valid no longer than this event
  response_trailers_ = keep_allowed(lines, route_->config->response_headers);
}

bool Exchange::chunks_request() const { return head.framing == http1::Framing::chunked && !upstream_->framed; }

/// To a stream: is there a body at all? `data`: what is here of it.
void Exchange::announce_body(std::string_view data) {
  const bool empty = body_complete_ && data.empty() && request_trailers_.empty();
  upstream_->body_follows = head.framing != http1::Framing::none && !empty;
}

/// To a stream: its end, if that is here.
void Exchange::end_request_body() {
  if (body_complete_ && upstream_->body_follows) upstream_->end_body(request_trailers_.view());
}

/// The end of a body that has none of its own, with the trailers; Sent as Downstream::send() says it.
Sent Exchange::send_response_end() {
  const std::span<char> trailers = std::exchange(response_trailers_, {});
  Parts parts;
  if (chunk_response_ && !trailers.empty() && http1::field_contains(head, http1::FieldId::te, "trailers")) {
    parts.add("0\r\n");
    parts.add({trailers.data(), trailers.size()});
    parts.add(Parts::kCrlf);
  } else {
    parts.add_body({}, true, chunk_response_);
  }
  auto sent = Sent::all;
  if (parts.count()) {
    bytes_sent_ += parts.bytes();
    sent = downstream_->send(parts.data(), parts.count());
  }
  if (sent != Sent::failed && !trailers.empty()) downstream_->send_trailers(trailers);
  return sent;
}

}  // namespace weir::proxy
