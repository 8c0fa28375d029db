// A pool without a network, for the tests of the algorithms: backends are atomics, time stands still unless the test
// moves it.
#pragma once
#include <deque>
#include <numeric>
#include <string>

#include "lb/balance/policy.hpp"
#include "lb/base/hash.hpp"

namespace weir::balance {

struct SimBackend {
  std::atomic<uint32_t> inflight{0}, phantom{0};
  std::atomic<uint64_t> latency{0};
};

class SimPool {
 public:
  explicit SimPool(const std::vector<uint32_t>& weights, Options options = {})
      : options_(options), backends_(weights.size()) {
    for (uint32_t i = 0; i < weights.size(); ++i) candidates_.push_back(make(i, weights[i]));
  }

  SimBackend& operator[](size_t index) { return backends_[index]; }
  size_t size() const { return backends_.size(); }
  /// To be changed by a test before it builds a table.
  std::vector<Candidate>& candidates() { return candidates_; }

  std::shared_ptr<const Table> table(std::string_view algorithm) const {
    return find_algorithm(algorithm)->build(candidates_, options_);
  }
  std::unique_ptr<Picker> picker(std::string_view algorithm, Rng& rng) const {
    auto picker = find_algorithm(algorithm)->make_picker();
    picker->adopt(table(algorithm), rng);
    return picker;
  }

  /// With a random key.
  uint32_t pick(Picker& picker, Rng& rng, std::span<const uint32_t> tried = {}) const {
    return pick_key(picker, rng, rng(), tried);
  }
  uint32_t pick_key(Picker& picker, Rng& rng, uint64_t key, std::span<const uint32_t> tried = {},
                    bool* spilled = nullptr) const {
    PickContext context{key, tried, now, rng};
    const uint32_t chosen = picker.pick(context);
    if (spilled) *spilled = context.spilled;
    return chosen;
  }

  TimePoint now{};

 private:
  Candidate make(uint32_t index, uint32_t weight) {
    auto& backend = backends_[index];
    Candidate candidate;
    candidate.backend = index;
    candidate.name_hash = stable_hash("backend-" + std::to_string(index));
    candidate.weight = weight;
    candidate.inflight = &backend.inflight;
    candidate.phantom = &backend.phantom;
    candidate.latency = &backend.latency;
    return candidate;
  }

  Options options_;
  std::deque<SimBackend> backends_;
  std::vector<Candidate> candidates_;
};

/// n candidates of the same weight.
inline std::vector<uint32_t> equal_weights(size_t n, uint32_t weight = 1000) {
  return std::vector<uint32_t>(n, weight);
}

}  // namespace weir::balance
