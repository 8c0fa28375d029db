#include "lb/balance/eligible.hpp"

namespace weir::balance {

uint32_t pick_among_eligible(std::span<const Candidate> candidates, PickContext& context) {
  // One pass, as a reservoir of one: loads move while we look, so what was eligible in a first pass might not be in a
  // second.
  uint32_t chosen = kNone;
  uint64_t total = 0;
  for (uint32_t i = 0; i < candidates.size(); ++i) {
    if (!eligible(candidates, i, context.tried)) continue;
    total += candidates[i].weight;
    if (context.rng.unit() * static_cast<double>(total) < static_cast<double>(candidates[i].weight)) chosen = i;
  }
  return chosen;
}

}  // namespace weir::balance
