#include "lb/route/rate_limit.hpp"

#include <algorithm>
#include <bit>
#include <new>

namespace weir::route {

namespace {

constexpr uint32_t kMaxShards = 64, kKeysAShard = 64;  // a small table is one shard, and the least recent exact

}  // namespace

RateLimiter::RateLimiter(const config::RateLimit& limit)
    : limit_(limit),
      part_(static_cast<uint64_t>(Duration(limit.rate.period).count())),
      refill_(limit.rate.count),
      // At most 10^6 tokens of an hour's nanoseconds: 3.6 · 10^18, which is below 2^64.
      full_(part_ * limit.bucket()),
      shards_(std::clamp(std::bit_floor(limit.max_keys / kKeysAShard), 1u, kMaxShards)) {
  const auto count = static_cast<uint32_t>(shards_.size());
  for (uint32_t i = 0; i < count; ++i) {
    Shard& shard = shards_[i];
    shard.capacity = limit.max_keys / count + (i < limit.max_keys % count);
    shard.mask = std::bit_ceil(shard.capacity) - 1;
    shard.buckets.reserve(shard.capacity);
    shard.slots.reset(static_cast<uint32_t*>(std::calloc(shard.mask + 1, sizeof(uint32_t))));
    if (!shard.slots) throw std::bad_alloc();
  }
}

RateLimiter::Verdict RateLimiter::take(uint64_t key, TimePoint now) {
  Verdict verdict;
  Shard& shard = shards_[shard_of(key)];
  const std::lock_guard lock(shard.mutex);
  Bucket& bucket = find_or_add(shard, key, now, verdict);
  bucket.level = level_at(bucket, now);
  bucket.filled = std::max(bucket.filled, now);
  judge(bucket.level, bucket.filled, now, verdict);
  if (verdict.allowed) bucket.level -= part_;
  return verdict;
}

RateLimiter::Verdict RateLimiter::peek(uint64_t key, TimePoint now) const {
  Verdict verdict;
  const Shard& shard = shards_[shard_of(key)];
  const std::lock_guard lock(shard.mutex);
  const uint32_t index = find(shard, key);
  if (index == kNil) {
    judge(full_, now, now, verdict);
  } else {
    const Bucket& bucket = shard.buckets[index];
    judge(level_at(bucket, now), std::max(bucket.filled, now), now, verdict);
  }
  return verdict;
}

void RateLimiter::judge(uint64_t level, TimePoint filled, TimePoint now, Verdict& verdict) const {
  verdict.allowed = level >= part_;
  if (verdict.allowed) return;
  const uint64_t missing = part_ - level;
  verdict.wait = filled + Duration(static_cast<int64_t>((missing + refill_ - 1) / refill_)) - now;
}

uint64_t RateLimiter::level_at(const Bucket& bucket, TimePoint now) const {
  if (now <= bucket.filled) return bucket.level;
  const auto passed = static_cast<uint64_t>((now - bucket.filled).count());
  // The product is taken only where it is known to fit.
  return passed > (full_ - bucket.level) / refill_ ? full_ : bucket.level + passed * refill_;
}

uint32_t RateLimiter::find(const Shard& shard, uint64_t key) {
  uint32_t i = shard.slots[key & shard.mask] - 1;
  while (i != kNil && shard.buckets[i].key != key) i = shard.buckets[i].next;
  return i;
}

RateLimiter::Bucket& RateLimiter::find_or_add(Shard& shard, uint64_t key, TimePoint now, Verdict& verdict) {
  if (const uint32_t known = find(shard, key); known != kNil) {
    if (shard.newest != known) {
      unlink(shard, known);
      link_newest(shard, known);
    }
    return shard.buckets[known];
  }
  const uint32_t index = take_place(shard, now, verdict);
  uint32_t& slot = shard.slots[key & shard.mask];
  Bucket& bucket = shard.buckets[index];
  bucket.key = key;
  bucket.level = full_;
  bucket.filled = now;
  bucket.next = slot - 1;
  slot = index + 1;
  link_newest(shard, index);
  return bucket;
}

/// A new place, or that of the least recent key.
uint32_t RateLimiter::take_place(Shard& shard, TimePoint now, Verdict& verdict) {
  if (shard.buckets.size() < shard.capacity) {
    shard.buckets.emplace_back();
    return static_cast<uint32_t>(shard.buckets.size() - 1);
  }
  const uint32_t index = shard.oldest;
  const Bucket& bucket = shard.buckets[index];
  verdict.evicted = true;
  verdict.evicted_active = level_at(bucket, now) < full_;
  unlink(shard, index);
  uint32_t& slot = shard.slots[bucket.key & shard.mask];
  if (slot - 1 == index) {
    slot = bucket.next + 1;
    return index;
  }
  uint32_t before = slot - 1;
  while (shard.buckets[before].next != index) before = shard.buckets[before].next;
  shard.buckets[before].next = bucket.next;
  return index;
}

void RateLimiter::link_newest(Shard& shard, uint32_t index) {
  Bucket& bucket = shard.buckets[index];
  bucket.newer = kNil;
  bucket.older = shard.newest;
  if (shard.newest != kNil) shard.buckets[shard.newest].newer = index;
  shard.newest = index;
  if (shard.oldest == kNil) shard.oldest = index;
}

void RateLimiter::unlink(Shard& shard, uint32_t index) {
  const Bucket& bucket = shard.buckets[index];
  if (bucket.newer != kNil)
    shard.buckets[bucket.newer].older = bucket.older;
  else
    shard.newest = bucket.older;
  if (bucket.older != kNil)
    shard.buckets[bucket.older].newer = bucket.newer;
  else
    shard.oldest = bucket.newer;
}

size_t RateLimiter::size() const {
  size_t total = 0;
  for (const auto& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    total += shard.buckets.size();
  }
  return total;
}

}  // namespace weir::route
