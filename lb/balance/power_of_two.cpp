// power_of_two: two draws in proportion to the weights, the one with the lower (load + 1) / weight is taken.
#include "lb/balance/algorithms.hpp"
#include "lb/balance/two_choices.hpp"

namespace weir::balance {
namespace {

class PowerOfTwoPicker final : public Picker {
 public:
  void adopt(std::shared_ptr<const Table> table, Rng&) override {
    table_ = std::static_pointer_cast<const AliasTable>(std::move(table));
  }

  uint32_t pick(PickContext& context) override {
    return pick_of_two(*table_, context, [](const Candidate& candidate) {
      return (static_cast<double>(candidate.load()) + 1) / candidate.weight;
    });
  }

 private:
  std::shared_ptr<const AliasTable> table_;
};

}  // namespace

Algorithm power_of_two() {
  return {"power_of_two", build_alias_table,
          []() -> std::unique_ptr<Picker> { return std::make_unique<PowerOfTwoPicker>(); }};
}

}  // namespace weir::balance
