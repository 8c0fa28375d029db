#include "lb/base/forwarded_address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>

namespace weir {
namespace {

bool is_port(std::string_view text) {
  unsigned value = 0;
  if (text.empty() || text.size() > 5 || text[0] == '-') return false;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && stop == text.data() + text.size() && value <= 65535;
}

}  // namespace

std::optional<Endpoint> parse_forwarded(std::string_view element) {
  const size_t colon = element.rfind(':');
  // Without brackets, a port behind IPv6 could not be told from its last group.
  if (colon != element.npos && colon > 0 && (element[colon - 1] == ']' || element.find(':') == colon)) {
    if (!is_port(element.substr(colon + 1))) return {};
    element = element.substr(0, colon);
  }
  const bool bracketed = element.starts_with('[') && element.ends_with(']');
  if (bracketed && element.size() >= 2) element = element.substr(1, element.size() - 2);
  const bool v6 = element.find(':') != element.npos;
  if (bracketed && !v6) return {};
  const size_t zone = element.find('%');
  if (zone != element.npos && (!v6 || zone + 1 == element.size())) return {};
  element = element.substr(0, zone);
  return element.starts_with('[') ? std::nullopt : AddressBlock::parse_address(element);
}

std::string_view write_address(const Endpoint& address, AddressText& room) {
  static_assert(std::tuple_size_v<AddressText> >= INET6_ADDRSTRLEN);
  if (address.family() == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address.storage, sizeof v4);
    return ::inet_ntop(AF_INET, &v4.sin_addr, room.data(), room.size());
  }
  if (address.family() != AF_INET6) return {};
  sockaddr_in6 v6;
  std::memcpy(&v6, &address.storage, sizeof v6);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
    return ::inet_ntop(AF_INET, v6.sin6_addr.s6_addr + 12, room.data(), room.size());
  return ::inet_ntop(AF_INET6, &v6.sin6_addr, room.data(), room.size());
}

}  // namespace weir
