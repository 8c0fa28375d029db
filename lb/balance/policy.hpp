// The balancing contract. An algorithm is two things: a table, built off the request path on the control thread and
// shared by all workers (immutable), and a picker, one a worker, which holds what the algorithm remembers between
// picks.
//
// Adding an algorithm: one file in lb/balance/ and one line in registry.cpp; the contract tests run every registered
// name.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lb/base/clock.hpp"
#include "lb/base/rng.hpp"

namespace weir::balance {

inline constexpr uint32_t kNone = ~uint32_t{0};

/// A backend that may be chosen. What it points to outlives the table (the pool's state does).
struct Candidate {
  uint32_t backend = 0;                             // index among the pool's backends
  uint64_t name_hash = 0;                           // stable_hash of the name: the identity in hashing
  uint32_t weight = 1000;                           // configured weight × 1000 × slow-start share; > 0
  const std::atomic<uint32_t>* inflight = nullptr;  // exact over the process
  const std::atomic<uint32_t>* phantom = nullptr;   // added in load comparisons
  const std::atomic<uint64_t>* latency = nullptr;   // see latency.hpp
  uint32_t limit = 0;                               // limits.per_backend; 0: none

  uint32_t load() const { return inflight->load(std::memory_order_relaxed) + phantom->load(std::memory_order_relaxed); }
  bool full() const { return limit && inflight->load(std::memory_order_relaxed) >= limit; }
};

struct Options {
  // consistent_hash. bound_percent 0: no bound.
  uint32_t bound_percent = 150, bound_floor = 8;
  // Backends that the pool has by its configuration, usable or not: decides between rendezvous and Maglev, so that a
  // backend which fails can't change the way all keys are hashed. 0: as many as there are candidates.
  uint32_t pool_size = 0;
};

struct PickContext {
  uint64_t key_hash = 0;            // consistent_hash; a random number if the request has no key
  std::span<const uint32_t> tried;  // candidate indices not to be chosen again; at most 3 or so
  TimePoint now;
  Rng& rng;
  bool spilled = false;  // out: bounded load moved the request
};

/// Immutable; shared by all workers. Derive to add tables.
class Table {
 public:
  Table(std::vector<Candidate> candidates, Options options) : candidates_(std::move(candidates)), options_(options) {}
  virtual ~Table() = default;
  std::span<const Candidate> candidates() const { return candidates_; }
  const Options& options() const { return options_; }

 private:
  std::vector<Candidate> candidates_;
  Options options_;
};

class Picker {
 public:
  virtual ~Picker() = default;
  /// Takes over a table that the same algorithm built; called before the first pick and at each change. Keeps its place
  /// where it can.
  virtual void adopt(std::shared_ptr<const Table> table, Rng& rng) = 0;
  /// The index of a candidate, or kNone when every one is tried or full. Never allocates. O(log n) or better up to
  /// 10,000 candidates, but least_connections looks at all candidates while none is idle, and so does consistent_hash
  /// when a backend is above bound_floor: that is the price of exactness over all workers, about 2 ns a candidate.
  /// Others may do so when most candidates are tried or full.
  virtual uint32_t pick(PickContext& context) = 0;
};

struct Algorithm {
  std::string_view name;
  std::shared_ptr<const Table> (*build)(std::vector<Candidate>, const Options&);  // control thread
  std::unique_ptr<Picker> (*make_picker)();
  bool needs_key = false;
};

/// All algorithms, in alphabetical order.
std::span<const Algorithm> algorithms();
/// Null if there is none of that name.
const Algorithm* find_algorithm(std::string_view name);

}  // namespace weir::balance
