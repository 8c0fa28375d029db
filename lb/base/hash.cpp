#include "lb/base/hash.hpp"

#include <random>

namespace weir {

uint64_t process_hash_seed() {
  static const uint64_t seed = [] {
    std::random_device entropy;
    return (uint64_t{entropy()} << 32) | entropy();
  }();
  return seed;
}

}  // namespace weir
