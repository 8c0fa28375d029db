// Response heads (RFC 9112 §4, §5, §6.3; security-rules A13). Every fault is Cause::upstream_bad_response, except for
// size.
#include <algorithm>

#include "lb/net/http1_head.hpp"

namespace weir::http1 {
namespace {

using namespace detail;

// Dropped whether Connection names them or not (RFC 9110 §7.6.1), with those that the writer sets itself.
// Proxy-Authenticate as well: it is for the client of the nearest proxy (§11.7.1), and a reverse proxy's client has not
// chosen one; requests lose Proxy-Authorization.
constexpr uint64_t kHopByHop = bit(FieldId::connection) | bit(FieldId::keep_alive) | bit(FieldId::proxy_connection) |
                               bit(FieldId::proxy_authenticate) | bit(FieldId::te) | bit(FieldId::trailer) |
                               bit(FieldId::upgrade) | bit(FieldId::content_length) | bit(FieldId::transfer_encoding);

constexpr ParseResult kNeedMore{};
constexpr ParseResult kDone{Parse::done, Cause::none, ""};
ParseResult refuse(const char* detail) { return {Parse::error, Cause::upstream_bad_response, detail}; }

ParseResult take_status_line(Cursor& cursor, ResponseHead& head) {
  constexpr std::string_view kBegin = "HTTP/1.";
  constexpr size_t kLength = sizeof "HTTP/1.1 200" - 1;
  const std::string_view rest{cursor.at, std::min(static_cast<size_t>(cursor.end - cursor.at), kLength)};
  for (size_t i = 0; i < rest.size(); ++i) {
    if (i < 7 && rest[i] != kBegin[i]) return refuse("the answer does not begin with HTTP/1.");
    if (i == 7 && rest[i] != '0' && rest[i] != '1') return refuse("neither HTTP/1.0 nor HTTP/1.1");
    if (i == 8 && rest[i] != ' ') return refuse("no blank after the version of the status line");
    if (i > 8 && !is_digit(rest[i])) return refuse("the status is not of 3 digits");
    if (i == 9 && (rest[i] < '1' || rest[i] > '5')) return refuse("the status is not between 100 and 599");
  }
  if (rest.size() < kLength) return kNeedMore;
  head.minor = static_cast<uint8_t>(rest[7] - '0');
  head.status = static_cast<uint16_t>((rest[9] - '0') * 100 + (rest[10] - '0') * 10 + (rest[11] - '0'));

  const char* p = cursor.at + kLength;
  if (p == cursor.end) return kNeedMore;
  if (*p != ' ' && *p != '\r') return refuse("the status is not of 3 digits");
  const char* reason = *p == ' ' ? p + 1 : p;
  p = scan_value(cursor.begin, reason, cursor.end);
  if (p == cursor.end) return kNeedMore;
  if (*p != '\r') return refuse("control byte or bare LF in the status line");
  if (p + 1 == cursor.end) return kNeedMore;
  if (p[1] != '\n') return refuse("bare CR in the status line");
  head.reason = cursor.offset(reason);
  head.reason_length = static_cast<uint32_t>(p - reason);
  cursor.at = p + 2;
  return kDone;
}

ParseResult check_transfer_encoding(const Field& field, bool seen_before, ResponseHead& head) {
  // RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0 is faulty framing.
  if (head.minor == 0) return refuse("Transfer-Encoding in an HTTP/1.0 answer");
  if (seen_before) return refuse("more than one Transfer-Encoding");
  if (head.has(FieldId::content_length)) return refuse("both Content-Length and Transfer-Encoding");
  // §6.3 would read other codings until the end, but no TE was sent that allows one, and none could be passed on.
  if (parse_transfer_encoding(head.value(field)) != Coding::chunked)
    return refuse("Transfer-Encoding is not exactly chunked");
  return kDone;
}

ParseResult check_content_length(const Field& field, bool seen_before, ResponseHead& head) {
  if (seen_before) return refuse("more than one Content-Length");
  if (head.has(FieldId::transfer_encoding)) return refuse("both Content-Length and Transfer-Encoding");
  if (!parse_content_length(head.value(field), head.content_length)) return refuse("bad Content-Length");
  return kDone;
}

// `timeout=N` among the parameters (RFC 2068 §19.7.1.1); anything else is ignored.
uint32_t keep_alive_timeout(std::string_view value) {
  constexpr std::string_view kName = "timeout=";
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    const std::string_view parameter = trim(value.substr(0, comma));
    value.remove_prefix(std::min(comma + 1, value.size()));
    uint64_t seconds = 0;
    if (equals_ignore_case(parameter.substr(0, kName.size()), kName) &&
        parse_content_length(parameter.substr(kName.size()), seconds))
      return static_cast<uint32_t>(std::min<uint64_t>(seconds, UINT32_MAX));
  }
  return 0;
}

ParseResult take_fields(Cursor& cursor, const ResponseRules& rules, ResponseHead& head) {
  const uint32_t max_fields = std::min(rules.header_count, kMaxFields);
  while (true) {
    const uint64_t seen_before = head.seen;
    const LineResult result = take_field_line(cursor, head, max_fields);
    if (result.line != Line::field) {
      if (result.line == Line::end) return kDone;
      if (result.line == Line::need_more) return kNeedMore;
      if (result.line == Line::bad) return refuse(result.detail);
      return {Parse::error, Cause::upstream_header_too_large, result.detail};
    }
    Field& field = head.fields[head.field_count - 1];
    if (!(kHopByHop & bit(field.id))) continue;
    field.drop = true;
    ParseResult checked = kDone;
    const bool again = seen_before & bit(field.id);
    if (field.id == FieldId::content_length) checked = check_content_length(field, again, head);
    if (field.id == FieldId::transfer_encoding) checked = check_transfer_encoding(field, again, head);
    if (field.id == FieldId::keep_alive && !again) head.keep_alive_timeout = keep_alive_timeout(head.value(field));
    if (checked.status == Parse::error) return checked;
  }
}

// RFC 9112 §6.3, in its order.
Framing response_framing(const ResponseHead& head, Method request_method) {
  if (request_method == Method::HEAD || head.status < 200 || head.status == 204 || head.status == 304)
    return Framing::none;
  if (request_method == Method::CONNECT && head.status < 300) return Framing::none;
  if (head.has(FieldId::transfer_encoding)) return Framing::chunked;
  if (head.has(FieldId::content_length)) return Framing::length;
  return Framing::until_close;
}

ParseResult finish(Method request_method, ResponseHead& head) {
  const ConnectionOptions options = apply_connection(head);
  head.framing = response_framing(head, request_method);
  // A Connection that can't be read may well say close.
  head.keep_alive = !options.close && !options.malformed && (head.minor == 1 || options.keep_alive);
  head.connection_upgrade = options.upgrade;
  if (head.framing == Framing::until_close || head.status == 101) head.keep_alive = false;
  // RFC 9112 §6.1, RFC 9110 §8.6 forbid a length here; an origin that gives one may send the body too, so nothing after
  // it can be trusted.
  const bool bodiless = head.status < 200 || head.status == 204;
  if (bodiless && (head.has(FieldId::transfer_encoding) || head.content_length > 0)) head.keep_alive = false;
  return kDone;
}

ParseResult parse_all(Cursor& cursor, Method request_method, const ResponseRules& rules, ResponseHead& head) {
  ParseResult result = take_status_line(cursor, head);
  if (result.status != Parse::done) return result;
  result = take_fields(cursor, rules, head);
  if (result.status != Parse::done) return result;
  head.size = cursor.offset(cursor.at);
  return finish(request_method, head);
}

}  // namespace

ParseResult parse_response(std::string_view bytes, Method request_method, const ResponseRules& rules,
                           ResponseHead& head) {
  reset(head, bytes.data());
  head.status = 0;
  head.reason = head.reason_length = head.keep_alive_timeout = 0;
  const size_t visible = std::min<size_t>(bytes.size(), rules.header_bytes);
  Cursor cursor{bytes.data(), bytes.data(), bytes.data() + visible};
  const ParseResult result = parse_all(cursor, request_method, rules, head);
  if (result.status == Parse::need_more && visible == rules.header_bytes)
    return {Parse::error, Cause::upstream_header_too_large, "the answer's head is too large"};
  return result;
}

}  // namespace weir::http1
