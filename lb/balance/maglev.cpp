#include "lb/balance/maglev.hpp"

#include <algorithm>
#include <bitset>
#include <numeric>

#include "lb/base/hash.hpp"

namespace weir::balance {
namespace {

constexpr uint32_t kOffsetSalt = 1, kSkipSalt = 2;

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
    auto [position, skip] = walks_[i];
    while (taken_[position]) {
      position += skip;
      if (position >= kMaglevSize) position -= kMaglevSize;
    }
    walks_[i].position = position;
    taken_[position] = true;
    table_[position] = static_cast<uint16_t>(order_[i]);
    ++filled_;
  }

  std::vector<uint32_t> order_;  // members by weight, then by name: what the file's order is must not matter
  std::vector<Walk> walks_;      // as order_
  std::vector<Group> groups_;    // a heap, the next turn on top
  std::vector<uint16_t> table_;
  std::bitset<kMaglevSize> taken_;  // 8 KiB: the search stays in the first cache
  uint32_t filled_ = 0;
};

}  // namespace

std::vector<uint16_t> build_maglev(std::span<const MaglevMember> members) {
  if (members.empty()) return {};
  return Builder(members).build();
}

}  // namespace weir::balance
