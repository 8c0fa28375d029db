// What every algorithm needs when its own choice is not allowed.
#pragma once
#include "lb/balance/policy.hpp"

namespace weir::balance {

/// May candidate `index` be chosen now: neither tried by this request nor at its limit?
inline bool eligible(std::span<const Candidate> candidates, uint32_t index, std::span<const uint32_t> tried) {
  for (const uint32_t other : tried)
    if (other == index) return false;
  return !candidates[index].full();
}

/// A weighted random choice among the eligible, kNone if there are none. O(n): the way out when the cheap draws of an
/// algorithm hit only candidates that are tried or full.
uint32_t pick_among_eligible(std::span<const Candidate> candidates, PickContext& context);

/// Is (load_a + 1) / weight_a less than (load_b + 1) / weight_b? Exact, without a division.
inline bool less_loaded(uint32_t load_a, uint32_t weight_a, uint32_t load_b, uint32_t weight_b) {
  return (uint64_t{load_a} + 1) * weight_b < (uint64_t{load_b} + 1) * weight_a;
}

}  // namespace weir::balance
