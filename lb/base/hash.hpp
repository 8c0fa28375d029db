// The project's one hash function: XXH3, 64 bits.
#pragma once
#include <xxhash.h>

#include <cstdint>
#include <string_view>

namespace weir {

/// Hash with a fixed seed: the same on every instance and every release, for choosing backends by key.
inline uint64_t stable_hash(std::string_view bytes, uint64_t seed = 0) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

/// Secret of this process, drawn at start; for tables keyed by client input (security-rules D).
uint64_t process_hash_seed();

/// Hash for tables keyed by client input.
inline uint64_t seeded_hash(std::string_view bytes) { return stable_hash(bytes, process_hash_seed()); }

/// Mixes two hashes (for hash(key, backend) in rendezvous hashing).
inline uint64_t mix_hash(uint64_t a, uint64_t b) {
  uint64_t z = a ^ (b + 0x9e3779b97f4a7c15ULL + (a << 6) + (a >> 2));
  z = (z ^ (z >> 33)) * 0xff51afd7ed558ccdULL;
  z = (z ^ (z >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return z ^ (z >> 33);
}

}  // namespace weir
