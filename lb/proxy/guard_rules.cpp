#include "lb/proxy/guard_rules.hpp"

#include <algorithm>
#include <array>

#include "lb/base/hash.hpp"
#include "lb/route/query.hpp"

namespace weir::proxy {

AddressVerdict judge_address(const Route& route, std::string_view client) {
  // Who is unknown may be whom `deny` means.
  if (route.deny && (client == kUnknownClient || route.deny->contains(client))) return AddressVerdict::denied;
  if (route.allow && !route.allow->contains(client)) return AddressVerdict::not_allowed;
  return AddressVerdict::passes;
}

uint64_t rate_bucket(std::string_view key, KeyValues::Spelling spelling) {
  std::array<char, http1::RequestRules{}.target_bytes> room;  // what is longer, in a Cookie, is taken as it stands
  if (spelling == KeyValues::Spelling::encoded && key.find_first_of("%+") != key.npos)
    return seeded_hash(route::decode(key, room));
  if (spelling == KeyValues::Spelling::host && key.size() <= room.size()) {
    if (key.ends_with('.')) key.remove_suffix(1);
    std::transform(key.begin(), key.end(), room.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    return seeded_hash({room.data(), key.size()});
  }
  return seeded_hash(key);
}

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
