#include "lb/admin/access.hpp"

#include <algorithm>
#include <array>

#include "lb/admin/sessions.hpp"
#include "lb/base/endpoint.hpp"

namespace weir::admin {
namespace {

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

bool own_origin(std::string_view origin, std::string_view host) {
  constexpr std::string_view kScheme = "http://";
  return origin.starts_with(kScheme) && equal_ignoring_case(origin.substr(kScheme.size()), host);
}

bool only_reads(std::string_view method) { return method == "GET" || method == "HEAD"; }

}  // namespace

bool bears(std::string_view authorization, std::string_view token) {
  constexpr std::string_view kScheme = "Bearer ";
  if (token.empty() || authorization.size() < kScheme.size() ||
      !equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme))
    return false;
  const std::string_view given = authorization.substr(kScheme.size());
  return equal_in_constant_time(given, token);
}

std::optional<Refusal> judge(const Entrance& entrance, const Credentials& credentials, std::string_view token) {
  if (entrance.check_host && !credentials.host.empty()) {
    const std::string_view name = without_port(credentials.host);
    const bool known = is_local_name(name) || AddressBlock::parse_address(name) ||
                       (!name.empty() && equal_ignoring_case(name, entrance.host));
    if (!known)
      return Refusal{AdminRefusal::host, 403,
                     "The Host must be an IP address or localhost: this guards against DNS rebinding."};
  }
  if (!credentials.origin.empty() && !own_origin(credentials.origin, credentials.host))
    return Refusal{AdminRefusal::origin, 403, "Requests of other sites' pages are refused."};
  if (entrance.reach == Reach::local_socket || entrance.surface == Surface::metrics_only) return {};
  const bool reads = only_reads(credentials.method);
  if (reads && (entrance.reach == Reach::loopback || credentials.public_file)) return {};
  if (token.empty())
    return Refusal{AdminRefusal::token, 403,
                   "Changes over TCP need a token, and none is configured: write admin.token_file, or use the unix "
                   "socket (admin.socket)."};
  if (credentials.session && (reads || !credentials.origin.empty())) return {};
  if (!bears(credentials.authorization, token))
    return Refusal{AdminRefusal::token, 401,
                   "This needs \"Authorization: Bearer TOKEN\", the token of admin.token_file."};
  return {};
}

}  // namespace weir::admin
