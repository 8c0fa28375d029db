// Private to lb/net/http1_*.cpp: what request and response heads have in common.
#pragma once
#include "lb/net/http1.hpp"
#include "lb/net/http1_scan.hpp"

namespace weir::http1::detail {

constexpr uint64_t bit(FieldId id) { return uint64_t{1} << static_cast<unsigned>(id); }

/// A position in the head that is being parsed.
struct Cursor {
  const char* begin;
  const char* at;
  const char* end;

  uint32_t offset(const char* p) const { return static_cast<uint32_t>(p - begin); }
};

enum class Line : uint8_t { field, end, need_more, too_large, bad };

struct LineResult {
  Line line;
  uint8_t classes;     // OR of the byte classes of the name, with Line::field
  const char* detail;  // with Line::too_large and Line::bad
};

/// Reads one field line, or the empty line after the last, and moves the cursor behind it. A field is stored in
/// head.fields (id included), counted and added to head.seen. Answers are judged like requests: a blank before the
/// colon, which RFC 9112 §5.1 forbids a proxy to forward, refuses the message instead of being removed.
LineResult take_field_line(Cursor& cursor, Head& head, uint32_t max_fields);

/// Prepares a head for parsing at `base`; the fields themselves are left as they are.
void reset(Head& head, const char* base);

/// RFC 9112 §6.2 and A4: 1–19 digits, nothing else, and below 2^63 since others keep lengths in signed numbers.
bool parse_content_length(std::string_view value, uint64_t& length);

enum class Coding : uint8_t { chunked, malformed, unsupported };
/// A2. `unsupported` is a well-formed list of codings of which chunked, if it is there, comes last and once.
Coding parse_transfer_encoding(std::string_view value);

struct ConnectionOptions {
  bool close = false, keep_alive = false, upgrade = false;
  bool malformed = false;   // an element that is no token, or more than 64 of them
  bool protected_ = false;  // names a field that C3 protects
};
/// Reads all Connection fields and marks what they name with drop (RFC 9110 §7.6.1).
ConnectionOptions apply_connection(Head& head);

/// Marks all fields whose id is in the set with drop.
void drop_fields(Head& head, uint64_t ids);

/// RFC 3986 §3.2.2 without userinfo: reg-name, IPv4 or [IPv6], and an optional port (B3). Never empty. `begin`: the
/// start of the head that it stands in.
bool valid_authority(const char* begin, std::string_view authority, const char*& detail);

}  // namespace weir::http1::detail
