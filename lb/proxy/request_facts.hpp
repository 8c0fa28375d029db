// What is read off a request to decide about it, apart from the connection that it came by: the pipeline asks these
// functions, and so does `weir explain`.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "config/model.hpp"
#include "lb/base/forwarded_address.hpp"
#include "lb/net/http1.hpp"
#include "lb/route/router.hpp"

namespace weir::proxy {

http1::RequestRules request_rules(const config::Config& config);

/// Does one of the blocks hold the address?
bool trusted(const std::vector<AddressBlock>& blocks, const Endpoint& address);

/// The address of a client whom a trusted proxy names by something that is no address. No rule by address lets it in.
inline constexpr std::string_view kUnknownClient = "unknown";

/// Whose request it is. `address` points to `room`, to `peer_text` or is kUnknownClient.
struct Client {
  std::string_view address;  // the one that is believed, in the one form that Endpoint::host() writes
  bool trusted_peer = false;
};
/// Behind trusted proxies: the rightmost address of X-Forwarded-For that is none of them.
Client believed_client(const http1::RequestHead& head, const std::vector<AddressBlock>& trusted_proxies,
                       const Endpoint& peer, std::string_view peer_text, AddressText& room);

/// The router's view; it points into `head` and `path`. `listener`: index in Config::listeners.
route::Request route_request(const http1::RequestHead& head, const http1::NormalizedPath& path, uint32_t listener);

/// Is a body of this length (Content-Length, or what has come of it) above limits.body_bytes?
inline bool body_too_large(const config::Limits& limits, uint64_t bytes) {
  return limits.body_bytes && bytes > limits.body_bytes;
}

/// RFC 9110 §7.6.2: what an OPTIONS says in Max-Forwards; nothing: no such request, or no number up to a million. 0 is
/// for us to answer; more is passed on, one less. (TRACE is never proxied.)
std::optional<uint32_t> hops_left(const http1::RequestHead& head);

/// What the pool's hash key is made of; empty if the request doesn't have it.
std::string_view key_value(const config::KeySpec& key, const http1::RequestHead& head,
                           const http1::NormalizedPath& path, std::string_view client);

}  // namespace weir::proxy
