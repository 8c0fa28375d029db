// Maglev's lookup table (Eisenbud et al., NSDI 2016, §3.4), with weights.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace weir::balance {

inline constexpr uint32_t kMaglevSize = 65537;  // a prime, so that every skip visits every entry

struct MaglevMember {
  uint64_t name_hash;
  uint32_t weight;  // > 0
};

/// kMaglevSize entries, each the index of a member; the table depends on the set of members and not on their order. Of
/// members with the same weight none has more than one entry more than another; everyone has at least one. At most
/// kMaglevSize members. Control thread.
std::vector<uint16_t> build_maglev(std::span<const MaglevMember> members);

inline uint32_t maglev_lookup(std::span<const uint16_t> table, uint64_t key_hash) {
  return table[(key_hash >> 32) * kMaglevSize >> 32];
}

}  // namespace weir::balance
