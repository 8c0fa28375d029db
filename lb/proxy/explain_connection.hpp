// What TLS says to a connection before there is a request on it, asked for `weir explain`.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "lb/proxy/explain.hpp"

namespace weir::proxy {

/// How a client comes to a listener.
struct Approach {
  bool tls = false;
  std::string server_name;  // SNI; empty: it asks for none, as for the URL of an address (RFC 6066 §3)
};

/// A client of TLS names the host of its URL. `authority`: of the URL, perhaps with a port.
Approach approach_of(std::string_view scheme, std::string_view authority);

/// By the rules of the handshake, before a byte of the request is read. False: it refuses, and `out` says why.
bool explain_handshake(const Runtime& runtime, uint32_t listener, const Approach& approach, const Question& question,
                       Explanation& out);

/// Exchange::misdirected. `host`: of the request, without port. False: 421.
bool explain_host(const Runtime& runtime, uint32_t listener, const Approach& approach, std::string_view host,
                  Explanation& out);

}  // namespace weir::proxy
