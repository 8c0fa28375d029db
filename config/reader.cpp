#include "config/reader.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace weir::config {

void Reader::add(std::vector<Finding>& list, Place at, std::string_view message) {
  if (list.size() >= kMaxProblems) return;
  const std::string where = trail.text();
  list.push_back({at, where.empty() ? std::string(message) : fmt::format("{}: {}", where, message)});
}

bool Reader::check_name(Place at, const std::string& name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
  };
  if (!name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), allowed)) return true;
  error(at, fmt::format("\"{}\" can't be a name; write 1 to 64 of A-Z a-z 0-9 _ . -", name.substr(0, 64)));
  return false;
}

}  // namespace weir::config
