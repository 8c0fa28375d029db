#include "lb/route/path_index.hpp"

namespace weir::route {
namespace {

void append(std::vector<uint32_t>& routes, uint32_t route) {
  if (routes.empty() || routes.back() != route) routes.push_back(route);
}

}  // namespace

uint32_t PathIndex::add_tree() {
  drafts_.emplace_back();
  return static_cast<uint32_t>(drafts_.size() - 1);
}

void PathIndex::insert(uint32_t root, const PathPattern& pattern, uint32_t route) {
  uint32_t node = root;
  for (const auto& segment : pattern.segments()) {
    const auto next = static_cast<uint32_t>(drafts_.size());
    uint32_t& child =
        segment.wild ? drafts_[node].wild : drafts_[node].literals.try_emplace(segment.text, next).first->second;
    if (child == kNone) child = next;
    node = child;
    if (node == next) drafts_.emplace_back();
  }
  Draft& end = drafts_[node];
  switch (pattern.kind()) {
    case PathPattern::Kind::exact: return append(end.exact, route);
    case PathPattern::Kind::below: return append(end.below, route);
    case PathPattern::Kind::prefix: return append(end.prefixes[pattern.tail()], route);
    case PathPattern::Kind::any:
    case PathPattern::Kind::odd: return;  // the caller keeps them
  }
}

PathIndex::Span PathIndex::keep(const std::vector<uint32_t>& routes) {
  const auto first = static_cast<uint32_t>(routes_.size());
  routes_.insert(routes_.end(), routes.begin(), routes.end());
  return {first, static_cast<uint32_t>(routes_.size())};
}

/// Prefixes, sorted, that agree in their first `depth` bytes and make up the tree below `root`.
struct PathIndex::PrefixRange {
  using Position = std::map<std::string, std::vector<uint32_t>>::const_iterator;
  Position first, last;
  size_t depth;
  uint32_t root;
};

uint32_t PathIndex::freeze_prefixes(const Draft& draft) {
  if (draft.prefixes.empty()) return kNone;
  const auto root = static_cast<uint32_t>(prefixes_.size());
  prefixes_.emplace_back();
  std::vector<PrefixRange> open{{draft.prefixes.begin(), draft.prefixes.end(), 0, root}};
  while (!open.empty()) {
    const PrefixRange range = open.back();
    open.pop_back();
    split(range, open);
  }
  return root;
}

void PathIndex::split(const PrefixRange& range, std::vector<PrefixRange>& open) {
  Prefix root;
  for (auto i = range.first; i != range.last; ++i) root.least = std::min(root.least, i->second.front());
  auto rest = range.first;
  if (rest->first.size() == range.depth) root.routes = keep((rest++)->second);
  size_t shortest = rest == range.last ? range.depth : rest->first.size();
  for (auto i = rest; i != range.last; ++i) shortest = std::min(shortest, i->first.size());
  root.stride = static_cast<uint32_t>(shortest - range.depth);
  prefixes_[range.root] = root;
  while (rest != range.last) {
    const auto edge = std::string_view(rest->first).substr(range.depth, root.stride);
    auto end = std::next(rest);
    while (end != range.last && std::string_view(end->first).substr(range.depth, root.stride) == edge) ++end;
    const auto child = static_cast<uint32_t>(prefixes_.size());
    prefixes_.emplace_back();
    prefix_edges_.insert(range.root, edge, child);
    open.push_back({rest, end, shortest, child});
    rest = end;
  }
}

void PathIndex::freeze() {
  nodes_.resize(drafts_.size());
  for (size_t i = drafts_.size(); i-- > 0;) {  // children have greater numbers than their parents
    const Draft& draft = drafts_[i];
    Node& node = nodes_[i];
    node.prefix = freeze_prefixes(draft);
    if (node.prefix != kNone) node.least = prefixes_[node.prefix].least;
    node.exact = keep(draft.exact);
    node.below = keep(draft.below);
    for (const auto* routes : {&draft.exact, &draft.below})
      if (!routes->empty()) node.least = std::min(node.least, routes->front());
    node.wild = draft.wild;
    if (node.wild != kNone) node.least = std::min(node.least, nodes_[node.wild].least);
    node.literals = !draft.literals.empty();
    for (const auto& [segment, child] : draft.literals) {
      literals_.insert(static_cast<uint32_t>(i), segment, child);
      node.least = std::min(node.least, nodes_[child].least);
    }
  }
  drafts_ = {};
}

}  // namespace weir::route
