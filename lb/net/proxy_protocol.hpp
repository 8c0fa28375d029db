// The PROXY protocol, versions 1 and 2 (haproxy.org/download/3.0/doc/proxy-protocol.txt), read and written without I/O:
// who sits before us says at the beginning of a connection for whom it is.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lb/base/endpoint.hpp"
#include "lb/base/proxy_protocol.hpp"

namespace weir::net {

struct ProxyHeader {
  ProxyVersion version = ProxyVersion::none;
  /// LOCAL, UNKNOWN, or a kind of address that does not count here: the connection is the peer's own.
  bool local = false;
  Endpoint source, destination;  // unless it is local
  /// TLVs of version 2, in the bytes that were parsed; empty: not there. At most 255 bytes each, without control bytes
  /// and spaces.
  std::string_view authority, alpn;
  size_t size = 0;  // bytes of the header
};

/// Of both versions together; a longer one is refused.
inline constexpr size_t kMaxProxyHeader = 4096;

struct ProxyParse {
  enum class Status : uint8_t { ok, need_more, error };
  Status status = Status::need_more;
  ProxyFailure failure = ProxyFailure::broken;  // with error
  const char* detail = "";                      // with error: for people
};
/// Reads a header at the beginning of `bytes`. Whatever stands behind it is not looked at.
ProxyParse parse_proxy_header(std::string_view bytes, ProxyHeader& header);

/// Room that each header finds place in that is written here.
inline constexpr size_t kProxyHeaderRoom = 16 + 216 + 3 + 255 + 3 + 255;
using ProxyBytes = std::array<char, kProxyHeaderRoom>;
/// Of `header` count version, local, source, destination, authority and alpn (as bounded above; longer ones are left
/// out, as version 1 leaves out both). Addresses of two families, or none, make it local. Empty for version none.
std::string_view write_proxy_header(const ProxyHeader& header, ProxyBytes& room);

/// CRC-32C (Castagnoli), as of RFC 3720 §B.4.
uint32_t crc32c(uint32_t crc, std::string_view bytes);

}  // namespace weir::net
