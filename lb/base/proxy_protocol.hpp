// Words of the PROXY protocol, by which who sits in front names the client (lb/net/proxy_protocol.hpp).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir {

/// What the header is written as; none: not at all.
enum class ProxyVersion : uint8_t { none, v1, v2 };

/// Why a connection was closed for the sake of its header: a label of a metric, and a word in the log.
enum class ProxyFailure : uint8_t {
  stranger,  // the peer is none of trusted_proxies
  missing,   // what has come is no such header
  broken,    // it begins like one, and is wrong
  checksum,  // its CRC32C is that of other bytes
  closed,    // the peer has gone before it was complete
  timeout,   // it was not complete within timeout.header
};
inline constexpr size_t kProxyFailures = 6;

constexpr std::string_view to_string(ProxyFailure failure) {
  constexpr std::array<std::string_view, kProxyFailures> kNames{"stranger", "missing", "broken",
                                                                "checksum", "closed",  "timeout"};
  return kNames[static_cast<size_t>(failure)];
}

}  // namespace weir
