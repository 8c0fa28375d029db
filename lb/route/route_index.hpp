// Finds the routes that a host and a path can reach, in the order of the file, without looking at the others: first by
// host (a hash look-up for the exact name, one for each depth of wildcards in use), then by path.
#pragma once
#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lb/route/conditions.hpp"
#include "lb/route/path_index.hpp"
#include "lb/route/text_table.hpp"

namespace weir::route {

class RouteIndex {
 public:
  static constexpr uint32_t kAnyHost = 0;

  /// `routes` stay the caller's and must live as long as the index.
  explicit RouteIndex(const std::vector<Conditions>& routes);

  /// The first route < limit whose host and path match and which `accept(route)` takes; else `limit`. Allocates
  /// nothing.
  template <typename Accept>
  uint32_t find(std::string_view host, std::string_view path, uint32_t limit, Accept&& accept) const {
    uint32_t best = limit;
    if (!hosts_.empty()) {
      const FoldedHost folded(host);
      const auto name = folded.view();
      const uint32_t exact = hosts_.find(kExact, name);
      if (exact != TextTable::kNone) find_in(groups_[exact], path, best, accept);
      size_t depth = 0;
      for (size_t dot = deepest_ ? name.rfind('.') : name.npos; dot != name.npos && dot > 0;
           dot = name.rfind('.', dot - 1)) {
        if (++depth > deepest_) break;
        if (!depths_[depth]) continue;
        const uint32_t below = hosts_.find(kBelow, name.substr(dot + 1));
        if (below != TextTable::kNone) find_in(groups_[below], path, best, accept);
      }
    }
    find_in(groups_[kAnyHost], path, best, accept);
    return best;
  }

 private:
  enum : uint32_t { kExact, kBelow };  // owners in hosts_
  /// The routes of one host pattern.
  struct Group {
    uint32_t tree;
    std::vector<uint32_t> others;  // routes with any path, or an odd one
  };

  template <typename Accept>
  void find_in(const Group& group, std::string_view path, uint32_t& best, Accept& accept) const {
    for (const uint32_t route : group.others) {
      if (route >= best) break;
      if (!routes_[route].path.matches(path) || !accept(route)) continue;
      best = route;
      break;
    }
    if (path.empty() || path[0] == '/') paths_.find(group.tree, path, best, accept);
  }

  void add(uint32_t group, uint32_t route);
  uint32_t group_of(const HostPattern& host);

  const std::vector<Conditions>& routes_;
  std::vector<Group> groups_;
  TextTable hosts_;  // → group
  PathIndex paths_;
  std::bitset<kMaxHost + 1> depths_;  // numbers of labels that wildcards ask for
  size_t deepest_ = 0;
};

}  // namespace weir::route
