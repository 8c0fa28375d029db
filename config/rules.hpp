// What a text must look like to be a header name, a host, a path pattern … Each rule returns what is wrong and what to
// write instead, or nothing; some bring the text into its normal form.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::config::rules {

inline constexpr size_t kMaxTextBytes = 64 << 10;  // bodies and error pages
inline constexpr size_t kMaxPathBytes = 8 << 10;

/// RFC 9110 §5.6.2; lower-cased.
std::string header_name(std::string& text);
/// The same in the case it is written in.
std::string written_header_name(std::string& text);
/// written_header_name, and none that frames the message or belongs to one connection (C4).
std::string settable_request_header(std::string& text);
std::string settable_response_header(std::string& text);
/// As header_name, but the case is kept: cookies' names are tokens too (RFC 6265 §4.1.1).
std::string cookie_name(std::string& text);
/// RFC 9110 §5.5: no control characters but TAB (C7).
std::string header_value(std::string& text);
/// Any text of one line that is not empty.
std::string line(std::string& text);
/// Any text, several lines too, up to kMaxTextBytes.
std::string body(std::string& text);

/// RFC 9110 §9.1; the case counts, so a lower-case `get` is refused.
std::string method(std::string& text);
/// A method that may be sent again (RFC 9110 §9.2.2 calls it idempotent; others are refused).
std::string retryable_method(std::string& text);
/// "example.com", "*.example.com", "10.0.0.1", "[::1]"; lower-cased, without port.
std::string host_pattern(std::string& text);
/// As host_pattern but no wildcard, and a port is allowed: what stands in a Host field (RFC 9110 §7.2).
std::string host_and_port(std::string& text);
/// A name for DNS: letters, digits, "-" and "_" in labels of 1 to 63, at most 253 bytes; lower-cased, without a dot at
/// its end.
std::string dns_name(std::string& text);
/// 1 to 65535, without a zero before it.
std::optional<uint16_t> port(std::string_view text);
/// "/a", "/a/*", "/a*", "/a/{id}/b": language.md; in the normal form that requests are matched in (B6).
std::string path_pattern(std::string& text);
/// "/t/{}": the one {} is what becomes the key.
std::string path_template(std::string& text);
/// A path without wildcards, perhaps with a query.
std::string plain_path(std::string& text);
/// As plain_path, without a query.
std::string path_prefix(std::string& text);

}  // namespace weir::config::rules
