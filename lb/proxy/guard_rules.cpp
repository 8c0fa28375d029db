#include "lb/proxy/guard_rules.hpp"

#include "lb/base/hash.hpp"
#include "lb/proxy/request_facts.hpp"

namespace weir::proxy {

AddressVerdict judge_address(const Route& route, std::string_view client) {
  // Who is unknown may be whom `deny` means.
  if (route.deny && (client == kUnknownClient || route.deny->contains(client))) return AddressVerdict::denied;
  if (route.allow && !route.allow->contains(client)) return AddressVerdict::not_allowed;
  return AddressVerdict::passes;
}

uint64_t rate_bucket(std::string_view key) { return seeded_hash(key); }

Login read_login(const http1::RequestHead& head, std::span<char, http1::kMaxCredentials> room,
                 http1::BasicCredentials& out) {
  std::string_view value;
  size_t count = 0;
  for (const auto& field : head.all()) {
    if (field.id != http1::FieldId::authorization) continue;
    value = head.value(field);
    ++count;
  }
  if (count == 0 || !http1::is_basic(value)) return Login::missing;
  return count == 1 && http1::parse_basic(value, room, out) ? Login::given : Login::wrong;
}

}  // namespace weir::proxy
