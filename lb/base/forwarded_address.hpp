// Addresses as X-Forwarded-For has them, and the one form in which a client's address is known.
#pragma once
#include <array>
#include <optional>
#include <string_view>

#include "lb/base/endpoint.hpp"

namespace weir {

/// Room for any IP address in text form.
using AddressText = std::array<char, 46>;

/// An element of X-Forwarded-For: an address, perhaps with a port ("192.0.2.1:80", "[::1]:80"), which is not kept. Nor
/// is a zone: it names an interface of another machine. Nothing: it is no address. It allocates nothing.
std::optional<Endpoint> parse_forwarded(std::string_view element);

/// An IP address as Endpoint::host() has it, less its zone, written into `room`. Empty for unix. It allocates nothing.
std::string_view write_address(const Endpoint& address, AddressText& room);

}  // namespace weir
