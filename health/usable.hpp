// Which backends of a pool take requests now, and with what weight: a pure function of the configuration and the
// published states.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "config/model.hpp"
#include "lb/base/state.hpp"

namespace weir::health {

struct BackendView {
  BackendStatus status = BackendStatus::unknown;
  uint32_t weight_permille = 1000;
};

struct Usable {
  struct Entry {
    uint32_t backend;  // index in the pool
    uint32_t weight;   // configured weight × weight_permille, > 0
  };
  std::vector<Entry> entries;
  bool panic = false;    // too few were usable: all serve
  bool backups = false;  // no primary was usable: the backups serve
};

/// Primaries that are up or unknown; if there are none, backups that are; if the usable share of the primaries is below
/// panic_percent, or nothing at all is usable, everyone with a weight (panic; those ejected passively before those
/// whose checks fail: techniques §3). What the operator has taken out takes part in nothing of this, not even in panic.
Usable usable_backends(const config::Pool& pool, std::span<const BackendView> states);

}  // namespace weir::health
