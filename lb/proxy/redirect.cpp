#include "lb/proxy/redirect.hpp"

namespace weir::proxy {

namespace {

/// "example.com:8080" → "example.com", "[::1]:8080" → "[::1]".
std::string_view without_port(std::string_view host) {
  const size_t colon = host.rfind(':'), bracket = host.rfind(']');
  const bool has_port = colon != host.npos && (bracket == host.npos || colon > bracket);
  return has_port ? host.substr(0, colon) : host;
}

}  // namespace

std::string redirect_location(const config::Redirect& redirect, std::string_view request_scheme, std::string_view host,
                              std::string_view path, std::optional<std::string_view> query) {
  const std::string_view scheme = redirect.scheme.empty() ? request_scheme : std::string_view(redirect.scheme);
  if (!redirect.host.empty())
    host = redirect.host;
  else if (scheme != request_scheme)
    host = without_port(host);
  if (!redirect.path.empty()) path = redirect.path;
  const bool own_query = redirect.path.find('?') != std::string::npos;
  if (own_query && path.ends_with('?')) path.remove_suffix(1);
  std::string location;
  location.reserve(scheme.size() + host.size() + path.size() + (query ? query->size() : 0) + 4);
  location.append(scheme).append("://").append(host).append(path);
  if (query && !own_query) location.append("?").append(*query);
  return location;
}

std::optional<std::string> redirect_location(const config::Redirect& redirect, const http1::RequestHead& head,
                                             const http1::NormalizedPath& path, bool tls, std::string_view host) {
  if (redirect.host.empty() && host.empty()) return {};
  const auto query = head.has_query ? std::optional(head.query_view()) : std::nullopt;
  // The forwarded form has no byte that could end a header line; a leading "//" is no authority behind one.
  return redirect_location(redirect, tls ? "https" : "http", host, path.forwarded, query);
}

}  // namespace weir::proxy
