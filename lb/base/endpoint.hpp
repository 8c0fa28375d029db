// A socket address: IPv4, IPv6 or unix.
#pragma once
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

struct Endpoint {
  sockaddr_storage storage{};
  socklen_t length = 0;

  /// "127.0.0.1:80", "[::1]:80", ":80" (every address, dual-stack), "localhost:80" (127.0.0.1), "unix:/path",
  /// "unix:@abstract". Empty when `text` is none of these.
  static std::optional<Endpoint> parse(std::string_view text);
  static Endpoint from_sockaddr(const sockaddr* address, socklen_t length);

  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* address() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  bool is_unix() const { return storage.ss_family == AF_UNIX; }
  uint16_t port() const;          // 0 for unix
  std::string host() const;       // "127.0.0.1", "::1" (IPv4-mapped addresses as IPv4), "unix:/path"
  std::string to_string() const;  // as parse() reads it
  bool operator==(const Endpoint& other) const;
};

/// A block of addresses: "10.0.0.0/8", "::1", "fd00::/8". IPv4-mapped IPv6 addresses match IPv4 blocks. "unix" matches
/// unix peers.
class AddressBlock {
 public:
  static std::optional<AddressBlock> parse(std::string_view text);
  bool contains(const Endpoint& endpoint) const;
  /// For an address in text form (an element of X-Forwarded-For, without port).
  static std::optional<Endpoint> parse_address(std::string_view text);
  std::string to_string() const { return text_; }

  bool is_unix() const { return unix_; }
  /// Holds IPv4 addresses, and no others.
  bool is_v4() const;
  /// Network byte order, IPv4 as ::ffff:a.b.c.d; bits behind the prefix as written.
  std::array<uint8_t, 16> bytes() const { return std::to_array(bytes_); }
  unsigned prefix() const { return prefix_; }  // of the 128 bits

 private:
  std::string text_;
  bool unix_ = false;
  uint8_t bytes_[16]{};
  unsigned prefix_ = 128;
};

}  // namespace weir
