// Fields that say on whose behalf a request comes: they are the daemon's to write, and a client's word for them is
// worth nothing (security-rules C1).
#pragma once
#include <cstdint>
#include <string_view>

namespace weir {

enum class OwnField : uint8_t {
  none,
  forwarding,   // X-Forwarded-*, Forwarded, X-Request-Id, X-Remote-User: believed from trusted_proxies
  certificate,  // X-Client-Cert-*: the same, but where the listener asks for certificates itself
  address,      // X-Real-IP: believed from nobody; the daemon makes it of X-Forwarded-For
};

/// Of a name in any case. "_" counts as "-": to applications behind CGI or WSGI both are the same field.
OwnField own_field(std::string_view name);

}  // namespace weir
