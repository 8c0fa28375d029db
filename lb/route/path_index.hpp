// An index of path patterns: a tree by segments. A look-up walks the request's path once and meets every pattern that
// matches it, whatever the number of patterns; it skips what comes later in the file than the best found so far.
// Several trees (one a host) share one index.
//
// Cost: one hash look-up a segment, and where there are byte prefixes one for each different length that nests there.
// "{name}" beside literal segments branches; a look-up can never visit more nodes than the tree has. It ends at the
// first segment that no pattern knows, so long paths cost nothing.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lb/route/pattern.hpp"
#include "lb/route/text_table.hpp"

namespace weir::route {

class PathIndex {
 public:
  static constexpr uint32_t kNone = TextTable::kNone;

  /// Build: an empty tree; its root.
  uint32_t add_tree();
  /// Build: `route` must not be below any added before it to the same tree. The pattern is exact, below or prefix.
  void insert(uint32_t root, const PathPattern& pattern, uint32_t route);
  /// Build: to be called once, after the last insert.
  void freeze();

  /// The least route < best whose pattern matches and which `accept(route)` takes becomes `best`. Calls accept for
  /// other matching routes < best too, in no particular order. `path` is empty or begins with a slash.
  template <typename Accept>
  void find(uint32_t root, std::string_view path, uint32_t& best, Accept&& accept) const {
    size_t at = 0;  // where the slash of the next segment stands, or the end
    for (uint32_t current = root;;) {
      const Node& node = nodes_[current];
      if (node.least >= best) return;
      scan(node.below, best, accept);
      if (at == path.size()) return scan(node.exact, best, accept);
      if (node.prefix != kNone) find_prefixes(node.prefix, path.substr(at + 1), best, accept);
      if (!node.literals && node.wild == kNone) return;
      const size_t end = std::min(path.find('/', at + 1), path.size());
      const auto segment = path.substr(at + 1, end - at - 1);
      if (node.wild != kNone && !segment.empty()) find(node.wild, path.substr(end), best, accept);
      if (!node.literals) return;
      current = literals_.find(current, segment);
      if (current == kNone) return;
      at = end;
    }
  }

 private:
  struct Span {
    uint32_t first = 0, last = 0;
  };
  struct Node {
    uint32_t least = kNone;   // least route of the node and all below it
    uint32_t wild = kNone;    // child for {name}
    bool literals = false;    // has children in literals_
    Span exact, below;        // in routes_
    uint32_t prefix = kNone;  // root of the prefixes of the next segment, in prefixes_
  };
  /// A tree of its own below a node, whose edges are as long as the shortest prefix that remains: the prefixes of one
  /// length, as in most configurations, take one look-up.
  struct Prefix {
    uint32_t least = kNone;  // least route of it and all below it
    uint32_t stride = 0;     // length of the edges below; 0: none
    Span routes;             // whose prefix ends here
  };
  struct Draft {
    std::map<std::string, uint32_t> literals;
    uint32_t wild = kNone;
    std::vector<uint32_t> exact, below;
    std::map<std::string, std::vector<uint32_t>> prefixes;
  };

  template <typename Accept>
  void scan(Span span, uint32_t& best, Accept& accept) const {
    for (uint32_t i = span.first; i < span.last; ++i) {
      const uint32_t route = routes_[i];
      if (route >= best) return;
      if (!accept(route)) continue;
      best = route;
      return;
    }
  }
  template <typename Accept>
  void find_prefixes(uint32_t current, std::string_view rest, uint32_t& best, Accept& accept) const {
    while (current != kNone && prefixes_[current].least < best) {
      const Prefix& prefix = prefixes_[current];
      scan(prefix.routes, best, accept);
      if (prefix.stride == 0 || rest.size() < prefix.stride) return;
      current = prefix_edges_.find(current, rest.substr(0, prefix.stride));
      rest.remove_prefix(prefix.stride);
    }
  }

  Span keep(const std::vector<uint32_t>& routes);
  struct PrefixRange;
  uint32_t freeze_prefixes(const Draft& draft);
  void split(const PrefixRange& range, std::vector<PrefixRange>& open);

  std::vector<Draft> drafts_;  // until freeze()
  std::vector<Node> nodes_;
  std::vector<uint32_t> routes_;
  std::vector<Prefix> prefixes_;
  TextTable literals_;      // (node, segment) → child
  TextTable prefix_edges_;  // (prefix, the next bytes) → child
};

}  // namespace weir::route
