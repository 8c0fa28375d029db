#include "lb/balance/alias.hpp"

namespace weir::balance {

AliasTable::AliasTable(std::vector<Candidate> given, const Options& options) : Table(std::move(given), options) {
  const auto all = candidates();
  const uint64_t n = all.size();
  uint64_t total = 0;
  for (const auto& candidate : all) total += candidate.weight;
  // In whole numbers: a slot holds `total`, candidate i brings weight × n. weight < 2^32 and n ≤ 2^31 can't overflow.
  std::vector<uint64_t> left(n);
  std::vector<uint32_t> small, large;
  slots_.resize(n);
  for (uint32_t i = 0; i < n; ++i) {
    slots_[i] = {~uint32_t{0}, i};
    left[i] = uint64_t{all[i].weight} * n;
    (left[i] < total ? small : large).push_back(i);
  }
  while (!small.empty() && !large.empty()) {
    const uint32_t poor = small.back(), rich = large.back();
    small.pop_back();
    const double share = static_cast<double>(left[poor]) / static_cast<double>(total) * 0x1p32;
    slots_[poor] = {share < 0xffffffff ? static_cast<uint32_t>(share) : 0xffffffff, rich};
    left[rich] -= total - left[poor];
    if (left[rich] < total) {
      large.pop_back();
      small.push_back(rich);
    }
  }
}

std::shared_ptr<const Table> build_alias_table(std::vector<Candidate> candidates, const Options& options) {
  return std::make_shared<AliasTable>(std::move(candidates), options);
}

}  // namespace weir::balance
