// The power of two choices (Mitzenmacher 2001): draw two, take the cheaper. The worst load stays near log log n with
// two looks at shared state, and workers that see the same loads don't all run to the same backend.
#pragma once
#include "lb/balance/alias.hpp"
#include "lb/balance/eligible.hpp"

namespace weir::balance {

/// `cost(candidate)` is anything comparable; the first drawn wins a tie.
template <class Cost>
uint32_t pick_of_two(const AliasTable& table, PickContext& context, Cost cost) {
  const auto candidates = table.candidates();
  const auto size = static_cast<uint32_t>(candidates.size());
  if (size == 0) return kNone;
  constexpr int kDraws = 8;
  uint32_t first = kNone;
  for (int attempt = 0; attempt < kDraws && first == kNone; ++attempt) {
    const uint32_t drawn = table.draw(context.rng);
    if (eligible(candidates, drawn, context.tried)) first = drawn;
  }
  if (first == kNone) first = pick_among_eligible(candidates, context);
  if (first == kNone || size == 1) return first;
  for (int attempt = 0; attempt < kDraws; ++attempt) {
    // Where one weight dwarfs the others, drawing may give the same again and again: then any other will do.
    const uint32_t drawn =
        attempt < kDraws / 2 ? table.draw(context.rng) : (first + 1 + context.rng.below(size - 1)) % size;
    if (drawn == first || !eligible(candidates, drawn, context.tried)) continue;
    return cost(candidates[drawn]) < cost(candidates[first]) ? drawn : first;
  }
  return first;
}

}  // namespace weir::balance
