// Private to lb/net/http1_*.cpp: byte classes and the scanners over them.
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

#ifdef __SSE2__
/// The first byte of [p, end) for which `stop`, which looks at 16 bytes at once, sets its bit. A last piece of fewer
/// bytes is read together with those before it: at least 16 bytes before `end` must be readable.
template <class Stop>
inline const char* scan_blocks(const char* p, const char* end, Stop stop) {
  auto load = [](const char* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); };
  for (; end - p >= 16; p += 16)
    if (const auto mask = static_cast<unsigned>(_mm_movemask_epi8(stop(load(p))))) return p + std::countr_zero(mask);
  if (p == end) return end;
  const auto mask = static_cast<unsigned>(_mm_movemask_epi8(stop(load(end - 16)))) >> (16 - (end - p));
  return mask ? p + std::countr_zero(mask) : end;
}
inline __m128i in_range(__m128i bytes, char first, char last) {
  const __m128i from_first = _mm_sub_epi8(bytes, _mm_set1_epi8(first));
  return _mm_cmpeq_epi8(_mm_min_epu8(from_first, _mm_set1_epi8(static_cast<char>(last - first))), from_first);
}
#endif

/// Skips letters, digits, "-" and ".", which nearly all names and hosts are made of, as far as it can do so quickly;
/// the caller goes on byte by byte. Here and below `begin` is the start of the readable memory before p.
inline const char* skip_plain([[maybe_unused]] const char* begin, const char* p, [[maybe_unused]] const char* end) {
#ifdef __SSE2__
  if (end - begin >= 16) [[likely]]
    return scan_blocks(p, end, [](__m128i bytes) {
      const __m128i letters = in_range(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 'z');
      const __m128i others = _mm_or_si128(in_range(bytes, '0', '9'), in_range(bytes, '-', '.'));
      return _mm_cmpeq_epi8(_mm_or_si128(letters, others), _mm_setzero_si128());
    });
#endif
  return p;
}

/// The first byte that may not stand in a field value or a reason phrase.
inline const char* scan_value([[maybe_unused]] const char* begin, const char* p, const char* end) {
#ifdef __SSE2__
  if (end - begin >= 16) [[likely]]
    return scan_blocks(p, end, [](__m128i bytes) {
      const __m128i low = in_range(bytes, 0, 0x1f), tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
      return _mm_or_si128(_mm_andnot_si128(tab, low), _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
    });
#endif
  while (p < end && is_value_byte(*p)) ++p;
  return p;
}

/// The first byte that may not stand in a request target.
inline const char* scan_target([[maybe_unused]] const char* begin, const char* p, const char* end) {
#ifdef __SSE2__
  if (end - begin >= 16) [[likely]]
    return scan_blocks(p, end, [](__m128i bytes) {
      const __m128i outside = _mm_cmpeq_epi8(in_range(bytes, 0x21, 0x7e), _mm_setzero_si128());
      return _mm_or_si128(outside, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('#')));
    });
#endif
  while (p < end && is_target_byte(*p)) ++p;
  return p;
}

}  // namespace weir::http1::detail
