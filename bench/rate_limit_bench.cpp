// Nanoseconds a decision of a rate limit: from one key to a million, on one thread and on two that share the table.
// Each figure is the best of 15 runs of 200,000.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "lb/base/clock.hpp"
#include "lb/base/hash.hpp"
#include "lb/base/rng.hpp"
#include "lb/route/rate_limit.hpp"

namespace {

using weir::route::RateLimiter;

constexpr uint32_t kDecisions = 200'000;

/// What a request does: hashes the key's text, then asks.
uint64_t decide(RateLimiter& limiter, const std::vector<std::string>& keys, uint64_t seed) {
  weir::Rng rng(seed);
  const auto now = weir::monotonic_now();
  uint64_t allowed = 0;
  for (uint32_t i = 0; i < kDecisions; ++i)
    allowed += limiter.take(weir::seeded_hash(keys[rng.below(static_cast<uint32_t>(keys.size()))]), now).allowed;
  return allowed;
}

double nanoseconds(RateLimiter& limiter, const std::vector<std::string>& keys, uint32_t threads, uint64_t& sum) {
  double best = 1e18;
  for (uint64_t run = 0; run < 15; ++run) {
    std::atomic<uint64_t> allowed{0};
    std::vector<std::thread> others;
    const auto begin = weir::monotonic_now();
    for (uint32_t i = 1; i < threads; ++i)
      others.emplace_back([&, i] { allowed += decide(limiter, keys, run * 8 + i); });
    allowed += decide(limiter, keys, run * 8);
    for (auto& other : others) other.join();
    best = std::min(best, static_cast<double>((weir::monotonic_now() - begin).count()) / kDecisions);
    sum += allowed;
  }
  return best;
}

}  // namespace

int main() {
  uint64_t sum = 0;
  std::printf("ns a decision           1 thread  2 threads, each\n");
  for (const uint32_t count : {1u, 100u, 10'000u, 1'000'000u}) {
    std::vector<std::string> keys;
    for (uint32_t i = 0; i < count; ++i)
      keys.push_back("2001:db8:" + std::to_string(i % 10'000) + "::" + std::to_string(i / 10'000));
    weir::config::RateLimit limit;
    limit.rate = {100, std::chrono::seconds(1)};
    limit.burst = 200;
    limit.max_keys = 2'000'000;
    RateLimiter limiter(limit);
    const double one = nanoseconds(limiter, keys, 1, sum), two = nanoseconds(limiter, keys, 2, sum);
    std::printf("%9u keys %14.1f %10.1f\n", count, one, two);
  }
  // A table that is too small: each decision evicts.
  std::vector<std::string> keys;
  for (uint32_t i = 0; i < 1'000'000; ++i) keys.push_back(std::to_string(i));
  weir::config::RateLimit limit;
  limit.rate = {100, std::chrono::seconds(1)};
  limit.max_keys = 10'000;
  RateLimiter limiter(limit);
  const double one = nanoseconds(limiter, keys, 1, sum), two = nanoseconds(limiter, keys, 2, sum);
  std::printf("evicting, 1,000,000 %9.1f %10.1f\n", one, two);
  return sum > 0 ? 0 : 1;
}
