// Field names to ids, field lines, and the small text helpers of the contract.
#include <algorithm>

#include "lb/net/http1_head.hpp"

namespace weir::http1 {
namespace {

using detail::lower;

// In the order of FieldId.
constexpr std::array<std::string_view, kFieldIds> kNames{"",
                                                         "accept",
                                                         "authorization",
                                                         "connection",
                                                         "content-length",
                                                         "content-type",
                                                         "cookie",
                                                         "date",
                                                         "expect",
                                                         "forwarded",
                                                         "host",
                                                         "http2-settings",
                                                         "keep-alive",
                                                         "location",
                                                         "max-forwards",
                                                         "proxy",
                                                         "proxy-authenticate",
                                                         "proxy-authorization",
                                                         "proxy-connection",
                                                         "proxy-status",
                                                         "referer",
                                                         "retry-after",
                                                         "server",
                                                         "set-cookie",
                                                         "te",
                                                         "traceparent",
                                                         "tracestate",
                                                         "trailer",
                                                         "transfer-encoding",
                                                         "upgrade",
                                                         "user-agent",
                                                         "via",
                                                         "x-forwarded-for",
                                                         "x-forwarded-host",
                                                         "x-forwarded-port",
                                                         "x-forwarded-proto",
                                                         "x-real-ip",
                                                         "x-request-id"};

constexpr size_t kSlots = 256, kShortest = 2, kLongest = 19;

// Length, first byte and the byte at three quarters tell all names apart ("x-forwarded-host" and "-port" differ there).
constexpr size_t slot(uint32_t multiplier, char first, char later, size_t length) {
  const uint32_t key = static_cast<uint32_t>(static_cast<uint8_t>(first | 0x20)) |
                       static_cast<uint32_t>(static_cast<uint8_t>(later | 0x20)) << 8 |
                       static_cast<uint32_t>(length) << 16;
  return key * multiplier >> 24;
}
constexpr size_t slot(uint32_t multiplier, std::string_view name) {
  return slot(multiplier, name[0], name[name.size() * 3 / 4], name.size());
}

consteval uint32_t find_multiplier() {
  for (uint32_t multiplier = 0x9e3779b1;; multiplier += 2) {
    std::array<bool, kSlots> used{};
    bool free = true;
    for (size_t i = 1; i < kFieldIds && free; ++i) {
      bool& place = used[slot(multiplier, kNames[i])];
      free = !place;
      place = true;
    }
    if (free) return multiplier;
  }
}
constexpr uint32_t kMultiplier = find_multiplier();

consteval std::array<uint8_t, kSlots> fill_slots() {
  std::array<uint8_t, kSlots> table{};
  for (size_t i = 1; i < kFieldIds; ++i) table[slot(kMultiplier, kNames[i])] = static_cast<uint8_t>(i);
  return table;
}
constexpr std::array<uint8_t, kSlots> kSlotIds = fill_slots();

struct KnownName {
  char bytes[24];
  char fold[24];  // 0x20 where the name has a letter: with it set, both cases of the letter and nothing else are equal
                  // to it
  uint8_t length;
};
consteval std::array<KnownName, kFieldIds> known_names() {
  std::array<KnownName, kFieldIds> table{};
  for (size_t i = 0; i < kFieldIds; ++i) {
    table[i].length = static_cast<uint8_t>(kNames[i].size());
    for (size_t at = 0; at < kNames[i].size(); ++at) {
      table[i].bytes[at] = kNames[i][at];
      table[i].fold[at] = kNames[i][at] >= 'a' ? 0x20 : 0;
    }
  }
  return table;
}
constexpr std::array<KnownName, kFieldIds> kKnown = known_names();

template <class Word>
bool words_equal(const char* name, const KnownName& known, size_t at) {
  Word given, folded, expected;
  std::memcpy(&given, name + at, sizeof given);
  std::memcpy(&folded, known.fold + at, sizeof folded);
  std::memcpy(&expected, known.bytes + at, sizeof expected);
  return (given | folded) == expected;
}

// Overlapping words cover any length.
bool equals_known(const char* name, const KnownName& known) {
  const size_t length = known.length;
  if (length >= 8) {
    for (size_t at = 0; at + 8 < length; at += 8)
      if (!words_equal<uint64_t>(name, known, at)) return false;
    return words_equal<uint64_t>(name, known, length - 8);
  }
  if (length >= 4) return words_equal<uint32_t>(name, known, 0) && words_equal<uint32_t>(name, known, length - 4);
  return words_equal<uint16_t>(name, known, 0) && words_equal<uint16_t>(name, known, length - 2);
}

}  // namespace

FieldId field_id(std::string_view name) {
  if (name.size() < kShortest || name.size() > kLongest) return FieldId::other;
  const uint8_t candidate = kSlotIds[slot(kMultiplier, name)];
  const KnownName& known = kKnown[candidate];
  if (known.length != name.size() || !equals_known(name.data(), known)) return FieldId::other;
  return static_cast<FieldId>(candidate);
}

std::string_view Head::find(FieldId id) const {
  if (!has(id)) return {};
  for (const Field& field : all())
    if (field.id == id) return value(field);
  return {};
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && detail::is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && detail::is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool equals_ignore_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

bool list_contains(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (equals_ignore_case(trim(list.substr(0, comma)), token)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

bool field_contains(const Head& head, FieldId id, std::string_view token) {
  if (!head.has(id)) return false;
  for (const auto& field : head.all())
    if (field.id == id && list_contains(head.value(field), token)) return true;
  return false;
}

void drop_fields_named(Head& head, std::string_view prefix) {
  for (Field& field : head.all())
    if (equals_ignore_case(head.name(field).substr(0, prefix.size()), prefix)) field.drop = true;
}

std::string_view host_without_port(std::string_view authority) {
  const size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  const size_t colon = bracket == authority.npos ? authority.npos : authority.find(':', bracket);
  return authority.substr(0, colon);
}

size_t skip_empty_lines(std::string_view bytes) {
  size_t skipped = 0;
  while (skipped < 4 && bytes.substr(skipped, 2) == "\r\n") skipped += 2;
  return skipped;
}

namespace detail {

void reset(Head& head, const char* base) {
  head.base = base;
  head.size = 0;
  head.field_count = 0;
  head.minor = 1;
  head.framing = Framing::none;
  head.keep_alive = true;
  head.connection_upgrade = false;
  head.content_length = 0;
  head.seen = 0;
}

namespace {

// The byte after a name is not a colon.
LineResult bad_name(const char* name, const char* p) {
  if (p == name && is_blank(*p)) return {Line::bad, 0, "folded header line (obs-fold)"};
  if (p == name && *p == ':') return {Line::bad, 0, "empty header name"};
  if (is_blank(*p)) return {Line::bad, 0, "blank before the colon of a header"};
  if (*p == '\r' || *p == '\n') return {Line::bad, 0, "header line without a colon"};
  return {Line::bad, 0, "byte in a header name that is not allowed there"};
}

LineResult bad_value(char c) {
  if (c == '\n') return {Line::bad, 0, "bare LF in the head"};
  return {Line::bad, 0, "control byte in a header value"};
}

}  // namespace

LineResult take_field_line(Cursor& cursor, Head& head, uint32_t max_fields) {
  constexpr LineResult kNeedMore{Line::need_more, 0, ""};
  const char* p = cursor.at;
  const char* const end = cursor.end;
  if (p == end) return kNeedMore;
  if (*p == '\r') {
    if (p + 1 == end) return kNeedMore;
    if (p[1] != '\n') return {Line::bad, 0, "bare CR in the head"};
    cursor.at = p + 2;
    return {Line::end, 0, ""};
  }
  if (head.field_count >= max_fields) return {Line::too_large, 0, "too many header fields"};

  const char* const name = p;
  uint8_t classes = 0;
  p = skip_plain(cursor.begin, p, end);
  for (; p < end && is_token_byte(*p); ++p) classes |= byte_class(*p);
  if (p - name > UINT16_MAX) return {Line::too_large, 0, "header name longer than 64 KiB"};
  const char* const name_end = p;
  if (p == end) return kNeedMore;
  if (*p != ':' || p == name) return bad_name(name, p);
  for (++p; p < end && is_blank(*p);) ++p;
  const char* const value = p;
  p = scan_value(cursor.begin, p, end);
  if (p == end) return kNeedMore;
  if (*p != '\r') return bad_value(*p);
  if (p + 1 == end) return kNeedMore;
  if (p[1] != '\n') return {Line::bad, 0, "bare CR in the head"};
  cursor.at = p + 2;
  while (p > value && is_blank(p[-1])) --p;

  Field& field = head.fields[head.field_count++];
  field.name = cursor.offset(name);
  field.name_length = static_cast<uint16_t>(name_end - name);
  field.value = cursor.offset(value);
  field.value_length = static_cast<uint32_t>(p - value);
  field.id = field_id({name, field.name_length});
  field.drop = false;
  head.seen |= bit(field.id);
  return {Line::field, classes, ""};
}

}  // namespace detail
}  // namespace weir::http1
