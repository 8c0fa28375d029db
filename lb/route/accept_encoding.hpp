// Accept-Encoding (RFC 9110 §12.5.3): which coding the client gets.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "lb/base/content_coding.hpp"

namespace weir::route {

class AcceptEncoding {
 public:
  /// One line of the field; several are one list. An element that can't be read counts for nothing; of two that name
  /// the same coding the first counts.
  void add(std::string_view line);
  /// The coding of the highest quality; the first of `offered` among equals. Nothing: the client gets identity, which
  /// it does when it has not asked for anything else, and when it wants identity more.
  std::optional<ContentCoding> choose(std::span<const ContentCoding> offered) const;
  /// In thousandths; 0: not acceptable.
  uint16_t quality(ContentCoding coding) const;

 private:
  static constexpr int16_t kUnsaid = -1;
  void note(std::string_view coding, int16_t quality);
  std::array<int16_t, kContentCodings.size()> codings_{kUnsaid, kUnsaid};
  int16_t identity_ = kUnsaid, others_ = kUnsaid;
};

/// qvalue in thousandths (RFC 9110 §12.4.2); nothing if it isn't one.
std::optional<int16_t> parse_quality(std::string_view text);

}  // namespace weir::route
