// Host and path patterns of a route: what they match, and whether one covers all that another matches.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::route {

/// Longer hosts match no host pattern: a DNS name has at most 253 bytes (RFC 1035 §2.3.4).
inline constexpr size_t kMaxHost = 255;

/// The host of a request, lower case and without a trailing dot; empty if it is longer than kMaxHost. Needs no
/// allocation.
class FoldedHost {
 public:
  explicit FoldedHost(std::string_view host);
  FoldedHost(const FoldedHost&) = delete;
  FoldedHost& operator=(const FoldedHost&) = delete;
  std::string_view view() const { return {buffer_, size_}; }

 private:
  size_t size_ = 0;
  char buffer_[kMaxHost + 9];  // room for the last word of eight
};

/// "example.com", "*.example.com" (any depth below, not example.com itself), "*" (any).
class HostPattern {
 public:
  enum class Kind { any, exact, below };
  explicit HostPattern(std::string_view text);
  Kind kind() const { return kind_; }
  /// Lower case, without "*." and trailing dot.
  const std::string& name() const { return name_; }
  /// `host` is a FoldedHost's view.
  bool matches(std::string_view host) const;
  bool covers(const HostPattern& other) const;

 private:
  Kind kind_;
  std::string name_;
};

/// "/a" exact; "/a/*" is /a and all below it; "/a*" a prefix of bytes; a segment "{name}" is any one segment that is
/// not empty;
/// "" and "*" are any path at all. Escapes are compared in the form that a normalised request has (RFC 3986 §6.2.2):
/// "%7e" is "~",
/// "%c3" is "%C3", and bytes that can't stand in a path are taken as escaped ("/é" is "/%C3%A9").
class PathPattern {
 public:
  enum class Kind {
    any,
    exact,
    below,
    prefix,
    odd,  // begins with no slash: can match only the "*" of OPTIONS
  };
  struct Segment {
    std::string text;
    bool wild = false;
    bool covers(const Segment& other) const {
      return wild ? other.wild || !other.text.empty() : !other.wild && text == other.text;
    }
  };
  explicit PathPattern(std::string_view text);
  Kind kind() const { return kind_; }
  const std::vector<Segment>& segments() const { return segments_; }
  /// prefix: what the segment after segments() begins with, never empty. odd: the text.
  const std::string& tail() const { return tail_; }
  bool matches(std::string_view path) const;
  bool covers(const PathPattern& other) const;
  /// Some path that the pattern matches.
  std::string example() const;
  /// "/a/*" as "/a", "/a/" and "/a/{x}/*": all that a request can have, whose // are merged. Others can't be parted.
  std::vector<PathPattern> parts() const;

 private:
  PathPattern(Kind kind, std::vector<Segment> segments) : kind_(kind), segments_(std::move(segments)) {}
  bool below_covers(const PathPattern& other) const;
  bool prefix_covers(const PathPattern& other) const;
  bool segments_cover(const PathPattern& other, size_t count) const;

  Kind kind_ = Kind::any;
  std::vector<Segment> segments_;
  std::string tail_;
};

}  // namespace weir::route
