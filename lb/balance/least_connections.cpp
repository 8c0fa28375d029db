// least_connections: the least (load + 1) / weight over the whole process, ties by rotation.
//
// The loads belong to all workers and change at any moment, so an order kept by one worker would be out of date at
// once, and one kept for all would put a lock on the path. Each pick therefore scans, and stops at the first idle
// backend of the greatest weight, which nothing can beat: with fewer requests in flight than backends that is after a
// few steps. Otherwise a pick costs about 2 ns a backend (docs/balancing.md has the figures, and what to choose for
// thousands of backends).
#include "lb/balance/algorithms.hpp"
#include "lb/balance/eligible.hpp"

namespace weir::balance {
namespace {

class LeastConnectionsTable final : public Table {
 public:
  /// What the scan reads, side by side.
  struct Entry {
    const std::atomic<uint32_t>* inflight;
    uint32_t weight;
  };

  LeastConnectionsTable(std::vector<Candidate> given, const Options& options) : Table(std::move(given), options) {
    for (const auto& candidate : candidates()) {
      entries_.push_back({candidate.inflight, candidate.weight});
      max_weight_ = std::max(max_weight_, candidate.weight);
    }
  }
  std::span<const Entry> entries() const { return entries_; }
  uint32_t max_weight() const { return max_weight_; }

 private:
  std::vector<Entry> entries_;
  uint32_t max_weight_ = 0;
};

class LeastConnectionsPicker final : public Picker {
 public:
  void adopt(std::shared_ptr<const Table> table, Rng& rng) override {
    table_ = std::static_pointer_cast<const LeastConnectionsTable>(std::move(table));
    const auto size = static_cast<uint32_t>(table_->candidates().size());
    if (next_ >= size) next_ = size == 0 ? 0 : rng.below(size);
  }

  uint32_t pick(PickContext& context) override {
    const auto size = static_cast<uint32_t>(table_->candidates().size());
    Best best;
    if (size > 0 && !scan(next_, size, context, best)) scan(0, next_, context, best);
    if (best.index != kNone) next_ = best.index + 1 == size ? 0 : best.index + 1;
    return best.index;
  }

 private:
  struct Best {
    uint32_t index = kNone, load = ~uint32_t{0}, weight = 1;
  };

  /// True: nothing better can follow.
  bool scan(uint32_t begin, uint32_t end, const PickContext& context, Best& best) const {
    const auto candidates = table_->candidates();
    const auto entries = table_->entries();
    for (uint32_t i = begin; i < end; ++i) {
      // The phantom load can only make it worse: its cache line is read for the few that are better without it.
      const uint32_t weight = entries[i].weight, inflight = entries[i].inflight->load(std::memory_order_relaxed);
      if (!less_loaded(inflight, weight, best.load, best.weight)) continue;
      const uint32_t load = inflight + candidates[i].phantom->load(std::memory_order_relaxed);
      if (!less_loaded(load, weight, best.load, best.weight) || !eligible(candidates, i, context.tried)) continue;
      best = {i, load, weight};
      if (load == 0 && weight == table_->max_weight()) return true;
    }
    return false;
  }

  std::shared_ptr<const LeastConnectionsTable> table_;
  uint32_t next_ = kNone;  // where the next scan begins
};

}  // namespace

Algorithm least_connections() {
  return {"least_connections",
          [](std::vector<Candidate> candidates, const Options& options) -> std::shared_ptr<const Table> {
            return std::make_shared<LeastConnectionsTable>(std::move(candidates), options);
          },
          []() -> std::unique_ptr<Picker> { return std::make_unique<LeastConnectionsPicker>(); }};
}

}  // namespace weir::balance
