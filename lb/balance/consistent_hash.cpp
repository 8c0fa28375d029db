// consistent_hash: the same key goes to the same backend while that one may be chosen. Weighted rendezvous up to
// kRendezvousMax candidates, a Maglev table above. Bounded load (Mirrokni, Thorup and Zadimoghaddam 2018): a backend
// that has its share of the requests in flight passes the request on to the next in the key's own order, so an
// overloaded backend's keys are spread over all others and always the same way.
#include <algorithm>

#include "lb/balance/algorithms.hpp"
#include "lb/balance/eligible.hpp"
#include "lb/balance/maglev.hpp"
#include "lb/balance/rendezvous.hpp"

namespace weir::balance {
namespace {

constexpr size_t kRendezvousMax = 64;

class HashTable final : public Table {
 public:
  HashTable(std::vector<Candidate> given, const Options& options) : Table(std::move(given), options) {
    std::vector<MaglevMember> members;
    for (const auto& candidate : candidates()) {
      total_weight_ += candidate.weight;
      equal_weights_ = equal_weights_ && candidate.weight == candidates()[0].weight;
      members.push_back({candidate.name_hash, candidate.weight});
    }
    if (std::max<size_t>(members.size(), options.pool_size) > kRendezvousMax) maglev_ = build_maglev(members);
  }
  uint64_t total_weight() const { return total_weight_; }
  bool equal_weights() const { return equal_weights_; }
  /// Empty: rendezvous.
  std::span<const uint16_t> maglev() const { return maglev_; }

 private:
  std::vector<uint16_t> maglev_;
  uint64_t total_weight_ = 0;
  bool equal_weights_ = true;
};

/// The requests that a candidate may have in flight, this one included: max(floor, ⌈bound · (m + 1) · its share of the
/// weights⌉).
class Bound {
 public:
  explicit Bound(const HashTable& table) : table_(table), floor_(table.options().bound_floor) {}

  bool allows(const Candidate& candidate) {
    const uint64_t load = uint64_t{candidate.inflight->load(std::memory_order_relaxed)} + 1;
    if (load <= floor_ || table_.options().bound_percent == 0) return true;
    // load ≤ ⌈x⌉ exactly if load − 1 < x. Summed only now: below the floor, the other backends' cache lines stay
    // untouched.
    if (requests_ == 0) requests_ = sum() + 1;
    const double share = static_cast<double>(candidate.weight) / static_cast<double>(table_.total_weight());
    return static_cast<double>(load - 1) * 100 <
           table_.options().bound_percent * static_cast<double>(requests_) * share;
  }

 private:
  uint64_t sum() const {
    uint64_t total = 0;
    for (const auto& candidate : table_.candidates()) total += candidate.inflight->load(std::memory_order_relaxed);
    return total;
  }

  const HashTable& table_;
  const uint32_t floor_;
  uint64_t requests_ = 0;  // m + 1; 0: not yet counted
};

/// The nearest by rendezvous of those that `accept` takes; kNone if it takes none. Only accepts that could win are
/// asked.
template <class Accept>
uint32_t nearest(const HashTable& table, uint64_t key_hash, Accept accept) {
  const auto candidates = table.candidates();
  uint32_t best = kNone;
  const auto scan = [&](auto distance_to, auto farthest) {
    auto least = farthest;
    for (uint32_t i = 0; i < candidates.size(); ++i) {
      const auto distance = distance_to(candidates[i]);
      if ((best != kNone && distance >= least) || !accept(i)) continue;
      best = i;
      least = distance;
    }
  };
  if (table.equal_weights()) {
    scan([&](const Candidate& c) { return rendezvous_distance(key_hash, c.name_hash); }, ~uint64_t{0});
  } else {
    scan([&](const Candidate& c) { return rendezvous_distance(key_hash, c.name_hash, c.weight); }, 0.0);
  }
  return best;
}

class HashPicker final : public Picker {
 public:
  void adopt(std::shared_ptr<const Table> table, Rng&) override {
    table_ = std::static_pointer_cast<const HashTable>(std::move(table));
  }

  uint32_t pick(PickContext& context) override {
    context.spilled = false;
    const auto candidates = table_->candidates();
    if (candidates.empty()) return kNone;
    const uint32_t home = this->home(context);
    if (home == kNone) return kNone;
    Bound bound(*table_);
    if (bound.allows(candidates[home])) return home;
    const uint32_t other = nearest(*table_, context.key_hash, [&](uint32_t index) {
      return eligible(candidates, index, context.tried) && bound.allows(candidates[index]);
    });
    // All that stand below their bound are tried or full: serving the request is worth more than the bound.
    if (other == kNone) return home;
    context.spilled = other != home;
    return other;
  }

 private:
  /// Where the key belongs of all that are neither tried nor full.
  uint32_t home(const PickContext& context) const {
    const auto candidates = table_->candidates();
    if (!table_->maglev().empty()) {
      const uint32_t entry = maglev_lookup(table_->maglev(), context.key_hash);
      if (eligible(candidates, entry, context.tried)) return entry;
    }
    return nearest(*table_, context.key_hash,
                   [&](uint32_t index) { return eligible(candidates, index, context.tried); });
  }

  std::shared_ptr<const HashTable> table_;
};

}  // namespace

Algorithm consistent_hash() {
  return {"consistent_hash",
          [](std::vector<Candidate> candidates, const Options& options) -> std::shared_ptr<const Table> {
            return std::make_shared<HashTable>(std::move(candidates), options);
          },
          []() -> std::unique_ptr<Picker> { return std::make_unique<HashPicker>(); }, true};
}

}  // namespace weir::balance
