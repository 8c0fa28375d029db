#include "lb/admin/api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lb/base/endpoint.hpp"
#include "lb/base/escape.hpp"

namespace weir::admin {
namespace {

constexpr std::string_view kIndex = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Weir admin</title></head><body>
<h1>Weir )" WEIR_VERSION R"(</h1>
<ul>
<li><a href="/metrics">/metrics</a> Prometheus metrics</li>
<li><a href="/-/healthy">/-/healthy</a> 200 while the process runs</li>
<li><a href="/-/ready">/-/ready</a> 200 when it takes traffic, else 503 with the reason</li>
<li><a href="/api/v1/pools">/api/v1/pools</a> pools and backends, as JSON</li>
<li><a href="/api/v1/causes">/api/v1/causes</a> the causes of errors, as JSON</li>
</ul>
</body></html>
)";

std::string_view title(uint16_t status) {
  switch (status) {
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    default: return "Error";
  }
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

/// "localhost:9901" → "localhost", "[::1]:9901" → "::1"; empty for what is no host with an optional port.
std::string_view without_port(std::string_view authority) {
  const bool v6 = authority.starts_with('[');
  const size_t bracket = authority.find(']');
  if (v6 && bracket == authority.npos) return {};
  const size_t end = v6 ? bracket + 1 : std::min(authority.find(':'), authority.size());
  const std::string_view port = authority.substr(end);
  if (!port.empty() && (port[0] != ':' || port.find_first_not_of("0123456789", 1) != port.npos)) return {};
  return v6 ? authority.substr(1, bracket - 1) : authority.substr(0, end);
}

bool is_local_name(std::string_view host) {
  constexpr std::array<std::string_view, 3> kNames{"localhost", "ip6-localhost", "ip6-loopback"};
  // RFC 6761 §6.3: names under .localhost never leave the machine either, but a resolver that is older may ask DNS for
  // them.
  return std::any_of(kNames.begin(), kNames.end(), [&](auto name) { return equal_ignoring_case(host, name); });
}

}  // namespace

std::string_view refuse(std::string_view host, std::string_view origin, std::string_view bound_host, bool check_host) {
  if (check_host && !host.empty()) {
    const std::string_view name = without_port(host);
    const bool known = is_local_name(name) || AddressBlock::parse_address(name) ||
                       (!name.empty() && equal_ignoring_case(name, bound_host));
    if (!known) return "The Host must be an IP address or localhost: this guards against DNS rebinding.";
  }
  if (!origin.empty()) {
    constexpr std::string_view kScheme = "http://";
    if (!origin.starts_with(kScheme) || !equal_ignoring_case(origin.substr(kScheme.size()), host))
      return "Requests of other sites' pages are refused.";
  }
  return {};
}

Reply problem(uint16_t status, std::string_view detail) {
  std::string body =
      fmt::format(R"({{"type":"about:blank","title":"{}","status":{},"detail":")", title(status), status);
  append_escaped(detail, EscapeStyle::json, body);
  body += "\"}\n";
  return {status, "application/problem+json", std::move(body)};
}

Reply Api::ready() const {
  if (sources_.process.draining) return {503, "text/plain; charset=utf-8", "draining\n"};
  if (!sources_.process.ready) return {503, "text/plain; charset=utf-8", "first health checks pending\n"};
  return {200, "text/plain; charset=utf-8", "ready\n"};
}

Reply Api::answer(std::string_view method, std::string_view target, Surface surface) {
  using Handler = Reply (*)(Api&);
  struct Route {
    std::string_view path;
    bool with_metrics_only;
    Handler handle;
  };
  static constexpr std::array<Route, 6> kRoutes{{
      {"/metrics", true,
       [](Api& api) {
         return Reply{200, Exposition::kContentType, api.exposition_.text()};
       }},
      {"/-/healthy", true, [](Api&) { return Reply{.body = "ok\n"}; }},
      {"/-/ready", true, [](Api& api) { return api.ready(); }},
      {"/api/v1/pools", false,
       [](Api& api) {
         return Reply{200, "application/json", pools_json(*api.sources_.inventory(), api.sources_.process)};
       }},
      {"/api/v1/causes", false,
       [](Api&) {
         return Reply{200, "application/json", causes_json()};
       }},
      {"/", false,
       [](Api&) {
         return Reply{200, "text/html; charset=utf-8", std::string(kIndex)};
       }},
  }};
  const std::string_view path = target.substr(0, target.find('?'));
  const auto* found =
      std::find_if(kRoutes.begin(), kRoutes.end(), [&](const Route& route) { return route.path == path; });
  if (found == kRoutes.end() || (surface == Surface::metrics_only && !found->with_metrics_only))
    return problem(404, surface == Surface::metrics_only ? "This listener has /metrics, /-/healthy and /-/ready."
                                                         : "/ lists what there is.");
  if (method != "GET" && method != "HEAD") {
    Reply reply = problem(405, "Only GET and HEAD.");
    reply.allow = "GET, HEAD";
    return reply;
  }
  return found->handle(*this);
}

}  // namespace weir::admin
