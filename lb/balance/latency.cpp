// latency: two draws in proportion to the weights, the one with the lower latency × (load + 1) / weight is taken.
// Passive: it learns from the requests themselves.
#include "lb/balance/latency.hpp"

#include "lb/balance/algorithms.hpp"
#include "lb/balance/two_choices.hpp"

namespace weir::balance {
namespace {

/// A backend without a measurement is tried at once, but by one request: while that one is under way it counts as this
/// slow.
constexpr double kUnseenMicroseconds = 1'000'000;

double cost(const Candidate& candidate, TimePoint now) {
  const uint32_t load = candidate.load();
  double latency = value(candidate.latency->load(std::memory_order_relaxed), now);
  if (latency == 0) latency = load == 0 ? 0 : kUnseenMicroseconds;
  return latency * (static_cast<double>(load) + 1) / candidate.weight;
}

class LatencyPicker final : public Picker {
 public:
  void adopt(std::shared_ptr<const Table> table, Rng&) override {
    table_ = std::static_pointer_cast<const AliasTable>(std::move(table));
  }

  uint32_t pick(PickContext& context) override {
    return pick_of_two(*table_, context, [&](const Candidate& candidate) { return cost(candidate, context.now); });
  }

 private:
  std::shared_ptr<const AliasTable> table_;
};

}  // namespace

Algorithm latency() {
  return {"latency", build_alias_table, []() -> std::unique_ptr<Picker> { return std::make_unique<LatencyPicker>(); }};
}

}  // namespace weir::balance
