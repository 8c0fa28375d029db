// What a client's connection keeps for the PROXY protocol, received or sent.
#pragma once
#include <string>
#include <string_view>

#include "lb/base/endpoint.hpp"
#include "lb/base/proxy_protocol.hpp"

namespace weir::proxy {

class UpstreamConnection;
class Worker;
struct ListenerInfo;

struct ProxySide {
  bool heard = false;                      // a byte of the header has come
  Endpoint source, destination;            // as the header has them; of length 0: the connection's own
  std::string authority, alpn;             // … too
  UpstreamConnection* upstream = nullptr;  // that this client alone may use, while nobody does
};

/// Counts a connection that is closed for the sake of its header, and tells of it, if that is not too often.
void tell_proxy_refusal(Worker& worker, const ListenerInfo& listener, std::string peer, ProxyFailure failure,
                        const char* detail);
/// In words, what stands where a header was to be.
const char* what_came_instead(std::string_view bytes);
/// An address of the socket, by getpeername or getsockname; of family 0 if it has none any more.
Endpoint peer_address(int fd);
Endpoint own_address(int fd);

/// Is the peer one of trusted_proxies? If not, that is counted and told.
bool may_send_proxy_header(Worker& worker, const ListenerInfo& listener, const Endpoint& peer);

}  // namespace weir::proxy
