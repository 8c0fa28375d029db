// What a DNS server answered (RFC 1035 §4), with the TTLs that c-ares 1.18 doesn't tell. No I/O; the bytes are not to
// be trusted.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lb/base/endpoint.hpp"

namespace weir::net {

enum class DnsType : uint16_t { a = 1, aaaa = 28, srv = 33 };

/// RFC 2782.
struct SrvRecord {
  std::string target;  // a host name in lower case, without the dot at its end
  uint16_t port = 0, priority = 0, weight = 0;
  bool operator==(const SrvRecord&) const = default;
};

struct DnsAnswer {
  static constexpr size_t kMaxRecords = 1024;  // of an answer; more are not looked at
  static constexpr size_t kMaxAliases = 8;     // CNAMEs from the name to its records

  uint8_t rcode = 0;                     // RFC 1035 §4.1.1; 0: no error, 3: no such name
  std::vector<Endpoint> addresses;       // a, aaaa; port 0; in the order of the answer, none twice
  std::vector<SrvRecord> services;       // srv; without the one that says that there is no service (target ".")
  uint32_t ttl = 0;                      // seconds; the least of the records and the aliases before them
  std::optional<uint32_t> negative_ttl;  // RFC 2308 §5, from the SOA: how long an absence may be believed
};

/// The records of `type` that the question's name leads to. Nothing if the message is malformed: cut short, a loop in
/// its names, too many aliases, a target that is no host name.
std::optional<DnsAnswer> parse_dns(std::span<const uint8_t> message, DnsType type);

/// Letters, digits, "-" and "_" in labels of 1 to 63, at most 253 bytes.
bool is_dns_name(std::string_view text);

}  // namespace weir::net
