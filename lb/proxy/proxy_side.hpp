// What a client's connection keeps for the PROXY protocol, received or sent.
#pragma once
#include <string>

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

/// Is the peer one of trusted_proxies? If not, that is counted and told.
bool may_send_proxy_header(Worker& worker, const ListenerInfo& listener, const Endpoint& peer);

}  // namespace weir::proxy
