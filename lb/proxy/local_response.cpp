// Answers of the proxy's own: errors, redirects, fixed responses.
#include <fmt/format.h>

#include <algorithm>

#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/forwarded.hpp"
#include "lb/proxy/head_writer.hpp"
#include "lb/proxy/redirect.hpp"
#include "lb/proxy/upstream.hpp"

namespace weir::proxy {

using http1::FieldId;

namespace {

constexpr unsigned kRetryAfterSeconds = 1;

/// The weight of a media range in Accept (RFC 9110 §12.4.2), in thousandths.
int weight_of(std::string_view range) {
  const size_t at = range.find("q=");
  if (at == std::string_view::npos) return 1000;
  int weight = 0, unit = 1000;
  for (const char c : range.substr(at + 2, 5)) {
    if (c == '.') continue;
    if (c < '0' || c > '9') break;
    weight += (c - '0') * unit;
    unit /= 10;
  }
  return weight;
}

/// Does the client like JSON better than HTML? The earlier of two equal ones wins.
bool wants_json(const http1::RequestHead& head) {
  std::string_view accept = head.find(FieldId::accept);
  int html = 0, json = 0;
  bool json_first = false;
  while (!accept.empty()) {
    const std::string_view range = accept.substr(0, accept.find(','));
    accept.remove_prefix(std::min(range.size() + 1, accept.size()));
    const std::string_view type = range.substr(0, range.find(';'));
    if (type.find("json") != std::string_view::npos) {
      json = std::max(json, weight_of(range));
      json_first = json_first || html == 0;
    } else if (type.find("text/html") != std::string_view::npos) {
      html = std::max(html, weight_of(range));
    }
  }
  return json > html || (json > 0 && json == html && json_first);
}

std::string error_body(const CauseInfo& cause, uint16_t status, std::string_view detail, std::string_view request_id,
                       bool json) {
  const auto reason = reason_phrase(status);
  if (json)
    return fmt::format(
               R"({{"type":"about:blank","title":"{}","status":{},"cause":"{}","detail":"{}","request_id":"{}"}})",
               reason, status, cause.name, detail.empty() ? cause.help : detail, request_id) +
           "\n";
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0} {1}</title>\n"
      "<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;color:#222}}"
      "small{{color:#666}}@media(prefers-color-scheme:dark){{body{{background:#181a1b;color:#ddd}}}}</style></head>\n"
      "<body><h1>{0} {1}</h1><p>{2}</p><p><small>{3} · request {4}</small></p></body></html>\n",
      status, reason, detail.empty() ? cause.help : detail, cause.name, request_id);
}

bool safe_for_header(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.' || c == '+' || c == '=' || c == '/' || c == ':';
}

/// A request id goes into pages and headers of ours: from a trusted peer, but not necessarily one of good manners.
std::string_view presentable(std::string_view id) {
  for (const char c : id)
    if (!safe_for_header(c)) return "-";
  return id;
}

}  // namespace

void Exchange::answer_error(Cause why, const char* detail, std::string_view extra_fields) {
  cause_ = why;
  detail_ = detail;
  const CauseInfo& cause = info(why);
  const std::string_view id = presentable(request_id_);
  if (is_grpc()) [[unlikely]]
    return answer_grpc_error(grpc::status_of(why), *detail ? std::string_view(detail) : cause.help,
                             id.empty() ? std::string() : fmt::format("X-Request-Id: {}\r\n", id));
  const bool json = wants_json(head);
  const auto& pages = runtime_->config().error_pages;
  const auto page = pages.find(cause.status);
  const std::string body =
      page != pages.end() && !json ? page->second : error_body(cause, cause.status, detail, id, json);
  std::string fields = "Cache-Control: no-store\r\n";
  if (!cause.proxy_status.empty()) {
    fields += fmt::format("Proxy-Status: weir; error={}; details=\"{}\"", cause.proxy_status, cause.name);
    if (runtime_->config().http.expose && set_) fields += fmt::format("; next-hop=\"{}\"", set_->backend->name);
    fields += "\r\n";
  }
  if (cause.status == 503) fields += fmt::format("Retry-After: {}\r\n", kRetryAfterSeconds);
  if (cause.status == 405) fields += "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n";
  fields += extra_fields;
  if (!id.empty()) fields += fmt::format("X-Request-Id: {}\r\n", id);
  answer_local(cause.status, json ? "application/problem+json" : "text/html; charset=utf-8", body, fields);
}

void Exchange::answer_redirect() {
  cause_ = Cause::redirect;
  const auto& redirect = *route_->config->redirect;
  const auto location = redirect_location(redirect, head, path_, client_tls_, client_asked_host(head, trusted_peer_));
  if (!location) return answer_error(Cause::bad_request, kRedirectWithoutHost);
  answer_local(redirect.status, "text/plain; charset=utf-8", "", fmt::format("Location: {}\r\n", *location));
}

void Exchange::answer_fixed() {
  cause_ = Cause::fixed_response;
  const auto& respond = *route_->config->respond;
  answer_local(respond.status, respond.content_type, respond.body, "");
}

/// `extra_fields`: whole lines. The body is left out for HEAD and 204/304.
void Exchange::answer_local(uint16_t status, std::string_view content_type, std::string_view body,
                            std::string_view extra_fields) {
  release_places();
  status_ = status;
  head_sent_ = true;
  phase_ = Phase::finishing;
  cancel();
  keep_alive_ = keep_alive_ && head.keep_alive && downstream_->body_complete() && !worker_.draining;
  const bool bodyless = status == 204 || status == 304;
  std::string fields = fmt::format("Date: {}\r\n", worker_.http_date());
  fields += extra_fields;
  if (client_tls_) fields += connection_->listener().hsts;
  if (!bodyless && !body.empty() && !content_type.empty()) fields += fmt::format("Content-Type: {}\r\n", content_type);
  if (route_ && !route_->config->response_headers.empty())
    fields = with_rules(fields, route_->config->response_headers);
  std::string answer = fmt::format("HTTP/1.1 {} {}\r\n{}", status, reason_phrase(status), fields);
  if (!bodyless) answer += fmt::format("Content-Length: {}\r\n", body.size());
  if (!keep_alive_)
    answer += "Connection: close\r\n";
  else if (head.minor == 0)
    answer += "Connection: keep-alive\r\n";
  answer += "\r\n";
  if (!bodyless && head.method != http1::Method::HEAD) answer += body;
  const iovec bytes{answer.data(), answer.size()};
  bytes_sent_ += answer.size();
  if (downstream_->send(&bytes, 1) == Sent::failed) return on_downstream_failed(Cause::client_gone);
  if (!downstream_->blocked()) finish();
}

}  // namespace weir::proxy
