#include "lb/route/query.hpp"

#include "lb/route/hex.hpp"

namespace weir::route {

namespace {

/// Takes the first byte off what is left, which is not empty.
char take_decoded(std::string_view& raw) {
  const char c = raw[0];
  const bool escape = c == '%' && raw.size() > 2 && hex_value(raw[1]) >= 0 && hex_value(raw[2]) >= 0;
  const char decoded = escape ? static_cast<char>(hex_value(raw[1]) * 16 + hex_value(raw[2])) : c == '+' ? ' ' : c;
  raw.remove_prefix(escape ? 3 : 1);
  return decoded;
}

}  // namespace

bool decoded_equals(std::string_view raw, std::string_view wanted) {
  if (raw.size() < wanted.size()) return false;
  for (const char expected : wanted)
    if (raw.empty() || take_decoded(raw) != expected) return false;
  return raw.empty();
}

std::string_view decode(std::string_view raw, std::span<char> room) {
  if (raw.size() > room.size()) return raw;
  size_t size = 0;
  while (!raw.empty()) room[size++] = take_decoded(raw);
  return {room.data(), size};
}

}  // namespace weir::route
