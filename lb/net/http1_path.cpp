// The two forms of a path (security-rules B6–B10, RFC 3986 §6.2.2).
#include "lb/net/http1.hpp"
#include "lb/net/http1_scan.hpp"

namespace weir::http1 {
namespace {

using namespace detail;

bool is_path_byte(char c) { return is_target_byte(c) && c != '\\' && c != '?'; }

// Nothing to rewrite and nothing to refuse: no escape, parameter, empty segment or dot after a slash.
bool is_plain(std::string_view path) {
  const char* p = path.data();
  const char* const end = p + path.size();
#ifdef __SSE2__
  const __m128i first = _mm_set1_epi8(0x21), last = _mm_set1_epi8(0x7e), slash = _mm_set1_epi8('/');
  const __m128i dot = _mm_set1_epi8('.'), percent = _mm_set1_epi8('%'), semicolon = _mm_set1_epi8(';');
  const __m128i hash = _mm_set1_epi8('#'), question = _mm_set1_epi8('?'), backslash = _mm_set1_epi8('\\');
  for (; end - p > 16; p += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i after = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 1));
    const __m128i range = _mm_or_si128(_mm_cmplt_epi8(bytes, first), _mm_cmpgt_epi8(bytes, last));
    const __m128i special = _mm_or_si128(_mm_cmpeq_epi8(bytes, percent), _mm_cmpeq_epi8(bytes, semicolon));
    const __m128i refused = _mm_or_si128(
        _mm_cmpeq_epi8(bytes, hash), _mm_or_si128(_mm_cmpeq_epi8(bytes, question), _mm_cmpeq_epi8(bytes, backslash)));
    const __m128i slash_or_dot = _mm_or_si128(_mm_cmpeq_epi8(after, slash), _mm_cmpeq_epi8(after, dot));
    const __m128i pair = _mm_and_si128(_mm_cmpeq_epi8(bytes, slash), slash_or_dot);
    const __m128i found = _mm_or_si128(_mm_or_si128(range, special), _mm_or_si128(refused, pair));
    if (_mm_movemask_epi8(found)) return false;
  }
#endif
  for (; p < end; ++p) {
    if (!is_path_byte(*p) || *p == '%' || *p == ';') return false;
    if (*p == '/' && end - p > 1 && (p[1] == '/' || p[1] == '.')) return false;
  }
  return true;
}

// Appends the path with unreserved escapes decoded and hex digits in upper case.
bool decode_unreserved(std::string_view raw, const PathRules& rules, std::string& out, const char*& detail) {
  for (size_t i = 0; i < raw.size(); ++i) {
    const char c = raw[i];
    if (c != '%') {
      if (!is_path_byte(c)) return detail = "byte in the path that is not allowed there", false;
      if (c == ';' && rules.reject_params) return detail = "parameters (;) in the path", false;
      out += c;
      continue;
    }
    const int high = i + 2 < raw.size() ? hex_value(raw[i + 1]) : -1;
    const int low = i + 2 < raw.size() ? hex_value(raw[i + 2]) : -1;
    if (high < 0 || low < 0) return detail = "bad % escape in the path", false;
    const char byte = static_cast<char>(high << 4 | low);
    const auto code = static_cast<uint8_t>(byte);
    if (code < 0x20 || code == 0x7f) return detail = "escaped control byte in the path", false;
    if ((byte == '/' || byte == '\\') && rules.reject_escaped_slash) return detail = "escaped slash in the path", false;
    constexpr const char* kHex = "0123456789ABCDEF";
    if (byte_class(byte) & kUnreserved) {
      out += byte;
    } else {
      out += '%';
      out += kHex[high];
      out += kHex[low];
    }
    i += 2;
  }
  return true;
}

bool is_dots(std::string_view segment) { return segment == "." || segment == ".."; }

// Would a server that decodes %2F or %5C, or drops parameters first, see a dot segment inside this one (B8)?
bool hides_dots(std::string_view segment) {
  size_t start = 0;
  for (size_t i = 0; i <= segment.size(); ++i) {
    const std::string_view here = segment.substr(i);
    const bool slash = here.starts_with("%2F") || here.starts_with("%5C");
    if (!slash && !here.empty()) continue;
    const std::string_view part = segment.substr(start, i - start);
    if (is_dots(part.substr(0, part.find(';')))) return true;
    start = i + 3;
  }
  return false;
}

// RFC 3986 §5.2.4 in place over storage[0…]: the written part never overtakes the part to be read.
bool remove_dot_segments(std::string& path, const char*& detail) {
  size_t written = 0;
  for (size_t at = 0; at < path.size();) {  // path[at] is the slash before a segment
    const size_t end = std::min(path.find('/', at + 1), path.size());
    const std::string_view segment = std::string_view(path).substr(at + 1, end - at - 1);
    const bool last = end == path.size();
    if (is_dots(segment)) {
      if (segment == "..") {
        if (written == 0) return detail = "the path leads above its root", false;
        written = path.rfind('/', written - 1);
      }
      if (last) path[written++] = '/';
    } else {
      if (hides_dots(segment)) return detail = "dot segment hidden by an escaped slash or by parameters", false;
      std::memmove(path.data() + written, path.data() + at, end - at);
      written += end - at;
    }
    at = end;
  }
  path.resize(written);
  return true;
}

// Appends the matched form of path[0…length) to it: parameters dropped, then empty segments merged.
void append_matched(std::string& path, size_t length) {
  for (size_t i = 0; i < length; ++i) {
    const char c = path[i];
    if (c == ';') {
      i = std::min(path.find('/', i), length) - 1;
      continue;
    }
    if (c == '/' && path.size() > length && path.back() == '/') continue;
    path += c;
  }
}

}  // namespace

bool normalize_path(std::string_view raw, const PathRules& rules, std::string& storage, NormalizedPath& out,
                    const char*& detail) {
  if (raw == "*") return out = {raw, raw}, true;
  if (!raw.starts_with('/')) return detail = "the path does not begin with a slash", false;
  if (is_plain(raw)) return out = {raw, raw}, true;

  storage.clear();
  storage.reserve(raw.size() * 2);  // both forms: no view into it may move
  if (!decode_unreserved(raw, rules, storage, detail) || !remove_dot_segments(storage, detail)) return false;
  const size_t length = storage.size();
  const bool same = storage.find(';') == storage.npos && storage.find("//") == storage.npos;
  if (!same) append_matched(storage, length);
  const std::string_view all = storage;
  const std::string_view forwarded = all.substr(0, length) == raw ? raw : all.substr(0, length);
  out = {forwarded, same ? forwarded : all.substr(length)};
  return true;
}

}  // namespace weir::http1
