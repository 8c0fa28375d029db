// Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005): the key
// goes to the backend with the greatest −weight / ln(u), u being a uniform number made of the key and the backend's
// name. A backend that leaves gives up exactly its own keys, and its successors are spread over all others.
#pragma once
#include <cmath>
#include <cstdint>

#include "lb/base/hash.hpp"

namespace weir::balance {

/// Lower is better: −ln(u) / weight, the reciprocal of the score above.
inline double rendezvous_distance(uint64_t key_hash, uint64_t name_hash, uint32_t weight) {
  const double u = (static_cast<double>(mix_hash(key_hash, name_hash) >> 11) + 0.5) * 0x1p-53;
  return -std::log(u) / weight;
}

/// The same order as rendezvous_distance among equal weights, without the logarithm. Lower is better.
inline uint64_t rendezvous_distance(uint64_t key_hash, uint64_t name_hash) { return ~mix_hash(key_hash, name_hash); }

}  // namespace weir::balance
