// What a trusted proxy says of how its client asked it: what Weir makes itself (redirects, cookies, HSTS) goes by that.
#pragma once
#include <string_view>

#include "lb/net/http1.hpp"

namespace weir::proxy {

/// Did the client come by TLS? `tls`: the connection to us has it. A trusted peer's X-Forwarded-Proto overrules that if
/// it is one line with `http` or `https`.
bool client_used_tls(const http1::RequestHead& head, bool trusted, bool tls);

/// Which host the client asked for, perhaps with a port: a trusted peer's X-Forwarded-Host if it is one line that could
/// be a Host, else Host. Empty: none. It points into `head`.
std::string_view client_asked_host(const http1::RequestHead& head, bool trusted);

}  // namespace weir::proxy
