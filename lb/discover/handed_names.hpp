// What is known of names, as lines that one process hands to the next in an upgrade (docs/adr/0005). Pure. The reader
// may be of another version: it passes over fields behind those that it knows, and over lines that it can't make out.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "lb/discover/names.hpp"
#include "lb/net/handover.hpp"

namespace weir::discover {

/// Bytes of all lines together; what is beyond is left out, and asked for anew by the reader.
inline constexpr size_t kMostHanded = 8 << 20;

struct NameLines {
  net::Lines lines;  // name, type, state, good_at, since, next (ns of CLOCK_MONOTONIC), failures, reason, record …
  size_t left_out = 0;
};
NameLines lines_of(const std::map<Question, Entry>& entries, size_t most = kMostHanded);

struct HandedNames {
  std::map<Question, Entry> entries;
  size_t wrong = 0;       // lines
  std::string first_why;  // what is wrong with the first of them
};
/// `now`: no answer and no state can be younger.
HandedNames handed_names(const net::Lines& lines, TimePoint now);

}  // namespace weir::discover
