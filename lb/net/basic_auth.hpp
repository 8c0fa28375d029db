// The Basic authentication scheme (RFC 7617). Pure: bytes in, user and password out.
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

namespace weir::http1 {

struct BasicCredentials {
  std::string_view user, password;  // in the buffer that was passed
};

/// Room that is enough for any credentials that are taken: user name and password of 255 bytes each.
inline constexpr size_t kMaxCredentials = 511;

/// Does an Authorization value carry this scheme at all?
bool is_basic(std::string_view value);
/// Decodes `Basic BASE64`, strictly: padded, nothing behind it, no control characters in either part (RFC 7617 §2).
/// False: it is none, or too long for `buffer`.
bool parse_basic(std::string_view value, std::span<char, kMaxCredentials> buffer, BasicCredentials& out);

}  // namespace weir::http1
