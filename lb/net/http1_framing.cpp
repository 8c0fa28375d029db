// The fields that frame a message or belong to one connection, and the authority: rules A1–A4, B3, C3.
#include <arpa/inet.h>

#include <algorithm>

#include "lb/base/own_fields.hpp"
#include "lb/net/authority.hpp"
#include "lb/net/http1_head.hpp"

namespace weir::http1::detail {

bool parse_content_length(std::string_view value, uint64_t& length) {
  if (value.empty() || value.size() > 19) return false;
  uint64_t sum = 0;  // 19 digits fit into 64 bits
  for (char c : value) {
    if (!is_digit(c)) return false;
    sum = sum * 10 + static_cast<uint64_t>(c - '0');
  }
  length = sum;
  return sum <= INT64_MAX;
}

Coding parse_transfer_encoding(std::string_view value) {
  if (equals_ignore_case(value, "chunked")) return Coding::chunked;
  bool chunked = false;
  while (true) {
    const size_t comma = std::min(value.find(','), value.size());
    const std::string_view coding = trim(value.substr(0, comma));
    if (!is_token(coding) || chunked) return Coding::malformed;  // empty, quoted, with parameters, or after chunked
    chunked = equals_ignore_case(coding, "chunked");
    if (comma == value.size()) return Coding::unsupported;
    value.remove_prefix(comma + 1);
  }
}

namespace {

// What C3 protects beside own_field().
constexpr uint64_t kProtected = bit(FieldId::host) | bit(FieldId::content_length) | bit(FieldId::transfer_encoding) |
                                bit(FieldId::authorization) | bit(FieldId::cookie) | bit(FieldId::via) |
                                bit(FieldId::traceparent) | bit(FieldId::tracestate);

// Each option is compared with each field: without a bound a 32 KiB head of commas would cost milliseconds.
constexpr unsigned kMaxOptions = 64;

void nominate(Head& head, std::string_view option, ConnectionOptions& options) {
  const FieldId id = field_id(option);
  if (kProtected & bit(id) || own_field(option) != OwnField::none) options.protected_ = true;
  if (id == FieldId::upgrade) options.upgrade = true;
  if (id == FieldId::keep_alive) options.keep_alive = true;
  if (id != FieldId::other) {
    if (head.has(id)) drop_fields(head, bit(id));
    return;
  }
  if (equals_ignore_case(option, "close")) options.close = true;
  for (Field& field : head.all())
    if (field.id == FieldId::other && equals_ignore_case(head.name(field), option)) field.drop = true;
}

}  // namespace

ConnectionOptions apply_connection(Head& head) {
  ConnectionOptions options;
  if (!head.has(FieldId::connection)) return options;
  unsigned count = 0;
  for (uint32_t i = 0; i < head.field_count; ++i) {
    if (head.fields[i].id != FieldId::connection) continue;
    std::string_view list = head.value(head.fields[i]);
    if (field_id(list) == FieldId::keep_alive &&
        !head.has(FieldId::keep_alive)) {  // what most clients and servers send
      options.keep_alive = true;
      continue;
    }
    while (!list.empty()) {
      const size_t comma = std::min(list.find(','), list.size());
      const std::string_view option = trim(list.substr(0, comma));
      list.remove_prefix(std::min(comma + 1, list.size()));
      if (option.empty()) continue;  // RFC 9110 §5.6.1.2: empty elements are ignored
      if (!is_token(option) || ++count > kMaxOptions) {
        options.malformed = true;
        return options;
      }
      nominate(head, option, options);
    }
  }
  return options;
}

void drop_fields(Head& head, uint64_t ids) {
  for (Field& field : head.all())
    if (bit(field.id) & ids) field.drop = true;
}

namespace {

bool valid_port(std::string_view port) {  // may be empty (RFC 3986 §3.2.3)
  unsigned number = 0;
  for (char c : port) {
    if (!is_digit(c)) return false;
    number = number * 10 + static_cast<unsigned>(c - '0');
    if (number > 65535) return false;
  }
  return port.size() <= 5;
}

bool valid_ipv6(std::string_view address) {
  char text[INET6_ADDRSTRLEN];
  in6_addr binary;
  if (address.size() >= sizeof text || address.find('\0') != address.npos) return false;
  text[address.copy(text, sizeof text - 1)] = 0;
  return inet_pton(AF_INET6, text, &binary) == 1;
}

}  // namespace

bool valid_authority(const char* begin, std::string_view authority, const char*& detail) {
  const char* p = authority.data();
  const char* const end = p + authority.size();
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == authority.npos || !valid_ipv6(authority.substr(1, close - 1))) {
      detail = "bad IPv6 address in the host";
      return false;
    }
    p += close + 1;
  } else {
    for (p = skip_plain(begin, p, end); p < end; ++p) {
      if (byte_class(*p) & kRegName) continue;
      if (*p != '%' || end - p < 3 || hex_value(p[1]) < 0 || hex_value(p[2]) < 0) break;
      p += 2;
    }
    if (p == authority.data()) {
      detail = authority.empty() ? "empty host" : "byte in the host that is not allowed there";
      return false;
    }
  }
  if (p == end) return true;
  if (*p != ':') {
    detail = *p == '@' ? "user information in the host" : "byte in the host that is not allowed there";
    return false;
  }
  if (valid_port({p + 1, static_cast<size_t>(end - p - 1)})) return true;
  detail = "bad port in the host";
  return false;
}

}  // namespace weir::http1::detail

namespace weir::http1 {

bool is_authority(const Head& head, std::string_view value) {
  const char* detail = "";
  return detail::valid_authority(head.base, value, detail);
}

}  // namespace weir::http1
