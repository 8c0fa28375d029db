// What is read off a request to decide about it, apart from the connection that it came by: the pipeline asks these
// functions, and so does `weir explain`.
#pragma once
#include <array>
#include <optional>
#include <span>
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

/// Marks with drop what the peer may not say (security-rules C1), before anything is decided by the fields.
/// `asks_certificates`: the listener does, and so believes no one else about them.
void drop_unbelieved(http1::RequestHead& head, bool trusted_peer, bool asks_certificates);

/// RFC 9110 §7.8; an Upgrade with a body, or to h2c, is forwarded as an ordinary request (security-rules A10).
bool wants_upgrade(const http1::RequestHead& head);

/// The fields that conditions and keys see: those that a backend gets too. What was dropped (forged, named by
/// Connection, with "_" in its name) is not among them, lest one thing be decided by a field and another be told.
struct BelievedFields {
  const http1::RequestHead& head;
  std::string_view identity;  // TlsSession::identity(): X-Client-Cert-* as we write them
};

/// The router's view; it points into `fields` and `path`. `listener`: index in Config::listeners.
route::Request route_request(const BelievedFields& fields, const http1::NormalizedPath& path, uint32_t listener);

/// Is a body of this length (Content-Length, or what has come of it) above limits.body_bytes?
inline bool body_too_large(const config::Limits& limits, uint64_t bytes) {
  return limits.body_bytes && bytes > limits.body_bytes;
}

/// RFC 9110 §7.6.2: what an OPTIONS says in Max-Forwards; nothing: no such request, or no number up to a million. 0 is
/// for us to answer; more is passed on, one less. (TRACE is never proxied.)
std::optional<uint32_t> hops_left(const http1::RequestHead& head);

/// What the pool's hash key is made of: the first value that isn't empty, or empty if the request has none.
std::string_view key_value(const config::KeySpec& key, const BelievedFields& fields, const http1::NormalizedPath& path,
                           std::string_view client);

/// All that may be the key of a request that has it several times (security-rules C5): different values, none of them
/// empty; or the one empty value.
struct KeyValues {
  static constexpr size_t kMost = 4;
  std::array<std::string_view, kMost> values;
  size_t count = 0;
  bool more = false;  // than kMost
  enum class Spelling : uint8_t {
    one,
    encoded,  // as in a query or a cookie: %61 is a
    host,     // in any case, with or without a dot at its end
  };
  Spelling spelling = Spelling::one;
  std::span<const std::string_view> all() const { return {values.data(), count}; }
};
KeyValues key_values(const config::KeySpec& key, const BelievedFields& fields, const http1::NormalizedPath& path,
                     std::string_view client);

}  // namespace weir::proxy
