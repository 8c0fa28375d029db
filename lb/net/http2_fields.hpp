// Fields in the form of HTTP/1 as those of a frame of HTTP/2 (RFC 9113 §8.2).
#pragma once
#include <memory>
#include <span>
#include <string_view>

namespace weir::http2 {

/// A field section for nghttp2. Nothing is copied: names and values stay where they are until it was submitted. Kept
/// and cleared, it allocates nothing once it is warm.
class FieldSection {
 public:
  FieldSection();
  ~FieldSection();
  FieldSection(const FieldSection&) = delete;
  FieldSection& operator=(const FieldSection&) = delete;
  void clear();
  /// `name` in lower case.
  void add(std::string_view name, std::string_view value);
  /// Lines "Name: value" up to the empty one or the end; names are moved to lower case where they stand. Left out is
  /// what means nothing here or would be malformed: connection-specific fields (§8.2.2; "te: trailers" stays) and Host,
  /// which is :authority.
  void add_lines(std::span<char> lines);
  /// All of that name.
  void remove(std::string_view name);
  /// For lb/net/http2_*.cpp.
  struct Rows;
  const Rows& rows() const { return *rows_; }

 private:
  std::unique_ptr<Rows> rows_;
};

/// Does the field speak of one connection of HTTP/1 alone? `name` in lower case.
bool connection_specific(std::string_view name, std::string_view value);

}  // namespace weir::http2
