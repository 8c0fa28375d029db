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

void PathIndex::freeze_prefixes(const Draft& draft, Node& node) {
  const auto first = static_cast<uint32_t>(prefixes_.size());
  for (const auto& [tail, routes] : draft.prefixes) {  // sorted: an ancestor stands before its descendants
    uint32_t parent = prefixes_.size() > first ? static_cast<uint32_t>(prefixes_.size() - 1) : kNone;
    while (parent != kNone && !tail.starts_with(text(prefixes_[parent]))) parent = prefixes_[parent].parent;
    const uint32_t least = std::min(routes.front(), parent == kNone ? kNone : prefixes_[parent].least);
    const auto offset = static_cast<uint32_t>(prefix_text_.size());
    prefix_text_ += tail;
    prefixes_.push_back({offset, static_cast<uint32_t>(tail.size()), parent, least, keep(routes)});
    node.least = std::min(node.least, least);
  }
  node.prefixes = {first, static_cast<uint32_t>(prefixes_.size())};
}

void PathIndex::freeze() {
  nodes_.resize(drafts_.size());
  for (size_t i = drafts_.size(); i-- > 0;) {  // children have greater numbers than their parents
    const Draft& draft = drafts_[i];
    Node& node = nodes_[i];
    freeze_prefixes(draft, node);
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

uint32_t PathIndex::longest_prefix(Span span, std::string_view wanted) const {
  const auto begin = prefixes_.begin() + span.first, end = prefixes_.begin() + span.last;
  const auto above = std::upper_bound(
      begin, end, wanted, [&](std::string_view value, const Prefix& prefix) { return value < text(prefix); });
  if (above == begin) return kNone;
  const auto nearest = static_cast<uint32_t>(above - 1 - prefixes_.begin());
  const auto candidate = text(prefixes_[nearest]);
  const size_t limit = std::min(candidate.size(), wanted.size());
  size_t common = 0;
  while (common < limit && candidate[common] == wanted[common]) ++common;
  uint32_t found = nearest;
  while (found != kNone && prefixes_[found].length > common) found = prefixes_[found].parent;
  return found;
}

}  // namespace weir::route
