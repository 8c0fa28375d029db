// What is known of names, and which backends serve, as lines that one process hands to the next in an upgrade
// (docs/adr/0005). Pure. The reader may be of another version: it passes over fields behind those that it knows, and
// over lines that it can't make out.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "lb/discover/names.hpp"
#include "lb/net/handover.hpp"

namespace weir::discover {

/// Bytes of all lines together; what is beyond is left out, and asked for anew by the reader.
inline constexpr size_t kMostHanded = 8 << 20, kMostServing = 2 << 20;

struct SomeLines {
  net::Lines lines;
  size_t left_out = 0;
};
/// Fields: name, type, state, good_at, since, next (ns of CLOCK_MONOTONIC), failures, reason, record …
SomeLines lines_of(const std::map<Question, Entry>& entries, size_t most = kMostHanded);

template <class Known>
struct Handed {
  Known known;
  size_t wrong = 0;       // lines
  std::string first_why;  // what is wrong with the first of them
};
/// `now`: no answer and no state can be younger.
Handed<std::map<Question, Entry>> handed_names(const net::Lines& lines, TimePoint now);

/// The backends of pools as they serve. Fields: pool, name, address, authority, weight, words (discovered, backup,
/// tls).
SomeLines lines_of(const std::vector<const config::Pool*>& serving, size_t most = kMostServing);
/// By name, with their backends alone: what expand() takes as `before`.
Handed<std::map<std::string, config::Pool>> handed_pools(const net::Lines& lines);

}  // namespace weir::discover
