// Weighted sampling in constant time: the alias method (Walker 1977, in the form of Vose 1991).
#pragma once
#include "lb/balance/policy.hpp"

namespace weir::balance {

/// A table that can draw candidates in proportion to their weights. Shares are exact to 2^-32.
class AliasTable final : public Table {
 public:
  AliasTable(std::vector<Candidate> candidates, const Options& options);

  /// A candidate's index, drawn with probability weight / total; the table must not be empty. One random number, one
  /// cache line.
  uint32_t draw(Rng& rng) const {
    const uint64_t random = rng();
    const uint64_t slot = (random >> 32) * slots_.size() >> 32;
    const Slot& entry = slots_[slot];
    return static_cast<uint32_t>(random) < entry.keep ? static_cast<uint32_t>(slot) : entry.other;
  }

 private:
  struct Slot {
    uint32_t keep;   // the share of this slot, × 2^32, that belongs to the candidate of the same index
    uint32_t other;  // who has the rest
  };
  std::vector<Slot> slots_;
};

std::shared_ptr<const Table> build_alias_table(std::vector<Candidate> candidates, const Options& options);

}  // namespace weir::balance
