// Private to lb/net/http1_*.cpp: byte classes and the scanners over them. None reads a byte outside [p, end).
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace weir::http1::detail {

enum : uint8_t {
  kToken = 1,       // tchar, RFC 9110 §5.6.2
  kUnderscore = 2,  // "_", so that one OR over a name tells whether it has one
  kRegName = 4,     // unreserved and sub-delims of RFC 3986 §2, without the comma that B3 refuses
  kUnreserved = 8,  // RFC 3986 §2.3
  kDigit = 16,
};

consteval std::array<uint8_t, 256> byte_classes() {
  std::array<uint8_t, 256> table{};
  auto add = [&](std::string_view bytes, uint8_t bits) {
    for (char c : bytes) table[static_cast<uint8_t>(c)] |= bits;
  };
  add("0123456789", kDigit);
  for (std::string_view group : {"abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"})
    add(group, kToken | kRegName | kUnreserved);
  add("!#$%&'*+-.^_`|~", kToken);
  add("-._~", kRegName | kUnreserved);
  add("!$&'()*+;=", kRegName);
  add("_", kUnderscore);
  return table;
}
inline constexpr std::array<uint8_t, 256> kByteClass = byte_classes();

inline uint8_t byte_class(char c) { return kByteClass[static_cast<uint8_t>(c)]; }
inline bool is_token_byte(char c) { return byte_class(c) & kToken; }
inline bool is_digit(char c) { return static_cast<unsigned>(c - '0') < 10; }
inline bool is_blank(char c) { return c == ' ' || c == '\t'; }
inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

/// 0–15, or -1.
inline int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char l = static_cast<char>(c | 0x20);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

inline bool is_token(std::string_view text) {
  for (char c : text)
    if (!is_token_byte(c)) return false;
  return !text.empty();
}

/// field-vchar, blank, tab (RFC 9110 §5.5): everything but control bytes.
inline bool is_value_byte(char c) {
  const auto u = static_cast<uint8_t>(c);
  return (u >= 0x20 && u != 0x7f) || u == '\t';
}

/// 0x21–0x7e without "#" (B2).
inline bool is_target_byte(char c) {
  const auto u = static_cast<uint8_t>(c);
  return u > 0x20 && u < 0x7f && u != '#';
}

/// The first byte that is not a token byte.
inline const char* scan_token(const char* p, const char* end) {
  while (p < end && is_token_byte(*p)) ++p;
  return p;
}

/// The first byte that may not stand in a field value or a reason phrase.
inline const char* scan_value(const char* p, const char* end) {
#ifdef __SSE2__
  const __m128i controls = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
  for (; end - p >= 16; p += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, controls), bytes);
    const __m128i bad = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), low), _mm_cmpeq_epi8(bytes, del));
    if (const int mask = _mm_movemask_epi8(bad)) return p + std::countr_zero(static_cast<unsigned>(mask));
  }
#endif
  while (p < end && is_value_byte(*p)) ++p;
  return p;
}

/// The first byte that may not stand in a request target.
inline const char* scan_target(const char* p, const char* end) {
#ifdef __SSE2__
  const __m128i first = _mm_set1_epi8(0x21), hash = _mm_set1_epi8('#'), del = _mm_set1_epi8(0x7f);
  for (; end - p >= 16; p += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i below = _mm_cmplt_epi8(bytes, first);  // signed: 0x80–0xff are below too
    const __m128i bad = _mm_or_si128(below, _mm_or_si128(_mm_cmpeq_epi8(bytes, hash), _mm_cmpeq_epi8(bytes, del)));
    if (const int mask = _mm_movemask_epi8(bad)) return p + std::countr_zero(static_cast<unsigned>(mask));
  }
#endif
  while (p < end && is_target_byte(*p)) ++p;
  return p;
}

}  // namespace weir::http1::detail
