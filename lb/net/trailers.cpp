#include "lb/net/trailers.hpp"

#include <algorithm>
#include <array>

#include "lb/base/own_fields.hpp"
#include "lb/net/http1.hpp"

namespace weir {

namespace {

using http1::FieldId;

constexpr uint64_t bit(FieldId id) { return uint64_t{1} << static_cast<unsigned>(id); }

constexpr uint64_t kOfHeadsAlone =
    bit(FieldId::authorization) | bit(FieldId::connection) | bit(FieldId::content_length) | bit(FieldId::content_type) |
    bit(FieldId::cookie) | bit(FieldId::date) | bit(FieldId::expect) | bit(FieldId::forwarded) | bit(FieldId::host) |
    bit(FieldId::http2_settings) | bit(FieldId::keep_alive) | bit(FieldId::location) | bit(FieldId::max_forwards) |
    bit(FieldId::proxy) | bit(FieldId::proxy_authenticate) | bit(FieldId::proxy_authorization) |
    bit(FieldId::proxy_connection) | bit(FieldId::retry_after) | bit(FieldId::set_cookie) | bit(FieldId::te) |
    bit(FieldId::trailer) | bit(FieldId::transfer_encoding) | bit(FieldId::upgrade) | bit(FieldId::via) |
    bit(FieldId::x_forwarded_for) | bit(FieldId::x_forwarded_host) | bit(FieldId::x_forwarded_port) |
    bit(FieldId::x_forwarded_proto) | bit(FieldId::x_real_ip) | bit(FieldId::x_request_id) | bit(FieldId::traceparent) |
    bit(FieldId::tracestate);

constexpr std::array<std::string_view, 17> kOthers{"age",
                                                   "cache-control",
                                                   "content-encoding",
                                                   "content-range",
                                                   "expires",
                                                   "if-match",
                                                   "if-modified-since",
                                                   "if-none-match",
                                                   "if-range",
                                                   "if-unmodified-since",
                                                   "pragma",
                                                   "range",
                                                   "strict-transport-security",
                                                   "vary",
                                                   "warning",
                                                   "www-authenticate",
                                                   "authentication-info"};

}  // namespace

bool allowed_in_trailers(std::string_view name) {
  const FieldId id = http1::field_id(name);
  if (id != FieldId::other) return (kOfHeadsAlone & bit(id)) == 0;
  const auto is = [name](std::string_view one) { return http1::equals_ignore_case(name, one); };
  return own_field(name) == OwnField::none && std::none_of(kOthers.begin(), kOthers.end(), is);
}

}  // namespace weir
