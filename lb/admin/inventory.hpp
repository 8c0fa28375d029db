// What the admin listener shows of the process: the states of the current configuration.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "lb/admin/control.hpp"
#include "lb/base/clock.hpp"
#include "lb/base/state.hpp"
#include "lb/net/tls_server.hpp"

namespace weir::admin {

/// A name that backends of a pool come from, by DNS.
struct NameStatus {
  std::string name;             // "app.internal", "_http._tcp.app.internal"
  std::string backend;          // the one that has it in its URL; empty: the pool's `discover`
  std::string state;            // "ok", "pending", "missing", "failing"
  std::string reason;           // unless it is ok
  std::optional<Duration> age;  // of what is known; nothing: nothing ever was
  size_t backends = 0;          // that serve by it
};

struct PoolEntry {
  std::shared_ptr<const config::Pool> config;
  std::shared_ptr<PoolState> state;
  std::vector<std::shared_ptr<BackendState>> backends;  // parallel to config->backends
  std::function<std::vector<NameStatus>()> names = {};  // unset: DNS has no part in it
};

struct TlsEntry {
  std::string listener;
  std::shared_ptr<const net::TlsServer> server;
};

struct ListenerEntry {
  std::string name;
  config::Mode mode = config::Mode::http;
  bool tls = false, http2 = false;  // http2: spoken if the client wants it
};

/// Immutable; one a configuration generation.
struct Inventory {
  std::vector<PoolEntry> pools;
  std::vector<std::shared_ptr<RouteState>> routes;  // with the one for requests that no route takes
  std::vector<ListenerEntry> listeners;
  std::vector<TlsEntry> tls;
  std::vector<std::shared_ptr<ListenerState>> tcp;  // listeners of mode: tcp
  bool proxy_protocol = false;                      // a listener has it
  uint32_t max_series = 50'000;                     // config::Config::max_series
  std::string token;                                // config::Admin::token
};

/// Called on the control thread for each request that needs it; never returns null.
using InventorySource = std::function<std::shared_ptr<const Inventory>()>;

/// Where everything comes from, and what can be done. `process` must outlive whoever holds this.
struct Sources {
  ProcessState& process;
  InventorySource inventory;
  std::function<uint64_t()> log_lines_lost = [] { return uint64_t{0}; };  // AccessLog::lost_lines()
  Control control = {};
};

}  // namespace weir::admin
