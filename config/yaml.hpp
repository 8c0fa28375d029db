// YAML as a small tree of our own with the place of every value; the strict subset that a configuration needs
// (docs/configuration.md). yaml-cpp stands behind it, in yaml.cpp alone.
#pragma once
#include <compare>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::config {

/// Where something stands: `file` is an index in the loader's list of files, line and column count from 1. Sorts in
/// reading order.
struct Place {
  int file = 0, line = 1, column = 1;
  auto operator<=>(const Place&) const = default;
};

/// A problem before its file has a name.
struct Finding {
  Place at;
  std::string message;
};

struct Entry;

struct Node {
  /// `broken`: a problem was reported for it already, so that readers stay silent about it.
  enum class Kind { null, scalar, list, map, broken };

  explicit Node(Kind node_kind = Kind::null, Place place = {});

  Kind kind;
  bool quoted = false;  // a scalar in quotes or a block scalar: always text
  Place at;
  std::string text;            // scalar
  std::vector<Node> items;     // list
  std::vector<Entry> entries;  // map, in the order of the file

  bool is_plain() const { return kind == Kind::scalar && !quoted; }
  /// The value of `key` in a map, or nullptr.
  const Node* find(std::string_view key) const;
  const Entry* find_entry(std::string_view key) const;
};

struct Entry {
  std::string key;
  Place at;
  Node value{};
};

inline Node::Node(Kind node_kind, Place place) : kind(node_kind), at(place) {}

inline constexpr size_t kMaxFileBytes = 4 << 20;
inline constexpr int kMaxDepth = 32;
inline constexpr size_t kMaxProblems = 1000;  // found in one go; what comes after is dropped
inline constexpr size_t kMaxNodes = 500'000;  // in one file

/// Parses one document. Refused, each with its place: duplicate keys, anchors, aliases, `<<`, tags, a second document,
/// keys that are no plain text, more than kMaxDepth levels, kMaxNodes values or kMaxFileBytes bytes, bytes that are not
/// UTF-8. Empty after a problem that leaves no tree; a text without any value gives a null node.
std::optional<Node> parse_yaml(std::string_view text, int file, std::vector<Finding>& problems);

}  // namespace weir::config
