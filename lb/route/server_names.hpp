// Which pool for which server name (SNI): exact names, and wildcards that stand for any number of labels, as the hosts
// of routes do. Pure.
#pragma once
#include <string_view>

#include "lb/route/text_table.hpp"

namespace weir::route {

class ServerNames {
 public:
  static constexpr uint32_t kNone = TextTable::kNone;

  /// `name`: in lower case, "www.example.com" or "*.example.com". Each once.
  void add(std::string_view name, uint32_t value);
  /// `name` in lower case. An exact name goes before a wildcard, a longer wildcard before a shorter one.
  uint32_t find(std::string_view name) const;
  bool empty() const { return names_.empty(); }

 private:
  TextTable names_;
};

}  // namespace weir::route
