// What is known of backends' health, as lines that one process hands to the next in an upgrade
// (lb/net/handed_lines.hpp, docs/adr/0005). Pure.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "health/backend_health.hpp"
#include "lb/net/handed_lines.hpp"

namespace weir::health {

/// Bytes of all lines together; backends beyond it begin anew.
inline constexpr size_t kMostHanded = 8 << 20;

struct HandedHealth {
  std::string pool, backend, address;  // which must all be the same
  std::string checks;                  // checks_id() of its pool
  KnownHealth known;
  int64_t since_wall_ns = 0;  // how long it has been so, for people; 0: not known
};

/// Settings of checks by a short text: the same for the same ones, in every process. Another version may have another
/// one for the same.
std::string checks_id(const config::Health& health);

/// Fields: pool, backend, address, verdict, against, successes, checks_id, ejections in a row, ejected until, the last
/// ejection's end, slow start's beginning (ns of CLOCK_MONOTONIC, 0: never), since (ns of wall clock), words (ejected,
/// decides_alone, check_failed), reason.
net::SomeLines lines_of(const std::vector<HandedHealth>& backends, size_t most = kMostHanded);
/// `now`: nothing can have happened later.
net::Handed<std::vector<HandedHealth>> handed_health(const net::Lines& lines, TimePoint now);

}  // namespace weir::health
