#include "lb/route/server_names.hpp"

namespace weir::route {

namespace {
enum Owner : uint32_t { exact, wildcard };  // in the table; a wildcard stands there without its "*."
}

void ServerNames::add(std::string_view name, uint32_t value) {
  const bool any = name.starts_with("*.");
  names_.insert(any ? wildcard : exact, any ? name.substr(2) : name, value);
}

uint32_t ServerNames::find(std::string_view name) const {
  if (name.empty() || names_.empty()) return kNone;
  if (const uint32_t found = names_.find(exact, name); found != kNone) return found;
  for (size_t dot = name.find('.'); dot != name.npos; dot = name.find('.', dot + 1))
    if (const uint32_t found = names_.find(wildcard, name.substr(dot + 1)); found != kNone) return found;
  return kNone;
}

}  // namespace weir::route
