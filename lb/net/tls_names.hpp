// Which certificate for which name: exact names, and wildcards that stand for one label (RFC 6125 §6.4.3). Pure.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace weir::net {

class TlsNames {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  /// `name`: "example.com", "*.example.com" or an address. The first one to have a name keeps it: else false.
  bool add(std::string_view name, uint32_t certificate);
  /// `host`: without port, in any case, perhaps with a dot at the end. An exact name goes before a wildcard.
  uint32_t find(std::string_view host) const;
  /// Does `name` of a certificate stand for `host`?
  static bool covers(std::string_view name, std::string_view host);

 private:
  std::unordered_map<std::string, uint32_t> exact_, wildcard_;  // wildcard_: by what follows "*."
};

}  // namespace weir::net
