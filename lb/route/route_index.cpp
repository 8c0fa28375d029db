#include "lb/route/route_index.hpp"

#include <algorithm>

namespace weir::route {

RouteIndex::RouteIndex(const std::vector<Conditions>& routes) : routes_(routes) {
  groups_.push_back({paths_.add_tree(), {}});
  for (uint32_t i = 0; i < routes.size(); ++i) {
    if (routes[i].hosts.empty()) add(kAnyHost, i);
    for (const auto& host : routes[i].hosts)
      if (!host.name().empty()) add(group_of(host), i);
  }
  paths_.freeze();
}

uint32_t RouteIndex::group_of(const HostPattern& host) {
  const uint32_t owner = host.kind() == HostPattern::Kind::below ? kBelow : kExact;
  uint32_t group = hosts_.find(owner, host.name());
  if (group != TextTable::kNone) return group;
  group = static_cast<uint32_t>(groups_.size());
  groups_.push_back({paths_.add_tree(), {}});
  hosts_.insert(owner, host.name(), group);
  if (owner == kBelow) {
    const auto depth = static_cast<size_t>(std::count(host.name().begin(), host.name().end(), '.')) + 1;
    depths_.set(depth);
    deepest_ = std::max(deepest_, depth);
  }
  return group;
}

void RouteIndex::add(uint32_t group, uint32_t route) {
  const auto& path = routes_[route].path;
  if (path.kind() != PathPattern::Kind::any && path.kind() != PathPattern::Kind::odd) {
    paths_.insert(groups_[group].tree, path, route);
  } else if (auto& others = groups_[group].others; others.empty() || others.back() != route) {
    others.push_back(route);
  }
}

}  // namespace weir::route
