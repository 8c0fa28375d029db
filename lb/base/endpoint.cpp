#include "lb/base/endpoint.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace weir {
namespace {

constexpr size_t kUnixPathOffset = offsetof(sockaddr_un, sun_path);
constexpr uint8_t kMappedPrefix[12]{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/// A decimal number with no sign, no blank and nothing behind it.
template <typename T>
std::optional<T> parse_number(std::string_view text, unsigned max) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || text.size() > 10 || text[0] == '-' || error != std::errc() || stop != end || value > max)
    return {};
  return static_cast<T>(value);
}

template <typename T>
T load(const Endpoint& endpoint) {
  T address;
  std::memcpy(&address, &endpoint.storage, sizeof address);
  return address;
}

template <typename T>
Endpoint store(const T& address) {
  Endpoint endpoint;
  std::memcpy(&endpoint.storage, &address, sizeof address);
  endpoint.length = sizeof address;
  return endpoint;
}

std::optional<Endpoint> parse_unix(std::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // A path needs room for its NUL; an abstract name is exactly as long as the address says.
  const bool abstract = !path.empty() && path[0] == '@';
  if (path.size() <= (abstract ? 1u : 0u) || path.size() + (abstract ? 0 : 1) > sizeof address.sun_path) return {};
  if (path.find('\0') != path.npos) return {};
  std::memcpy(address.sun_path, path.data(), path.size());
  if (abstract) address.sun_path[0] = '\0';
  Endpoint endpoint = store(address);
  endpoint.length = static_cast<socklen_t>(kUnixPathOffset + path.size() + (abstract ? 0 : 1));
  return endpoint;
}

std::optional<Endpoint> parse_ip(std::string_view text, uint16_t port) {
  char buffer[INET6_ADDRSTRLEN];
  std::string_view zone;
  if (const size_t percent = text.find('%'); percent != text.npos) {
    zone = text.substr(percent + 1);
    text = text.substr(0, percent);
    if (zone.empty() || zone.size() >= IF_NAMESIZE) return {};
  }
  if (text.empty() || text.size() >= sizeof buffer || text.find('\0') != text.npos) return {};
  buffer[text.copy(buffer, sizeof buffer - 1)] = '\0';

  if (text.find(':') == text.npos) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (!zone.empty() || inet_pton(AF_INET, buffer, &address.sin_addr) != 1) return {};
    return store(address);
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  if (inet_pton(AF_INET6, buffer, &address.sin6_addr) != 1) return {};
  if (!zone.empty()) {  // RFC 4007 §11: a number, or the name of an interface of this machine
    const auto number = parse_number<uint32_t>(zone, ~0u);
    address.sin6_scope_id = number ? *number : if_nametoindex(std::string(zone).c_str());
    if (address.sin6_scope_id == 0) return {};
  }
  return store(address);
}

/// The address in 16 bytes, IPv4 as ::ffff:a.b.c.d; false for unix.
bool address_bytes(const Endpoint& endpoint, uint8_t (&bytes)[16]) {
  if (endpoint.family() == AF_INET) {
    std::memcpy(bytes, kMappedPrefix, sizeof kMappedPrefix);
    const auto address = load<sockaddr_in>(endpoint).sin_addr;
    std::memcpy(bytes + 12, &address, 4);
    return true;
  }
  if (endpoint.family() != AF_INET6) return false;
  const auto address = load<sockaddr_in6>(endpoint).sin6_addr;
  std::memcpy(bytes, &address, 16);
  return true;
}

bool is_mapped(const uint8_t (&bytes)[16]) { return std::memcmp(bytes, kMappedPrefix, sizeof kMappedPrefix) == 0; }

/// Do the first `prefix` bits agree?
bool same_prefix(const uint8_t (&a)[16], const uint8_t (&b)[16], unsigned prefix) {
  const unsigned whole = prefix / 8, rest = prefix % 8;
  if (std::memcmp(a, b, whole) != 0) return false;
  return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

/// What follows the family in a unix address: a path without its NUL, or "\0name"; empty if it is unnamed.
std::string_view unix_name(const Endpoint& endpoint) {
  if (endpoint.length <= kUnixPathOffset) return {};
  const char* path = reinterpret_cast<const char*>(&endpoint.storage) + kUnixPathOffset;
  const size_t size = endpoint.length - kUnixPathOffset;
  if (path[0] == '\0') return {path, size};
  return {path, strnlen(path, size)};
}

std::string ip_text(const Endpoint& endpoint) {
  char buffer[INET6_ADDRSTRLEN];
  if (endpoint.family() == AF_INET) {
    const auto address = load<sockaddr_in>(endpoint).sin_addr;
    return inet_ntop(AF_INET, &address, buffer, sizeof buffer);
  }
  const auto address = load<sockaddr_in6>(endpoint);
  std::string text = inet_ntop(AF_INET6, &address.sin6_addr, buffer, sizeof buffer);
  if (address.sin6_scope_id != 0) {
    char name[IF_NAMESIZE];
    text += '%';
    text += if_indextoname(address.sin6_scope_id, name) ? name : std::to_string(address.sin6_scope_id);
  }
  return text;
}

}  // namespace

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  if (text.starts_with("unix:")) return parse_unix(text.substr(5));
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return {};
  const auto port = text.size() - colon <= 6 ? parse_number<uint16_t>(text.substr(colon + 1), 65535) : std::nullopt;
  if (!port) return {};
  std::string_view host = text.substr(0, colon);
  if (host.empty()) return parse_ip("::", *port);
  if (host == "localhost") return parse_ip("127.0.0.1", *port);
  if (host.front() == '[') {
    if (host.back() != ']') return {};
    host = host.substr(1, host.size() - 2);
    return host.find(':') == host.npos ? std::nullopt : parse_ip(host, *port);
  }
  return host.find(':') == host.npos ? parse_ip(host, *port) : std::nullopt;  // "::1:80" would be ambiguous
}

Endpoint Endpoint::from_sockaddr(const sockaddr* address, socklen_t length) {
  Endpoint endpoint;
  endpoint.length = std::min<socklen_t>(length, sizeof endpoint.storage);
  std::memcpy(&endpoint.storage, address, endpoint.length);
  return endpoint;
}

uint16_t Endpoint::port() const {
  if (family() == AF_INET) return ntohs(load<sockaddr_in>(*this).sin_port);
  if (family() == AF_INET6) return ntohs(load<sockaddr_in6>(*this).sin6_port);
  return 0;
}

std::string Endpoint::host() const {
  if (is_unix()) {
    std::string name(unix_name(*this));
    std::replace(name.begin(), name.end(), '\0', '@');  // as ss(8) and HAProxy write abstract names
    return "unix:" + name;
  }
  uint8_t bytes[16];
  if (!address_bytes(*this, bytes)) return {};
  if (family() == AF_INET6 && is_mapped(bytes)) {
    char buffer[INET_ADDRSTRLEN];
    return inet_ntop(AF_INET, bytes + 12, buffer, sizeof buffer);
  }
  return ip_text(*this);
}

std::string Endpoint::to_string() const {
  if (family() == AF_INET) return ip_text(*this) + ':' + std::to_string(port());
  if (family() == AF_INET6) return '[' + ip_text(*this) + "]:" + std::to_string(port());
  return host();
}

bool Endpoint::operator==(const Endpoint& other) const {
  if (family() != other.family()) return false;
  if (is_unix()) return unix_name(*this) == unix_name(other);
  uint8_t a[16], b[16];
  if (!address_bytes(*this, a) || !address_bytes(other, b)) return length == other.length;
  if (std::memcmp(a, b, sizeof a) != 0 || port() != other.port()) return false;
  return family() == AF_INET || load<sockaddr_in6>(*this).sin6_scope_id == load<sockaddr_in6>(other).sin6_scope_id;
}

std::optional<AddressBlock> AddressBlock::parse(std::string_view text) {
  AddressBlock block;
  block.text_ = text;
  if (text == "unix") {
    block.unix_ = true;
    return block;
  }
  const size_t slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  if (!address || load<sockaddr_in6>(*address).sin6_scope_id * (address->family() == AF_INET6) != 0) return {};
  address_bytes(*address, block.bytes_);
  if (slash == text.npos) return block;
  const unsigned bits = address->family() == AF_INET ? 32 : 128;
  const auto prefix = parse_number<unsigned>(text.substr(slash + 1), bits);
  if (!prefix) return {};
  block.prefix_ = 128 - bits + *prefix;
  return block;
}

bool AddressBlock::is_v4() const { return !unix_ && is_mapped(bytes_) && prefix_ >= 96; }

bool AddressBlock::contains(const Endpoint& endpoint) const {
  if (unix_) return endpoint.is_unix();
  uint8_t bytes[16];
  if (!address_bytes(endpoint, bytes)) return false;
  // Blocks wider than ::ffff:0:0/96, such as ::/0, mean IPv6 alone: who trusts them has not named IPv4.
  if (is_mapped(bytes) && prefix_ < 96) return false;
  return same_prefix(bytes, bytes_, prefix_);
}

std::optional<Endpoint> AddressBlock::parse_address(std::string_view text) {
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
    if (text.find(':') == text.npos) return {};
  }
  return parse_ip(text, 0);
}

}  // namespace weir
