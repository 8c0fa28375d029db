// A configuration made ready to serve: immutable but for each pool's published table. Shared by all workers, replaced
// as a whole at a reload; the states it points to live on.
#pragma once
#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "health/monitor.hpp"
#include "lb/balance/policy.hpp"
#include "lb/base/address_set.hpp"
#include "lb/base/state.hpp"
#include "lb/net/span_exporter.hpp"
#include "lb/net/tls_client.hpp"
#include "lb/net/tls_server.hpp"
#include "lb/proxy/admission.hpp"
#include "lb/proxy/tcp_listener.hpp"
#include "lb/route/affinity.hpp"
#include "lb/route/rate_limit.hpp"
#include "lb/route/router.hpp"

namespace weir::proxy {

/// What a pool's pickers use now.
struct PublishedTable {
  std::shared_ptr<const balance::Table> table;
  bool panic = false;
  std::shared_ptr<const std::vector<bool>> takes_requests = {};  // by backend: is it a candidate? Only with affinity
};

struct Pool {
  std::shared_ptr<const config::Pool> config;
  std::shared_ptr<PoolState> state;
  std::shared_ptr<Admission> admission;
  std::vector<std::shared_ptr<BackendState>> backends;  // parallel to config->backends
  std::shared_ptr<const net::TlsClient> tls;            // of backends with https://; null: there are none
  const balance::Algorithm* algorithm = nullptr;
  std::unique_ptr<const route::Affinity> affinity;  // null: none
  bool observes_latency = false;                    // the algorithm looks at BackendState::latency
  /// TCP_USER_TIMEOUT of its connections: above every timeout.idle of its routes, for the kernel counts a backend that
  /// reads nothing as gone too. Zero: none.
  std::chrono::milliseconds user_timeout{};

  /// Builds the table from the published states, and tells those who wait in the queue; control thread.
  void publish();
  /// Changes with each publish(); a worker that sees a new number fetches the table.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  PublishedTable published() const;

 private:
  mutable std::mutex mutex_;
  PublishedTable published_;
  std::atomic<uint64_t> version_{0};
};

struct Timeouts {
  Duration connect, response, idle, total, per_try, tunnel, expect;  // zero: none
};

struct Route {
  const config::Route* config = nullptr;
  std::shared_ptr<RouteState> state;
  Pool* pool = nullptr;  // null for redirect and respond
  uint32_t pool_index = 0;
  Timeouts timeout{};
  uint32_t auth_pool_index = 0;                   // of auth.forward
  uint64_t slow_us = ~uint64_t{0};                // a backend that answers later is slow
  bool guarded = false;                           // one of the following, or auth
  std::shared_ptr<const AddressSet> allow, deny;  // null: none
  std::shared_ptr<route::RateLimiter> limiter;    // null: none
};

/// What a configuration with `tracing` does to requests.
struct Tracer {
  std::shared_ptr<trace::SpanExporter> exporter;
  bool believes_anyone = true;
  /// Eight hexadecimal digits as they are read, the first in the highest byte: ids that begin with less are recorded.
  uint64_t below = 0;

  bool samples(const char* trace_id) const {
    uint64_t digits;
    std::memcpy(&digits, trace_id, sizeof digits);
    return __builtin_bswap64(digits) < below;
  }
  /// For `millionths` of all ids.
  static uint64_t below_for(uint32_t millionths);
};

struct Runtime {
  std::shared_ptr<const config::Config> config;
  std::shared_ptr<const route::Router> router;
  std::vector<std::shared_ptr<Pool>> pools;
  std::vector<Route> routes;
  std::vector<std::shared_ptr<const net::TlsServer>> tls;  // parallel to config->listeners; null: plain
  std::vector<std::shared_ptr<const TcpListener>> tcp;     // parallel to config->listeners; null: mode: http
  std::shared_ptr<RouteState> unrouted;                    // requests that no route takes
  uint64_t generation = 0;
  std::optional<Tracer> tracer;

  explicit Runtime(std::shared_ptr<const config::Config> c)
      : config(c), router(std::make_shared<const route::Router>(*c)) {}
  Pool* find_pool(const std::string& name);
};

/// The states of everything ever named, so that counters and in-flight numbers live over reloads. Control thread.
class StateRegistry {
 public:
  /// `ticket_secret`: of the process before this one; a new one is made if it is empty, or too short to be one.
  explicit StateRegistry(size_t workers, std::string ticket_secret = {});
  /// What session tickets are made from while the configuration names no keys. A secret, for the next process alone.
  const std::string& ticket_secret() const { return ticket_secret_; }
  /// A configured pool as it serves: with what DNS says of its backends.
  using Serving = std::function<config::Pool(const config::Pool&)>;
  /// Throws std::runtime_error with a sentence for people if the files of TLS won't do.
  std::shared_ptr<Runtime> build(std::shared_ptr<const config::Config> config, uint64_t generation,
                                 const Serving& serving = {});
  /// The same configuration with other backends in some pools. All else is shared with `current`.
  std::shared_ptr<Runtime> with_pools(const Runtime& current, const std::map<std::string, config::Pool>& changed);
  /// What the health monitor has to look after.
  static std::vector<health::Target> targets(const Runtime& runtime);

 private:
  struct PoolEntry {
    std::shared_ptr<PoolState> state;
    std::shared_ptr<Admission> admission;
    std::shared_ptr<const net::TlsClient> tls;  // the same while its settings are, so that connections are kept
    std::map<std::string, std::shared_ptr<BackendState>> backends;  // by name; replaced when the address changes
  };
  std::shared_ptr<BackendState> backend_state(PoolEntry& entry, const config::Backend& backend,
                                              const std::string& pool);
  void forget(const std::string& pool, const PoolEntry& entry);
  void build_guards(const config::Route& from, Route& into);
  std::unique_ptr<Pool> build_pool(const config::Pool& from, const std::vector<std::string>& secret_keys,
                                   std::shared_ptr<const net::TlsClient> tls);

  size_t workers_;
  const std::string ticket_secret_;
  std::map<std::string, PoolEntry> pools_;
  // What the configuration no longer has, for as long as sessions or requests hold it: it may come back.
  std::map<std::string, std::pair<std::weak_ptr<PoolState>, std::weak_ptr<Admission>>> gone_pools_;
  std::map<std::array<std::string, 3>, std::weak_ptr<BackendState>> gone_backends_;  // by pool, name and address
  std::map<std::string, std::shared_ptr<RouteState>> routes_;
  std::map<std::string, std::shared_ptr<ListenerState>> tcp_listeners_;
  std::map<std::string, std::shared_ptr<route::RateLimiter>> limiters_;  // by route; kept while the limit is the same
};

}  // namespace weir::proxy
