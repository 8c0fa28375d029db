// round_robin: nginx's smooth weighted round robin. Each pick, every candidate's credit grows by its weight, the one
// with the most credit (the first of equals) is chosen and pays the total weight: {5,1,1} gives a a b a c a a.
//
// Candidates of the same weight take turns in their order, so one credit a group of equal weights gives the very same
// sequence: a pick costs the number of different weights, not of candidates, and equal weights are a plain rotation.
// With more than kMaxCredits different weights the groups are drawn by earliest deadline from a heap instead: as fair,
// not as smooth.
//
// A worker's sequence begins at a random place, or several workers and instances would march in step.
#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "lb/balance/algorithms.hpp"
#include "lb/balance/eligible.hpp"

namespace weir::balance {
namespace {

constexpr size_t kMaxCredits = 64;

class RoundRobinTable final : public Table {
 public:
  struct Group {
    uint32_t first, size;  // in members()
    int64_t weight;        // of one member, divided by the greatest common divisor of all
    bool operator==(const Group&) const = default;
  };

  RoundRobinTable(std::vector<Candidate> given, const Options& options) : Table(std::move(given), options) {
    std::map<uint32_t, std::vector<uint32_t>, std::greater<>> by_weight;
    uint32_t divisor = 0;
    for (uint32_t i = 0; i < candidates().size(); ++i) {
      by_weight[candidates()[i].weight].push_back(i);
      divisor = std::gcd(divisor, candidates()[i].weight);
    }
    for (const auto& [weight, members] : by_weight) {
      groups_.push_back(
          {static_cast<uint32_t>(members_.size()), static_cast<uint32_t>(members.size()), weight / divisor});
      total_ += groups_.back().weight * groups_.back().size;
      members_.insert(members_.end(), members.begin(), members.end());
    }
  }
  std::span<const Group> groups() const { return groups_; }
  std::span<const uint32_t> members() const { return members_; }
  int64_t total() const { return total_; }
  bool same_shape(const RoundRobinTable& other) const { return groups_ == other.groups_ && members_ == other.members_; }

 private:
  std::vector<Group> groups_;
  std::vector<uint32_t> members_;  // candidates, by group
  int64_t total_ = 0;
};

class RoundRobinPicker final : public Picker {
 public:
  void adopt(std::shared_ptr<const Table> table, Rng& rng) override {
    const auto old = std::exchange(table_, std::static_pointer_cast<const RoundRobinTable>(std::move(table)));
    if (old && old->same_shape(*table_)) return;
    const size_t count = table_->groups().size();
    if (old && count == 1 && old->groups().size() == 1) return keep_rotation(*old);
    cursors_.assign(count, {});
    heap_.clear();
    if (count > kMaxCredits) {
      start_heap(rng);
    } else if (count > 0) {
      start_credits(rng);
    }
  }

  uint32_t pick(PickContext& context) override {
    const auto candidates = table_->candidates();
    if (candidates.empty()) return kNone;
    // A rotation finds everyone within one round; a weighted sequence may dwell long on those it must not choose.
    const size_t rotation = table_->groups().size() == 1 ? candidates.size() : 0;
    for (size_t draw = 0, most = std::max<size_t>(rotation, kMaxDraws); draw < most; ++draw) {
      const uint32_t chosen = next();
      if (eligible(candidates, chosen, context.tried)) return chosen;
    }
    return pick_among_eligible(candidates, context);
  }

 private:
  static constexpr size_t kMaxDraws = 64;
  struct Cursor {
    int64_t credit = 0;     // of the member whose turn it is
    uint32_t position = 0;  // whose turn it is
  };
  struct Turn {
    double deadline;  // in picks
    uint32_t group;
    bool operator>(const Turn& other) const { return deadline > other.deadline; }
  };

  uint32_t next() {
    if (!heap_.empty()) return next_by_deadline();
    return cursors_.size() == 1 ? advance(0).first : next_by_credit();
  }

  /// The member of a group whose turn it is, and whether the group's round is complete with it.
  std::pair<uint32_t, bool> advance(size_t index) {
    const auto& group = table_->groups()[index];
    uint32_t& position = cursors_[index].position;
    const uint32_t member = table_->members()[group.first + position];
    if (++position < group.size) return {member, false};
    position = 0;
    return {member, true};
  }

  uint32_t next_by_credit() {
    const auto groups = table_->groups();
    const auto members = table_->members();
    size_t best = 0;
    uint32_t best_member = kNone;
    for (size_t i = 0; i < groups.size(); ++i) {
      cursors_[i].credit += groups[i].weight;
      const uint32_t member = members[groups[i].first + cursors_[i].position];
      if (best_member != kNone && (cursors_[i].credit < cursors_[best].credit ||
                                   (cursors_[i].credit == cursors_[best].credit && member > best_member)))
        continue;
      best = i;
      best_member = member;
    }
    // Those of the group who had their turn in this round stand one total lower than those who wait for theirs.
    if (advance(best).second) cursors_[best].credit -= table_->total();
    return best_member;
  }

  uint32_t next_by_deadline() {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    Turn& turn = heap_.back();
    const uint32_t group = turn.group;
    turn.deadline += interval(group);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    return advance(group).first;
  }

  double interval(uint32_t index) const {
    const auto& group = table_->groups()[index];
    return static_cast<double>(table_->total()) / (static_cast<double>(group.weight) * group.size);
  }

  void start_heap(Rng& rng) {
    for (uint32_t i = 0; i < cursors_.size(); ++i) {
      cursors_[i].position = rng.below(table_->groups()[i].size);
      heap_.push_back({rng.unit() * interval(i), i});
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  void start_credits(Rng& rng) {
    const auto groups = table_->groups();
    if (groups.size() == 1) {
      cursors_[0].position = rng.below(groups[0].size);
      return;
    }
    // The sequence repeats after `total` picks. Too long to be walked at once, it is entered near its beginning, with
    // each group at a place of its own.
    constexpr int64_t kWalk = 1 << 14;
    int64_t steps = std::min(table_->total(), kWalk);
    if (table_->total() > kWalk)
      for (size_t i = 0; i < groups.size(); ++i) {
        cursors_[i].position = rng.below(groups[i].size);
        steps = 1 << 10;
      }
    for (uint32_t left = rng.below(static_cast<uint32_t>(steps)); left > 0; --left) next_by_credit();
  }

  /// Goes on with the backend whose turn it was, or the next one that is still there.
  void keep_rotation(const RoundRobinTable& old) {
    const uint32_t due = old.candidates()[old.members()[cursors_[0].position]].backend;
    const auto candidates = table_->candidates();
    uint32_t next = 0, distance = kNone;
    for (uint32_t i = 0; i < candidates.size(); ++i) {
      if (candidates[i].backend - due >= distance) continue;  // wraps round: those before it come last
      distance = candidates[i].backend - due;
      next = i;
    }
    cursors_[0].position = next;
  }

  std::shared_ptr<const RoundRobinTable> table_;
  std::vector<Cursor> cursors_;  // by group
  std::vector<Turn> heap_;       // only with more than kMaxCredits groups
};

}  // namespace

Algorithm round_robin() {
  return {"round_robin",
          [](std::vector<Candidate> candidates, const Options& options) -> std::shared_ptr<const Table> {
            return std::make_shared<RoundRobinTable>(std::move(candidates), options);
          },
          []() -> std::unique_ptr<Picker> { return std::make_unique<RoundRobinPicker>(); }};
}

}  // namespace weir::balance
