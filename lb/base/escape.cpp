#include "lb/base/escape.hpp"

#include <array>
#include <cstdint>
#include <cstring>

namespace weir {
namespace {

/// Bytes that every style copies as they are; everything else takes the slow path.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (size_t c = 0x20; c < 0x7f; ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}();

/// Eight bytes at once (Mycroft's test for a zero byte): is any of them not plain?
bool has_special(const char* bytes) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHighs = 0x8080808080808080;
  uint64_t word;
  std::memcpy(&word, bytes, sizeof(word));
  const auto has_zero = [](uint64_t x) { return (x - kOnes) & ~x; };
  const uint64_t control = (word - kOnes * 0x20) & ~word;
  return ((word | control | has_zero(word ^ (kOnes * '"')) | has_zero(word ^ (kOnes * '\\')) |
           has_zero(word ^ (kOnes * 0x7f))) &
          kHighs) != 0;
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// Length of the well-formed UTF-8 sequence (Unicode 15 table 3-7: no overlong form, no surrogate, nothing above
/// U+10FFFF) that begins `text`, whose first byte is ≥ 0x80; 0 if there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  size_t length = 0;
  unsigned char low = 0x80, high = 0xbf;  // of the second byte
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  }
  if (length == 0 || text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i)
    if (!is_continuation(text[i])) return 0;
  return length;
}

constexpr char kHex[] = "0123456789abcdef";

void append_byte(unsigned char c, EscapeStyle style, bool is_character, std::string& out) {
  const char digits[2] = {kHex[c >> 4], kHex[c & 15]};
  if (style != EscapeStyle::combined) {
    const char* short_form = c == '"'    ? "\\\""
                             : c == '\\' ? "\\\\"
                             : c == '\n' ? "\\n"
                             : c == '\r' ? "\\r"
                             : c == '\t' ? "\\t"
                                         : nullptr;
    if (short_form) {
      out.append(short_form, 2);
      return;
    }
  }
  if (style == EscapeStyle::json) {
    out.append(is_character ? "\\u00" : "\\\\x");
  } else {
    out.append("\\x");
  }
  out.append(digits, 2);
}

}  // namespace

std::string_view cut_log_field(std::string_view text) {
  if (text.size() <= kLogFieldBytes) return text;
  size_t end = kLogFieldBytes;
  for (int i = 0; i < 3 && is_continuation(text[end]); ++i) --end;
  return text.substr(0, end);
}

void append_escaped(std::string_view text, EscapeStyle style, std::string& out) {
  text = cut_log_field(text);
  size_t i = 0;
  while (i < text.size()) {
    size_t run = i;
    while (run + 8 <= text.size() && !has_special(text.data() + run)) run += 8;
    while (run < text.size() && kPlain[static_cast<unsigned char>(text[run])]) ++run;
    out.append(text, i, run - i);
    i = run;
    if (i == text.size()) return;
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      append_byte(c, style, true, out);
      ++i;
      continue;
    }
    const size_t length = utf8_length(text.substr(i));
    const bool c1_control = c == 0xc2 && length == 2 && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1_control && style == EscapeStyle::json) {
      append_byte(static_cast<unsigned char>(text[i + 1]), style, true, out);
      i += 2;
    } else if (length == 0 || c1_control) {
      append_byte(c, style, false, out);
      ++i;
    } else {
      out.append(text, i, length);
      i += length;
    }
  }
}

}  // namespace weir
