// What is known of names, and which backends serve, as lines that one process hands to the next in an upgrade
// (lb/net/handed_lines.hpp, docs/adr/0005). Pure.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "lb/discover/names.hpp"
#include "lb/net/handed_lines.hpp"

namespace weir::discover {

/// Bytes of all lines together; what is beyond is left out, and asked for anew by the reader.
inline constexpr size_t kMostHanded = 8 << 20, kMostServing = 2 << 20;

using net::Handed, net::SomeLines;

/// Fields: name, type, state, good_at, since, next (ns of CLOCK_MONOTONIC), failures, reason, record …
SomeLines lines_of(const std::map<Question, Entry>& entries, size_t most = kMostHanded);

/// `now`: no answer and no state can be younger.
Handed<std::map<Question, Entry>> handed_names(const net::Lines& lines, TimePoint now);

/// The backends of pools as they serve. Fields: pool, name, address, authority, weight, words (discovered, backup,
/// tls).
SomeLines lines_of(const std::vector<const config::Pool*>& serving, size_t most = kMostServing);
/// By name, with their backends alone: what expand() takes as `before`.
Handed<std::map<std::string, config::Pool>> handed_pools(const net::Lines& lines);

}  // namespace weir::discover
