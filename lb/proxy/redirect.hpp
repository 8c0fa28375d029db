// Where a route's `redirect` sends the client. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "config/model.hpp"

namespace weir::proxy {

/// The Location (RFC 9110 §10.2.2), always an absolute URL. What `redirect` doesn't name stays as in the request:
/// `host` as received, `path` in the form that is forwarded, `query` without its "?". A port in `host` goes when the
/// scheme changes, for it belongs to the old one. The query stays unless the new path brings its own; one that ends
/// with "?" brings an empty one.
std::string redirect_location(const config::Redirect& redirect, std::string_view request_scheme, std::string_view host,
                              std::string_view path, std::optional<std::string_view> query);

}  // namespace weir::proxy
