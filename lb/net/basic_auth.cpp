#include "lb/net/basic_auth.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "lb/net/http1.hpp"

namespace weir::http1 {

namespace {

constexpr std::string_view kScheme = "basic ";
constexpr uint8_t kNone = 0xff;

constexpr std::array<uint8_t, 256> kDigits = [] {
  std::array<uint8_t, 256> table{};
  table.fill(kNone);
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < digits.size(); ++i) table[static_cast<uint8_t>(digits[i])] = static_cast<uint8_t>(i);
  return table;
}();

/// RFC 4648 §4 with padding and, so that one value has one form, no stray bits (§3.5). Returns the bytes, or -1.
int decode_base64(std::string_view text, std::span<char> out) {
  if (text.empty() || text.size() % 4 != 0) return -1;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  const size_t size = text.size() / 4 * 3 - padding;
  if (size > out.size()) return -1;
  text.remove_suffix(padding);
  uint32_t bits = 0;
  size_t held = 0, at = 0;
  for (const char c : text) {
    const uint8_t digit = kDigits[static_cast<uint8_t>(c)];
    if (digit == kNone) return -1;
    bits = bits << 6 | digit;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out[at++] = static_cast<char>(bits >> held);
    bits &= (1u << held) - 1;
  }
  return bits == 0 ? static_cast<int>(at) : -1;
}

}  // namespace

bool is_basic(std::string_view value) {
  return value.size() >= kScheme.size() && equals_ignore_case(value.substr(0, kScheme.size()), kScheme);
}

bool parse_basic(std::string_view value, std::span<char, kMaxCredentials> buffer, BasicCredentials& out) {
  if (!is_basic(value)) return false;
  value.remove_prefix(kScheme.size());
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  const int size = decode_base64(value, buffer);
  if (size < 0) return false;
  const std::string_view decoded(buffer.data(), static_cast<size_t>(size));
  const auto is_control = [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; };
  const size_t colon = decoded.find(':');
  if (colon == std::string_view::npos || std::any_of(decoded.begin(), decoded.end(), is_control)) return false;
  out = {decoded.substr(0, colon), decoded.substr(colon + 1)};
  return out.user.size() <= 255 && out.password.size() <= 255;
}

}  // namespace weir::http1
