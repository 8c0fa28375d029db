// random: each pick is an independent draw in proportion to the weights.
#include "lb/balance/algorithms.hpp"
#include "lb/balance/alias.hpp"
#include "lb/balance/eligible.hpp"

namespace weir::balance {
namespace {

class RandomPicker final : public Picker {
 public:
  void adopt(std::shared_ptr<const Table> table, Rng&) override {
    table_ = std::static_pointer_cast<const AliasTable>(std::move(table));
  }

  uint32_t pick(PickContext& context) override {
    const auto candidates = table_->candidates();
    if (candidates.empty()) return kNone;
    for (int attempt = 0; attempt < kDraws; ++attempt) {
      const uint32_t drawn = table_->draw(context.rng);
      if (eligible(candidates, drawn, context.tried)) return drawn;
    }
    return pick_among_eligible(candidates, context);
  }

 private:
  static constexpr int kDraws = 8;
  std::shared_ptr<const AliasTable> table_;
};

}  // namespace

Algorithm random() {
  return {"random", build_alias_table, []() -> std::unique_ptr<Picker> { return std::make_unique<RandomPicker>(); }};
}

}  // namespace weir::balance
