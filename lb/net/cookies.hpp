// The pairs of a Cookie field, as RFC 6265 §5.4 sends them; what a client sends otherwise is taken as it comes.
#pragma once
#include <algorithm>
#include <string_view>

#include "lb/net/http1.hpp"

namespace weir::http1 {

/// Calls `each(piece)` for what stands between the semicolons, blanks and all, until it returns false.
template <typename Each>
void for_each_cookie(std::string_view field, Each each) {
  while (!field.empty()) {
    const size_t end = std::min(field.find(';'), field.size());
    if (!each(field.substr(0, end))) return;
    field.remove_prefix(std::min(end + 1, field.size()));
  }
}

/// Is the piece a cookie of that name? The case counts. Sets `value` then; it may be empty.
inline bool is_cookie(std::string_view piece, std::string_view name, std::string_view& value) {
  piece = trim(piece);
  if (piece.size() <= name.size() || piece[name.size()] != '=' || !piece.starts_with(name)) return false;
  value = piece.substr(name.size() + 1);
  return true;
}

}  // namespace weir::http1
