// What is read off a request to decide about it, apart from the connection that it came by: the pipeline asks these
// functions, and so does `weir explain`.
#pragma once
#include <string_view>
#include <vector>

#include "config/model.hpp"
#include "lb/net/http1.hpp"
#include "lb/route/router.hpp"

namespace weir::proxy {

http1::RequestRules request_rules(const config::Config& config);

/// Does one of the blocks hold the address?
bool trusted(const std::vector<AddressBlock>& blocks, const Endpoint& address);

/// Whose request it is. `address` points into `head` or to `peer_text`.
struct Client {
  std::string_view address;  // the one that is believed
  bool trusted_peer = false;
};
/// Behind trusted proxies: the rightmost address of X-Forwarded-For that is none of them.
Client believed_client(const http1::RequestHead& head, const std::vector<AddressBlock>& trusted_proxies,
                       const Endpoint& peer, std::string_view peer_text);

/// The router's view; it points into `head` and `path`. `listener`: index in Config::listeners.
route::Request route_request(const http1::RequestHead& head, const http1::NormalizedPath& path, uint32_t listener);

/// What the pool's hash key is made of; empty if the request doesn't have it.
std::string_view key_value(const config::KeySpec& key, const http1::RequestHead& head,
                           const http1::NormalizedPath& path, std::string_view client);

}  // namespace weir::proxy
