// Where a route's `redirect` sends the client. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "config/model.hpp"
#include "lb/net/http1.hpp"

namespace weir::proxy {

/// The Location (RFC 9110 §10.2.2), always an absolute URL. What `redirect` doesn't name stays as in the request:
/// `host` as received, `path` in the form that is forwarded, `query` without its "?". A port in `host` goes when the
/// scheme changes, for it belongs to the old one. The query stays unless the new path brings its own; one that ends
/// with "?" brings an empty one.
std::string redirect_location(const config::Redirect& redirect, std::string_view request_scheme, std::string_view host,
                              std::string_view path, std::optional<std::string_view> query);
/// That of a request whose client asked by `tls` for `host`. Nothing: it needs the host, and the request names none
/// (HTTP/1.0, or an empty Host).
inline constexpr char kRedirectWithoutHost[] = "a redirect needs the host, and HTTP/1.0 without Host names none";
std::optional<std::string> redirect_location(const config::Redirect& redirect, const http1::RequestHead& head,
                                             const http1::NormalizedPath& path, bool tls, std::string_view host);

}  // namespace weir::proxy
