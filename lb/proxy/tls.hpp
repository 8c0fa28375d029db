// TLS of listeners and pools, made of a configuration; and what a worker keeps for it.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"
#include "config/model.hpp"
#include "lb/base/clock.hpp"
#include "lb/base/tls_failure.hpp"
#include "lb/net/tls_client.hpp"
#include "lb/net/tls_server.hpp"
#include "lb/net/tls_session.hpp"

namespace weir::proxy {

class DownstreamConnection;
class Worker;
struct ListenerInfo;
struct UpstreamSet;

struct TlsParts {
  std::vector<std::shared_ptr<const net::TlsServer>> servers;  // parallel to Config::listeners; null: plain, or errors
  std::vector<std::shared_ptr<const net::TlsClient>>
      clients;  // parallel to Config::pools; null: no https://, or errors
  std::vector<config::Problem> errors, warnings;
};
/// `now`: seconds since the epoch. `secret`: session tickets are made from it if the configuration names no keys.
TlsParts build_tls(const config::Config& config, int64_t now, const std::string& secret);

/// The same for one pool, whose backends have changed. Null without https://. Throws std::runtime_error.
std::shared_ptr<const net::TlsClient> tls_client_of(const config::Pool& pool, int64_t now);

/// Adds what is wrong with certificates and keys to what is wrong with the configuration.
void check_tls(config::LoadResult& result, int64_t now);

/// The line of Strict-Transport-Security, line end included; empty: none.
std::string hsts_line(const config::Listener& listener);

/// Events of one kind, so that a flood of them is no flood in the log: some a second, the others are counted.
class EventBound {
 public:
  static constexpr uint32_t kASecond = 5;
  /// May one be written? `left_out`: how many were not since the last one.
  bool take(TimePoint now, uint64_t& left_out);

 private:
  TimePoint second_{};
  uint32_t written_ = 0;
  uint64_t left_out_ = 0;
};

/// A handshake came to nothing: an event, if that is not too often.
void tell_handshake_failure(Worker& worker, const ListenerInfo& listener, std::string_view client,
                            const net::TlsSession& session, TlsFailure failure, const char* detail);
void tell_backend_tls_failure(Worker& worker, const UpstreamSet& set, const net::TlsSession& session);

/// Of one worker.
struct TlsWorker {
  explicit TlsWorker(net::BufferPool& buffers) : scratch(buffers) {}
  net::TlsScratch scratch;
  std::list<DownstreamConnection*> handshakes;  // under way, the oldest first
  EventBound failures, backend_failures;
};

}  // namespace weir::proxy
