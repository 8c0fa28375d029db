#include "lb/balance/maglev.hpp"

#include <algorithm>
#include <bitset>
#include <numeric>

#include "lb/base/hash.hpp"

namespace weir::balance {
namespace {

constexpr uint32_t kOffsetSalt = 1, kSkipSalt = 2;
constexpr uint32_t kFew = 192;

/// A member's walk through the table: the entries it would like, best first.
struct Walk {
  uint32_t position, skip;
};

/// Members of equal weight; they take their entries together, one each a turn.
struct Group {
  double due;       // when the next turn is
  double interval;  // 1 / weight
  uint32_t begin, end;
  bool operator>(const Group& other) const { return due != other.due ? due > other.due : begin > other.begin; }
};

class Builder {
 public:
  explicit Builder(std::span<const MaglevMember> members) : order_(members.size()), table_(kMaglevSize) {
    std::iota(order_.begin(), order_.end(), 0);
    std::sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) {
      if (members[a].weight != members[b].weight) return members[a].weight > members[b].weight;
      return members[a].name_hash < members[b].name_hash;
    });
    uint64_t total = 0;
    for (const uint32_t index : order_) {
      const uint64_t hash = members[index].name_hash;
      walks_.push_back({static_cast<uint32_t>(mix_hash(hash, kOffsetSalt) % kMaglevSize),
                        static_cast<uint32_t>(mix_hash(hash, kSkipSalt) % (kMaglevSize - 1)) + 1});
      total += members[index].weight;
    }
    for (uint32_t begin = 0, end; begin < order_.size(); begin = end) {
      const uint32_t weight = members[order_[begin]].weight;
      for (end = begin + 1; end < order_.size() && members[order_[end]].weight == weight;) ++end;
      // Half an interval first, so that counts are rounded and not cut; but who would get less than an entry gets his
      // one at the beginning.
      const double interval = static_cast<double>(total) / weight;
      groups_.push_back({interval > kMaglevSize ? 0 : interval / 2, interval, begin, end});
    }
  }

  std::vector<uint16_t> build() {
    std::make_heap(groups_.begin(), groups_.end(), std::greater<>());
    while (filled_ < kMaglevSize) {
      std::pop_heap(groups_.begin(), groups_.end(), std::greater<>());
      Group& group = groups_.back();
      for (uint32_t i = group.begin; i < group.end && filled_ < kMaglevSize; ++i) take(i);
      group.due += group.interval;
      std::push_heap(groups_.begin(), groups_.end(), std::greater<>());
    }
    return std::move(table_);
  }

 private:
  void take(uint32_t i) {
    Walk& walk = walks_[i];
    walk.position = free_.empty() ? walk_to_free(walk) : nearest_free(walk);
    taken_[walk.position] = true;
    table_[walk.position] = static_cast<uint16_t>(order_[i]);
    if (++filled_ != kMaglevSize - kFew) return;
    for (uint32_t entry = 0; entry < kMaglevSize; ++entry)
      if (!taken_[entry]) free_.push_back(entry);
  }

  uint32_t walk_to_free(Walk walk) const {
    while (taken_[walk.position]) {
      // Modulo the size without a branch, which nobody could predict: below zero the second term wraps round and is the
      // greater.
      walk.position = std::min(walk.position + walk.skip, walk.position + walk.skip - kMaglevSize);
    }
    return walk.position;
  }

  /// The same entry, found by asking each of the few that are free how many steps away it is: half of all steps of the
  /// plain search are spent on the last hundred entries.
  uint32_t nearest_free(Walk walk) {
    const uint64_t inverse = inverse_of(walk.skip);
    uint64_t least = kMaglevSize;
    size_t nearest = 0;
    for (size_t i = 0; i < free_.size(); ++i) {
      const uint64_t steps = (free_[i] + kMaglevSize - walk.position) * inverse % kMaglevSize;
      if (steps >= least) continue;
      least = steps;
      nearest = i;
    }
    const uint32_t entry = free_[nearest];
    free_[nearest] = free_.back();
    free_.pop_back();
    return entry;
  }

  /// Modulo the table's size, a prime: a^(p−2), by Fermat.
  static uint64_t inverse_of(uint64_t a) {
    uint64_t result = 1;
    for (uint32_t exponent = kMaglevSize - 2; exponent > 0; exponent >>= 1, a = a * a % kMaglevSize)
      if (exponent & 1) result = result * a % kMaglevSize;
    return result;
  }

  std::vector<uint32_t> order_;  // members by weight, then by name: what the file's order is must not matter
  std::vector<Walk> walks_;      // as order_
  std::vector<Group> groups_;    // a heap, the next turn on top
  std::vector<uint16_t> table_;
  std::bitset<kMaglevSize> taken_;  // 8 KiB: the search stays in the first cache
  uint32_t filled_ = 0;
  std::vector<uint32_t> free_;  // filled when only kFew entries are left
};

}  // namespace

std::vector<uint16_t> build_maglev(std::span<const MaglevMember> members) {
  if (members.empty()) return {};
  return Builder(members).build();
}

}  // namespace weir::balance
