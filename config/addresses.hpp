// Addresses: where to listen, whom to trust, where the backends are.
#pragma once
#include "config/types.hpp"

namespace weir::config {

/// An address to listen on; remembered in Reader::binds, to find two that collide.
TypeOf<Endpoint> bind_address();
/// Can only this machine reach it? Unix sockets too.
bool is_loopback(const Endpoint& endpoint);
TypeOf<AddressBlock> address_block();

/// "http://10.0.0.1:8080", "http://[fd00::1]", "unix:/run/app.sock" → address and authority; in a pool of mode: tcp
/// "tcp://10.0.0.1:3306", "10.0.0.1:3306" or "tls://…".
void read_backend_url(Reader& in, const Node& node, Backend& backend);
/// The same without a file. What is wrong with it; empty: nothing.
std::string parse_backend_url(const std::string& text, const Pool& pool, Backend& backend);
std::string show_backend_url(const Backend& backend);
TypeDoc backend_url_doc();

/// Do both take the same port of the same address? `:80` is every address, IPv4 too. Port 0 never collides.
bool collide(const Endpoint& a, const Endpoint& b);

}  // namespace weir::config
