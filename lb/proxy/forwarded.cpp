#include "lb/proxy/forwarded.hpp"

#include "lb/net/authority.hpp"

namespace weir::proxy {

using http1::FieldId;

namespace {

/// Of a field that stands there once. What comes twice has been through hands that don't agree.
std::string_view only_value(const http1::RequestHead& head, FieldId id) {
  std::string_view value;
  if (!head.has(id)) return value;
  for (const auto& field : head.all()) {
    if (field.id != id) continue;
    if (!value.empty()) return {};
    value = head.value(field);
  }
  return value;
}

}  // namespace

bool client_used_tls(const http1::RequestHead& head, bool trusted, bool tls) {
  if (!trusted) return tls;
  const std::string_view proto = only_value(head, FieldId::x_forwarded_proto);
  if (http1::equals_ignore_case(proto, "https")) return true;
  return http1::equals_ignore_case(proto, "http") ? false : tls;
}

std::string_view client_asked_host(const http1::RequestHead& head, bool trusted) {
  if (trusted)
    if (const auto host = only_value(head, FieldId::x_forwarded_host); http1::is_authority(head, host)) return host;
  return head.host();
}

}  // namespace weir::proxy
