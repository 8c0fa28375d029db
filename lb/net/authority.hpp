// HOST or HOST:PORT, as a Host field and its relatives have it.
#pragma once
#include <string_view>

#include "lb/net/http1.hpp"

namespace weir::http1 {

/// RFC 3986 §3.2.2 without userinfo: reg-name, IPv4 or [IPv6], and an optional port; never empty. `value`: of a field
/// of `head`.
bool is_authority(const Head& head, std::string_view value);

}  // namespace weir::http1
