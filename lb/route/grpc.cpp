#include "lb/route/grpc.hpp"

#include <algorithm>
#include <limits>

namespace weir::grpc {

namespace {

bool begins_as(std::string_view text, std::string_view lower_case) {
  if (text.size() < lower_case.size()) return false;
  return std::equal(lower_case.begin(), lower_case.end(), text.begin(),
                    [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b | 0x20) : b); });
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

bool is_grpc(std::string_view content_type) {
  constexpr std::string_view kType = "application/grpc";
  if (!begins_as(content_type, kType)) return false;
  content_type.remove_prefix(kType.size());
  return content_type.empty() || content_type[0] == '+' || content_type[0] == ';' || content_type[0] == ' ';
}

std::optional<Duration> parse_timeout(std::string_view value) {
  if (value.size() < 2 || value.size() > 9) return std::nullopt;
  int64_t number = 0;
  for (const char c : value.substr(0, value.size() - 1)) {
    if (!is_digit(c)) return std::nullopt;
    number = number * 10 + (c - '0');
  }
  // 99,999,999 hours are more nanoseconds than fit: a year is as good as for ever.
  constexpr Duration kMost = std::chrono::hours(24 * 365);
  const auto bounded = [&](auto unit) { return number > kMost / Duration(unit) ? kMost : Duration(unit) * number; };
  switch (value.back()) {
    case 'H': return bounded(std::chrono::hours(1));
    case 'M': return bounded(std::chrono::minutes(1));
    case 'S': return bounded(std::chrono::seconds(1));
    case 'm': return bounded(std::chrono::milliseconds(1));
    case 'u': return bounded(std::chrono::microseconds(1));
    case 'n': return bounded(std::chrono::nanoseconds(1));
    default: return std::nullopt;
  }
}

std::optional<Status> parse_status(std::string_view value) {
  if (value.empty() || value.size() > 3 || !std::all_of(value.begin(), value.end(), is_digit)) return std::nullopt;
  unsigned number = 0;
  for (const char c : value) number = number * 10 + static_cast<unsigned>(c - '0');
  return number < kStatuses ? static_cast<Status>(number) : Status::unknown;
}

std::string_view find_line(std::string_view lines, std::string_view name) {
  while (!lines.empty()) {
    const size_t end = std::min(lines.find("\r\n"), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 2, lines.size()));
    if (line.size() <= name.size() || line[name.size()] != ':' || !line.starts_with(name)) continue;
    std::string_view value = line.substr(name.size() + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
    return value;
  }
  return {};
}

Status status_of(Cause cause) {
  switch (cause) {
    case Cause::rate_limited:
    case Cause::header_too_large:
    case Cause::body_too_large: return Status::resource_exhausted;
    case Cause::response_timeout:
    case Cause::idle_timeout:
    case Cause::total_timeout:
    case Cause::grpc_deadline: return Status::deadline_exceeded;
    case Cause::credentials_missing:
    case Cause::credentials_wrong: return Status::unauthenticated;
    case Cause::address_denied: return Status::permission_denied;
    case Cause::no_route:
    case Cause::method_not_allowed:
    case Cause::method_not_implemented: return Status::unimplemented;
    case Cause::bad_request:
    case Cause::bad_framing:
    case Cause::unsupported_transfer_coding:
    case Cause::uri_too_long:
    case Cause::expectation_failed:
    case Cause::internal_error: return Status::internal;
    default: return Status::unavailable;
  }
}

Status status_of_http(uint16_t status) {
  switch (status) {
    case 401: return Status::unauthenticated;
    case 403: return Status::permission_denied;
    case 400: return Status::internal;
    case 404: return Status::unimplemented;
    case 429:
    case 502:
    case 503:
    case 504: return Status::unavailable;
    default: return Status::unknown;
  }
}

std::string encode_message(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (c >= 0x20 && c <= 0x7e && c != '%') {
      out += c;
      continue;
    }
    const auto byte = static_cast<uint8_t>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

}  // namespace weir::grpc
