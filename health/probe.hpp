// One active check: an HTTP request or a TCP connection to a backend, with one deadline over all of it.
#pragma once
#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>

#include "config/model.hpp"
#include "lb/net/tls_client.hpp"

namespace weir::health {

/// What to check, shared by all checks of a backend.
struct ProbeSpec {
  Endpoint address;
  config::Health settings;                              // type http, tcp or grpc
  std::string request;                                  // http: the bytes to send
  std::shared_ptr<const net::TlsClient> tls = nullptr;  // over TLS; null: plain
  std::string tls_name = {};                            // … to be asked for and verified
  bool http2 = false;                                   // http and grpc: what is spoken
  std::string authority = {};                           // … with HTTP/2, to be asked for
  std::string preface = {};                             // sent first, before TLS: a header of the PROXY protocol
  bool same(const ProbeSpec& other) const {
    return settings == other.settings && request == other.request && tls == other.tls && tls_name == other.tls_name &&
           preface == other.preface && http2 == other.http2 && authority == other.authority;
  }
};
/// `tls` counts for HTTP checks of backends with https://, and for TCP checks of those with tls://; an empty
/// `server_name` is the URL's host. `health.path` and `health.host` must be valid in a request line and a field (the
/// configuration sees to it). With `proxy` a check says that the connection is our own.
std::shared_ptr<const ProbeSpec> make_probe_spec(const config::Health& health, const config::Backend& backend,
                                                 const std::shared_ptr<const net::TlsClient>& tls = nullptr,
                                                 const std::string& server_name = {},
                                                 ProxyVersion proxy = ProxyVersion::none, bool http2 = false);

struct ProbeResult {
  enum class Outcome {
    ok,
    failed,
    not_done,  // for a reason of ours (no descriptor, no port left): says nothing about the backend
  };
  Outcome outcome = Outcome::ok;
  std::string reason;  // empty if ok; "connect refused", "status 500, expected 200-299", …
};

class Probe {
 public:
  virtual ~Probe() = default;
  /// Closes the connection; `done` will not be called any more.
  virtual void cancel() = 0;
};

/// Starts a check on `io` and calls `done` once, from a handler of `io`, never from within this call.
std::shared_ptr<Probe> start_probe(boost::asio::io_context& io, std::shared_ptr<const ProbeSpec> spec,
                                   std::function<void(ProbeResult)> done);

}  // namespace weir::health
