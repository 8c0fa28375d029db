// Token buckets by key, shared by all workers: exact, bounded, fast. A bucket counts in whole parts of a token, so that
// nothing is lost or gained by rounding; time is passed in. The table is split into shards with a lock each, held for
// some tens of nanoseconds.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include "config/model.hpp"
#include "lb/base/clock.hpp"

namespace weir::route {

class RateLimiter {
 public:
  struct Verdict {
    bool allowed = false;
    bool evicted = false;         // another key's bucket made room …
    bool evicted_active = false;  // … before it was full again: that key may soon be above its limit
    Duration wait{};              // until a token is there; zero if allowed
    /// In seconds, as Retry-After has it (RFC 9110 §10.2.3).
    int64_t retry_after() const { return std::max<int64_t>(1, std::chrono::ceil<std::chrono::seconds>(wait).count()); }
  };

  explicit RateLimiter(const config::RateLimit& limit);
  /// Takes a token out of the key's bucket. `key`: its hash, seeded (seeded_hash), since clients choose it. Any thread;
  /// `now` may lie a little behind what other threads passed.
  Verdict take(uint64_t key, TimePoint now);
  /// What take() would say; nothing is taken, and no bucket made or moved.
  Verdict peek(uint64_t key, TimePoint now) const;
  /// Buckets that are kept, for tests.
  size_t size() const;
  const config::RateLimit& limit() const { return limit_; }

 private:
  static constexpr uint32_t kNil = ~uint32_t{0};

  /// 40 bytes.
  struct Bucket {
    uint64_t key;
    uint64_t level;    // in parts of a token: part_ of them are one
    TimePoint filled;  // when level was right
    uint32_t next;     // with the same slot; kNil: none
    uint32_t newer, older;
  };
  struct Free {
    void operator()(uint32_t* memory) const { std::free(memory); }
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    uint32_t capacity = 0, mask = 0;
    uint32_t newest = kNil, oldest = kNil;
    std::vector<Bucket> buckets;
    std::unique_ptr<uint32_t[], Free>
        slots;  // index + 1 of the first bucket, 0: none; from calloc, untouched until used
  };

  size_t shard_of(uint64_t key) const { return key >> 32 & (shards_.size() - 1); }
  uint64_t level_at(const Bucket& bucket, TimePoint now) const;
  void judge(uint64_t level, TimePoint filled, TimePoint now, Verdict& verdict) const;
  static uint32_t find(const Shard& shard, uint64_t key);
  Bucket& find_or_add(Shard& shard, uint64_t key, TimePoint now, Verdict& verdict);
  uint32_t take_place(Shard& shard, TimePoint now, Verdict& verdict);
  static void link_newest(Shard& shard, uint32_t index);
  static void unlink(Shard& shard, uint32_t index);

  const config::RateLimit limit_;
  uint64_t part_;    // parts of a token: nanoseconds in a period
  uint64_t refill_;  // parts a nanosecond: tokens a period
  uint64_t full_;    // parts in a full bucket
  std::vector<Shard> shards_;
};

}  // namespace weir::route
