// Request heads (RFC 9112 §3, §5, §6; security-rules A, B, C).
#include <algorithm>

#include "lb/base/own_fields.hpp"
#include "lb/net/http1_head.hpp"

namespace weir::http1 {
namespace {

using namespace detail;

constexpr uint32_t kMaxMethod = 32;

// Dropped whether Connection names them or not (C4), with those that the writer sets itself. Trailer goes too: trailers
// are dropped (A9), so announcing them would be untrue.
constexpr uint64_t kHopByHop = bit(FieldId::connection) | bit(FieldId::keep_alive) | bit(FieldId::proxy_connection) |
                               bit(FieldId::proxy_authorization) | bit(FieldId::proxy) | bit(FieldId::te) |
                               bit(FieldId::trailer) | bit(FieldId::upgrade) | bit(FieldId::http2_settings) |
                               bit(FieldId::content_length) | bit(FieldId::transfer_encoding);
constexpr uint64_t kChecked =
    bit(FieldId::host) | bit(FieldId::content_length) | bit(FieldId::transfer_encoding) | bit(FieldId::expect);

constexpr ParseResult kNeedMore{};
constexpr ParseResult kDone{Parse::done, Cause::none, ""};
ParseResult refuse(Cause cause, const char* detail) { return {Parse::error, cause, detail}; }
ParseResult bad_request(const char* detail) { return refuse(Cause::bad_request, detail); }

Method method_of(std::string_view name) {
  constexpr std::string_view kMethods[] = {"GET",     "HEAD",  "POST",    "PUT",  "DELETE",
                                           "OPTIONS", "PATCH", "CONNECT", "TRACE"};
  for (size_t i = 0; i < std::size(kMethods); ++i)
    if (name == kMethods[i]) return static_cast<Method>(i + 1);
  return Method::other;
}

constexpr const char* kProxyHeader =
    "a PROXY header on a listener that expects none: write proxy_protocol: true there, and its sender into "
    "trusted_proxies, or have the sender leave it out";
// Of version 2 without the empty lines that it begins with: they were skipped as such.
constexpr std::string_view kProxySignature("\0\r\nQUIT\n", 8);

ParseResult take_method(Cursor& cursor, RequestHead& head) {
  const char* p = cursor.at;
  while (p < cursor.end && is_token_byte(*p)) ++p;
  const auto length = static_cast<uint32_t>(p - cursor.at);
  head.method_offset = cursor.offset(cursor.at);
  head.method_length = std::min(length, kMaxMethod);
  if (length > kMaxMethod) return refuse(Cause::method_not_implemented, "method longer than 32 bytes");
  if (p == cursor.end) return kNeedMore;
  if (*p != ' ' || length == 0) {
    if (length == 0 && *p == '\r' && p + 1 == cursor.end) return kNeedMore;  // half of an empty line (skip_empty_lines)
    if (length == 0 && *p == 0x16) return bad_request("a TLS handshake on a listener without tls");
    if (std::string_view(p, static_cast<size_t>(cursor.end - p)).starts_with(kProxySignature))
      return bad_request(kProxyHeader);
    return bad_request(length == 0 ? "no method" : "byte in the method that is not allowed there");
  }
  head.method = method_of(head.method_view());
  cursor.at = p + 1;
  return kDone;
}

ParseResult take_target(Cursor& cursor, uint32_t limit, RequestHead& head) {
  const char* p = scan_target(cursor.begin, cursor.at, cursor.end);
  const auto length = static_cast<uint32_t>(p - cursor.at);
  head.target = cursor.offset(cursor.at);
  head.target_length = std::min(length, limit);
  if (length > limit) return refuse(Cause::uri_too_long, "request target longer than limits.target_bytes");
  if (p == cursor.end) return kNeedMore;
  if (*p == '\r' || *p == '\n')
    return bad_request(head.method_view() == "PROXY" ? kProxyHeader : "request line without a version");
  if (*p != ' ') return bad_request("byte in the request target that is not allowed there");
  if (length == 0) return bad_request("more than one blank after the method");
  cursor.at = p + 1;
  return kDone;
}

ParseResult take_version(Cursor& cursor, RequestHead& head) {
  constexpr std::string_view kShape = "HTTP/d.d\r\n";
  const std::string_view rest{cursor.at, std::min(static_cast<size_t>(cursor.end - cursor.at), kShape.size())};
  if (rest == "HTTP/1.1\r\n") [[likely]] {
    cursor.at += kShape.size();
    return kDone;
  }
  for (size_t i = 0; i < rest.size(); ++i) {
    if (kShape[i] == 'd' ? !is_digit(rest[i]) : rest[i] != kShape[i])
      return bad_request(head.method_view() == "PROXY" ? kProxyHeader
                         : i < 8                       ? "the version is not of the form HTTP/1.1"
                                                       : "the request line does not end with CRLF after the version");
  }
  if (rest.size() < kShape.size()) return kNeedMore;
  if (rest != "HTTP/1.0\r\n") return refuse(Cause::version_not_supported, "neither HTTP/1.0 nor HTTP/1.1");
  head.minor = 0;
  cursor.at += kShape.size();
  return kDone;
}

// Splits path and query of the target's part from `from` on.
ParseResult split_path(uint32_t from, RequestHead& head) {
  const std::string_view rest = head.view(from, head.target + head.target_length - from);
  const size_t mark = rest.find('?');
  head.path = from;
  head.path_length = static_cast<uint32_t>(std::min(mark, rest.size()));
  if (mark != rest.npos) {
    head.has_query = true;
    head.query = from + head.path_length + 1;
    head.query_length = static_cast<uint32_t>(rest.size() - mark - 1);
  }
  if (rest.substr(0, mark).find('\\') != rest.npos) return bad_request("backslash in the path");
  return kDone;
}

// absolute-form, RFC 9112 §3.2.2: its authority replaces Host (B4).
ParseResult split_absolute(const RequestRules& rules, RequestHead& head) {
  const std::string_view target = head.view(head.target, head.target_length);
  const size_t colon = target.find("://");
  const std::string_view scheme = target.substr(0, colon == target.npos ? 0 : colon);
  if (!equals_ignore_case(scheme, "http") && !equals_ignore_case(scheme, "https"))
    return bad_request("request target of no known form");
  if (equals_ignore_case(scheme, "https") != rules.tls)
    return bad_request("the scheme of the request target is not the listener's");
  const size_t start = colon + 3;
  const std::string_view rest = target.substr(start);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  const char* detail = "";
  if (!valid_authority(head.base, authority, detail)) return bad_request(detail);
  head.absolute_form = true;
  head.host_offset = head.target + static_cast<uint32_t>(start);
  head.host_length = static_cast<uint32_t>(authority.size());
  return split_path(head.host_offset + head.host_length, head);
}

ParseResult split_target(const RequestRules& rules, RequestHead& head) {
  const std::string_view target = head.view(head.target, head.target_length);
  if (head.method == Method::TRACE) return refuse(Cause::method_not_allowed, "TRACE is not proxied");
  if (head.method == Method::CONNECT) return refuse(Cause::method_not_allowed, "CONNECT is not proxied");
  if (target[0] == '/') return split_path(head.target, head);
  if (target != "*") return split_absolute(rules, head);
  if (head.method != Method::OPTIONS) return bad_request("the target * is for OPTIONS alone");
  head.path = head.target;
  head.path_length = 1;
  return kDone;
}

ParseResult check_host(const Field& field, bool seen_before, RequestHead& head) {
  if (seen_before) return bad_request("more than one Host");
  const char* detail = "";
  if (!valid_authority(head.base, head.value(field), detail)) return bad_request(detail);
  if (head.absolute_form) return kDone;
  head.host_offset = field.value;
  head.host_length = field.value_length;
  return kDone;
}

ParseResult check_transfer_encoding(const Field& field, bool seen_before, RequestHead& head) {
  if (head.minor == 0) return refuse(Cause::bad_framing, "Transfer-Encoding in HTTP/1.0");
  if (seen_before) return refuse(Cause::bad_framing, "more than one Transfer-Encoding");
  const Coding coding = parse_transfer_encoding(head.value(field));
  if (coding == Coding::malformed) return refuse(Cause::bad_framing, "Transfer-Encoding is not exactly chunked");
  if (head.has(FieldId::content_length)) return refuse(Cause::bad_framing, "both Content-Length and Transfer-Encoding");
  // Anything else is judged at the end of the head: a Content-Length or a second line may follow, and A1 comes before
  // 501.
  if (coding == Coding::chunked) head.framing = Framing::chunked;
  return kDone;
}

ParseResult check_content_length(const Field& field, bool seen_before, RequestHead& head) {
  if (seen_before) return refuse(Cause::bad_framing, "more than one Content-Length");
  if (!parse_content_length(head.value(field), head.content_length))
    return refuse(Cause::bad_framing, "bad Content-Length");
  if (head.has(FieldId::transfer_encoding))
    return refuse(Cause::bad_framing, "both Content-Length and Transfer-Encoding");
  head.framing = Framing::length;
  return kDone;
}

// RFC 9110 §10.1.1; in HTTP/1.0 the expectation is to be ignored, and must not reach a backend that is spoken to with
// HTTP/1.1.
ParseResult check_expect(Field& field, RequestHead& head) {
  if (!equals_ignore_case(head.value(field), "100-continue"))
    return refuse(Cause::expectation_failed, "an expectation other than 100-continue");
  head.expect_continue = head.minor == 1;
  field.drop = head.minor == 0;
  return kDone;
}

ParseResult check_field(Field& field, uint64_t seen_before, RequestHead& head) {
  const bool again = seen_before & bit(field.id);
  switch (field.id) {
    case FieldId::host: return check_host(field, again, head);
    case FieldId::content_length: return check_content_length(field, again, head);
    case FieldId::transfer_encoding: return check_transfer_encoding(field, again, head);
    default: return check_expect(field, head);
  }
}

/// With each "_" as "-", which CGI and WSGI make one of, is it a field that we write or take away? Such a spelling is
/// forged, whoever sends it: a trusted proxy passes on what it doesn't know.
bool stands_for_ours(std::string_view name) {
  if (own_field(name) != OwnField::none) return true;
  std::array<char, 32> room;  // longer than any known name
  if (name.size() > room.size()) return false;
  std::replace_copy(name.begin(), name.end(), room.begin(), '_', '-');
  return kHopByHop & bit(field_id({room.data(), name.size()}));
}

ParseResult take_fields(Cursor& cursor, const RequestRules& rules, RequestHead& head) {
  const uint32_t max_fields = std::min(rules.header_count, kMaxFields);
  while (true) {
    const uint64_t seen_before = head.seen;
    const LineResult result = take_field_line(cursor, head, max_fields);
    if (result.line != Line::field) {
      if (result.line == Line::end) return kDone;
      if (result.line == Line::need_more) return kNeedMore;
      return refuse(result.line == Line::too_large ? Cause::header_too_large : Cause::bad_request, result.detail);
    }
    Field& field = head.fields[head.field_count - 1];
    if (kHopByHop & bit(field.id)) field.drop = true;
    if (kChecked & bit(field.id)) {
      const ParseResult checked = check_field(field, seen_before, head);
      if (checked.status == Parse::error) return checked;
    } else if (result.classes & kUnderscore) [[unlikely]] {
      if (rules.underscores == RequestRules::Underscores::reject) return bad_request("underscore in a header name");
      if (rules.underscores == RequestRules::Underscores::allow && !stands_for_ours(head.name(field))) continue;
      field.drop = true;
      ++head.underscores_dropped;
    }
  }
}

ParseResult finish(RequestHead& head) {
  if (head.minor == 1 && !head.has(FieldId::host)) return bad_request("no Host");
  if (head.has(FieldId::transfer_encoding) && head.framing != Framing::chunked)
    return refuse(Cause::unsupported_transfer_coding, "a transfer coding other than chunked");
  const ConnectionOptions options = apply_connection(head);
  if (options.malformed) return bad_request("Connection is not a list of tokens, or has more than 64");
  if (options.protected_) return bad_request("Connection names a field that may not be removed");
  head.keep_alive = !options.close && (head.minor == 1 || options.keep_alive);
  head.connection_upgrade = options.upgrade && head.minor == 1;  // RFC 9110 §7.8: ignored in HTTP/1.0
  return kDone;
}

void reset_request(RequestHead& head, const char* base) {
  reset(head, base);
  head.method = Method::other;
  head.method_offset = head.method_length = head.target = head.target_length = 0;
  head.host_offset = head.host_length = head.path = head.path_length = head.query = head.query_length = 0;
  head.has_query = head.expect_continue = head.absolute_form = false;
  head.underscores_dropped = 0;
}

ParseResult parse_all(Cursor& cursor, const RequestRules& rules, RequestHead& head) {
  ParseResult result = take_method(cursor, head);
  if (result.status != Parse::done) return result;
  result = take_target(cursor, rules.target_bytes, head);
  if (result.status != Parse::done) return result;
  result = take_version(cursor, head);
  if (result.status != Parse::done) return result;
  result = split_target(rules, head);
  if (result.status != Parse::done) return result;
  result = take_fields(cursor, rules, head);
  if (result.status != Parse::done) return result;
  head.size = cursor.offset(cursor.at);
  return finish(head);
}

}  // namespace

ParseResult parse_request(std::string_view bytes, const RequestRules& rules, RequestHead& head) {
  reset_request(head, bytes.data());
  // What stands behind the limit never counts: the answer would depend on how much was received at once.
  const size_t visible = std::min<size_t>(bytes.size(), rules.header_bytes);
  Cursor cursor{bytes.data(), bytes.data(), bytes.data() + visible};
  const ParseResult result = parse_all(cursor, rules, head);
  if (result.status == Parse::need_more && visible == rules.header_bytes)
    return refuse(Cause::header_too_large, "head larger than limits.header_bytes");
  return result;
}

}  // namespace weir::http1
