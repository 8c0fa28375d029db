// HTTP/1.x as pure functions over bytes: no I/O, no allocation on the common path. Strict by security-rules A–C: what
// is ambiguous is an error, so that no other server in the chain can read it differently.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "lb/base/cause.hpp"

namespace weir::http1 {

/// Fields that the proxy itself looks at; everything else is `other`.
enum class FieldId : uint8_t {
  other,
  accept,
  authorization,
  connection,
  content_length,
  content_type,
  cookie,
  date,
  expect,
  forwarded,
  host,
  http2_settings,
  keep_alive,
  location,
  max_forwards,
  proxy,
  proxy_authenticate,
  proxy_authorization,
  proxy_connection,
  proxy_status,
  referer,
  retry_after,
  server,
  set_cookie,
  te,
  traceparent,
  tracestate,
  trailer,
  transfer_encoding,
  upgrade,
  user_agent,
  via,
  x_forwarded_for,
  x_forwarded_host,
  x_forwarded_port,
  x_forwarded_proto,
  x_real_ip,
  x_request_id,
};
inline constexpr size_t kFieldIds = static_cast<size_t>(FieldId::x_request_id) + 1;

/// The id of a field name, in any case.
FieldId field_id(std::string_view name);

/// Offsets, not pointers: a head may be moved.
struct Field {           // without initialisers: a Head on the stack must not cost 5 KiB of zeros
  uint32_t name, value;  // from the start of the head
  uint32_t value_length;
  uint16_t name_length;
  FieldId id;
  bool drop;  // hop-by-hop, named by Connection, or refused by policy: never forwarded
};

enum class Method : uint8_t { other, GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, CONNECT, TRACE };
enum class Framing : uint8_t { none, length, chunked, until_close };  // until_close: responses alone

inline constexpr uint32_t kMaxFields = 256;  // limits.header_count may not be set above it

/// A parsed head. `base` points to its first byte; whoever moves the bytes sets it anew.
struct Head {
  const char* base = nullptr;
  uint32_t size = 0;  // bytes of the head, its last empty line included
  uint16_t field_count = 0;
  uint8_t minor = 1;  // HTTP/1.minor; 2: it came by HTTP/2
  Framing framing = Framing::none;
  bool keep_alive = true;           // may the connection be used again after this message?
  bool connection_upgrade = false;  // Connection names Upgrade
  /// Of the field, when has(FieldId::content_length); answers to HEAD and 304 carry one although Framing::none.
  uint64_t content_length = 0;
  uint64_t seen = 0;                     // bit per FieldId
  std::array<Field, kMaxFields> fields;  // first: only field_count are set

  std::string_view view(uint32_t offset, uint32_t length) const { return {base + offset, length}; }
  std::string_view name(const Field& f) const { return view(f.name, f.name_length); }
  std::string_view value(const Field& f) const { return view(f.value, f.value_length); }
  bool has(FieldId id) const { return seen >> static_cast<unsigned>(id) & 1; }
  /// The first value, empty if there is none; fields marked drop are found too (Upgrade, Connection).
  std::string_view find(FieldId id) const;
  std::span<const Field> all() const { return {fields.data(), field_count}; }
  std::span<Field> all() { return {fields.data(), field_count}; }
};
static_assert(kFieldIds <= 64);

struct RequestHead : Head {
  Method method = Method::other;
  uint32_t method_offset = 0, method_length = 0;
  uint32_t target = 0, target_length = 0;  // as sent
  /// The effective authority: that of an absolute-form target, else Host; validated (B3, B4).
  uint32_t host_offset = 0, host_length = 0;
  /// The raw path of the target, "*" for OPTIONS *; empty for an absolute form without path.
  uint32_t path = 0, path_length = 0;
  uint32_t query = 0, query_length = 0;  // raw, without "?"
  bool has_query = false;
  bool expect_continue = false;
  bool absolute_form = false;
  uint32_t underscores_dropped = 0;

  std::string_view method_view() const { return view(method_offset, method_length); }
  std::string_view host() const { return view(host_offset, host_length); }
  /// An absolute form without path is "/"; with OPTIONS and without query it is "*" (RFC 9112 §3.2.4).
  std::string_view path_view() const {
    if (path_length) return view(path, path_length);
    return method == Method::OPTIONS && !has_query ? std::string_view("*") : std::string_view("/");
  }
  std::string_view query_view() const { return view(query, query_length); }
};

struct ResponseHead : Head {
  uint16_t status = 0;
  uint32_t reason = 0, reason_length = 0;
  /// Seconds of `Keep-Alive: timeout=N`, 0 if absent.
  uint32_t keep_alive_timeout = 0;
};

struct RequestRules {
  uint32_t header_bytes = 32 << 10, header_count = 100, target_bytes = 8 << 10;
  enum class Underscores : uint8_t { drop, reject, allow } underscores = Underscores::drop;
  bool tls = false;  // which scheme an absolute-form target must have
};

enum class Parse : uint8_t { need_more, done, error };

/// `cause` and `detail` are set with Parse::error; `detail` is a constant for the log, never client input.
struct ParseResult {
  Parse status = Parse::need_more;
  Cause cause = Cause::none;
  const char* detail = "";
};

/// Parses a request head from the start of `bytes` (empty lines before it must be skipped by skip_empty_lines). Errors
/// are found as early as their bytes are there, and the answer does not depend on how the bytes were split; a head of
/// more than rules.header_bytes is Cause::header_too_large. Fields get `drop` per C2–C4; Content-Length and
/// Transfer-Encoding too, since the writer frames anew. With Parse::error the method and target are set as far as they
/// were read, for the log.
ParseResult parse_request(std::string_view bytes, const RequestRules& rules, RequestHead& head);
/// RFC 9112 §2.2: how many bytes of CRLFs (at most 2 of them) stand before a request line. A lone CR at the end is not
/// counted yet, and parse_request asks for more when that is all there is.
size_t skip_empty_lines(std::string_view bytes);

struct ResponseRules {
  uint32_t header_bytes = 64 << 10, header_count = 200;
};
/// `request_method`: HEAD answers and CONNECT have no body. 1xx, 204, 304 have none either. `drop` is set for
/// hop-by-hop fields.
ParseResult parse_response(std::string_view bytes, Method request_method, const ResponseRules& rules,
                           ResponseHead& head);

/// Decodes a chunked body in place, piece by piece, with any split points (A7–A9).
class ChunkDecoder {
 public:
  struct Limits {
    uint32_t extension_bytes = 4 << 10, trailers = 16, trailer_bytes = 4 << 10;
  };
  enum class Status : uint8_t { need_more, data, done, error };
  struct Step {
    Status status;
    size_t consumed;        // bytes of the input that are done with
    std::string_view data;  // with Status::data: a piece of the body, inside the input
  };
  explicit ChunkDecoder(Limits limits) : limits_(limits) {}
  ChunkDecoder() = default;
  /// Takes the next step: call it again with the rest of the input until it asks for more. Trailers are checked and
  /// dropped.
  Step next(std::string_view input);
  Cause cause() const { return cause_; }  // bad_framing, or header_too_large for trailers
  const char* detail() const { return detail_; }
  uint64_t remaining() const { return remaining_; }  // of the current chunk

 private:
  enum class State : uint8_t;
  const char* take_size_line(const char* p, const char* end);
  const char* take_extension(const char* p, const char* end);
  const char* take_trailers(const char* p, const char* end);
  const char* fail(Cause cause, const char* detail, const char* at);

  Limits limits_;
  uint64_t remaining_ = 0;
  uint32_t extension_bytes_ = 0, trailer_bytes_ = 0, trailers_ = 0;
  State state_{};  // the first: a size is expected
  uint8_t digits_ = 0;
  Cause cause_ = Cause::none;
  const char* detail_ = "";
};

/// The two forms of a path (B6–B10), each computed once.
struct NormalizedPath {
  std::string_view forwarded, matched;  // into the raw path when nothing changes, else into `storage`
};
struct PathRules {
  bool reject_escaped_slash = false, reject_params = false;
};
/// False: the path is refused with 400; `detail` says why.
bool normalize_path(std::string_view raw, const PathRules& rules, std::string& storage, NormalizedPath& out,
                    const char*& detail);

/// Does a comma-separated list contain the token, case-insensitively?
bool list_contains(std::string_view list, std::string_view token);
/// The same over all lines of a field (RFC 9110 §5.3: they are one list); lines marked drop are looked at too.
bool field_contains(const Head& head, FieldId id, std::string_view token);
bool equals_ignore_case(std::string_view a, std::string_view b);
/// A host without its port: "a.b:80" → "a.b", "[::1]:80" → "[::1]".
std::string_view host_without_port(std::string_view authority);
/// Marks the fields whose name begins so (lower case) with drop.
void drop_fields_named(Head& head, std::string_view prefix);
/// Removes blanks and tabs at both ends.
std::string_view trim(std::string_view text);

}  // namespace weir::http1
