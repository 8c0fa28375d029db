// Nanoseconds a pick, by algorithm and number of candidates: with every backend idle, and with two requests in flight
// on each (so that no scan ends early). One thread; the caches are warm. Also what a table costs to build.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <deque>
#include <string>
#include <vector>

#include "lb/balance/latency.hpp"
#include "lb/balance/policy.hpp"
#include "lb/base/hash.hpp"

using namespace weir;
using namespace weir::balance;

namespace {

/// Processor time of this thread: what others do on the machine disturbs it less than the clock.
int64_t cpu_ns() {
  timespec ts;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

struct Backend {
  alignas(64) std::atomic<uint32_t> inflight{0};
  alignas(64) std::atomic<uint32_t> phantom{0};
  alignas(64) std::atomic<uint64_t> latency{0};
};

enum class Weights { equal, few_different, all_different };

std::vector<Candidate> make_candidates(std::deque<Backend>& backends, Weights weights, uint32_t inflight, Rng& rng) {
  std::vector<Candidate> candidates;
  for (uint32_t i = 0; i < backends.size(); ++i) {
    Candidate candidate;
    candidate.backend = i;
    candidate.name_hash = stable_hash("backend-" + std::to_string(i));
    candidate.weight = weights == Weights::equal           ? 1000
                       : weights == Weights::few_different ? 1000 * (1 + i % 3)
                                                           : 1000 + i;
    candidate.inflight = &backends[i].inflight;
    candidate.phantom = &backends[i].phantom;
    candidate.latency = &backends[i].latency;
    backends[i].inflight = inflight;
    backends[i].latency = 0;
    observe(backends[i].latency, TimePoint{}, 1'000 + rng.below(1'000));
    candidates.push_back(candidate);
  }
  return candidates;
}

double nanoseconds_a_pick(const Algorithm& algorithm, const std::shared_ptr<const Table>& table,
                          std::deque<Backend>& backends) {
  Rng rng(1);
  auto picker = algorithm.make_picker();
  picker->adopt(table, rng);
  constexpr int64_t kSliceNs = 2'000'000;
  constexpr int kSlices = 5;
  double least = 1e9;  // the best of a few slices
  for (int slice = 0; slice < kSlices; ++slice) {
    const int64_t start = cpu_ns();
    int64_t now = start;
    uint64_t picks = 0;
    for (; now < start + kSliceNs; now = cpu_ns())
      for (int i = 0; i < 128; ++i, ++picks) {
        PickContext context{rng(), {}, TimePoint(std::chrono::seconds(1)), rng};
        // Each request begins and ends: writing to the loads is part of what a pick has to live with.
        auto& inflight = backends[picker->pick(context)].inflight;
        inflight.fetch_add(1, std::memory_order_relaxed);
        inflight.fetch_sub(1, std::memory_order_relaxed);
      }
    least = std::min(least, static_cast<double>(now - start) / static_cast<double>(picks));
  }
  return least;
}

void print_row(const Algorithm& algorithm, Weights weights, uint32_t inflight, const char* label) {
  std::printf("%-18s %-22s", std::string(algorithm.name).c_str(), label);
  for (const size_t size : {3, 100, 1'000, 10'000}) {
    std::deque<Backend> backends(size);
    Rng rng(2);
    const auto table = algorithm.build(make_candidates(backends, weights, inflight, rng), Options{});
    std::printf(" %9.1f", nanoseconds_a_pick(algorithm, table, backends));
  }
  std::printf("\n");
}

void print_builds(const Algorithm& algorithm) {
  std::printf("%-18s %-22s", std::string(algorithm.name).c_str(), "table, µs");
  for (const size_t size : {3, 100, 1'000, 10'000}) {
    std::deque<Backend> backends(size);
    Rng rng(3);
    double least = 1e9;
    for (int i = 0; i < 5; ++i) {
      auto candidates = make_candidates(backends, Weights::equal, 0, rng);
      const int64_t start = cpu_ns();
      const auto table = algorithm.build(std::move(candidates), Options{});
      least = std::min(least, static_cast<double>(cpu_ns() - start) / 1000);
    }
    std::printf(" %9.1f", least);
  }
  std::printf("\n");
}

}  // namespace

int main() {
  std::printf("nanoseconds a pick, two atomic additions to the load included (about 10 ns)\n");
  std::printf("%-18s %-22s %9s %9s %9s %9s\n", "algorithm", "", "3", "100", "1,000", "10,000");
  for (const auto& algorithm : algorithms()) {
    print_row(algorithm, Weights::equal, 0, "idle");
    print_row(algorithm, Weights::equal, 2, "2 in flight each");
    print_row(algorithm, Weights::few_different, 2, "… 3 weights");
    print_row(algorithm, Weights::all_different, 2, "… all weights differ");
    if (algorithm.needs_key) print_row(algorithm, Weights::equal, 20, "20 in flight each");
    print_builds(algorithm);
  }
}
