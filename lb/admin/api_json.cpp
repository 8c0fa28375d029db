// The JSON of the admin API, and the one place where Boost.JSON is compiled.
#include <boost/json/src.hpp>

#include <mutex>

#include "lb/admin/api.hpp"
#include "lb/admin/json_text.hpp"
#include "lb/admin/latency.hpp"
#include "lb/base/log_time.hpp"

namespace weir::admin {
namespace {

namespace json = boost::json;

json::value milliseconds_or_null(const Latency& latency, double q) {
  const auto microseconds = latency.quantile(q);
  return microseconds ? json::value(*microseconds / 1000.0) : json::value(nullptr);
}

template <typename Member>
uint64_t sum(const std::vector<BackendCells>& cells, Member BackendCells::*member) {
  uint64_t total = 0;
  for (const auto& worker : cells) total += (worker.*member).get();
  return total;
}

json::object backend_object(const config::Backend& config, const BackendState& state) {
  Latency latency;
  latency.add(state.cells);
  std::string reason, since;
  {
    const std::lock_guard lock(state.reason_mutex);
    reason = state.reason;
    if (state.since_wall_ns > 0) append_rfc3339(state.since_wall_ns, since);
  }
  json::object object;
  object["name"] = state.name;
  object["address"] = state.address.to_string();
  object["status"] = to_string(state.status.load());
  object["reason"] = reason;
  object["since"] = since.empty() ? json::value(nullptr) : json::value(since);
  object["weight"] = config.weight;
  object["effective_weight"] = config.weight * (state.weight_permille.load() / 1000.0);
  object["backup"] = config.backup;
  object["zone"] = config.zone;
  object["inflight"] = state.inflight.value.load();
  object["connections"] = state.open_connections.load();
  object["requests"] = sum(state.cells, &BackendCells::requests);
  object["failures"] = sum(state.cells, &BackendCells::failures);
  object["latency_ms"] = {{"p50", milliseconds_or_null(latency, 0.5)}, {"p99", milliseconds_or_null(latency, 0.99)}};
  object["ejections"] = state.ejections.load();
  object["checks_ok"] = state.checks_ok.load();
  object["checks_failed"] = state.checks_failed.load();
  return object;
}

json::object pool_object(const PoolEntry& pool) {
  const auto& limits = pool.config->limits;
  json::array backends;
  backends.reserve(pool.backends.size());
  for (size_t i = 0; i < pool.backends.size(); ++i)
    backends.push_back(backend_object(pool.config->backends[i], *pool.backends[i]));
  json::object object;
  object["name"] = pool.state->name;
  object["algorithm"] = pool.config->balance.algorithm;
  object["limits"] = {{"inflight", limits.inflight},
                      {"per_backend", limits.per_backend},
                      {"queue", limits.queue},
                      {"queue_timeout_ms", limits.queue_timeout.count()}};
  object["inflight"] = pool.state->inflight.value.load();
  object["waiting"] = pool.state->waiting.value.load();
  object["retrying"] = pool.state->retrying.value.load();
  object["backends"] = std::move(backends);
  return object;
}

}  // namespace

std::string pools_json(const Inventory& inventory, const ProcessState& process) {
  json::array pools;
  pools.reserve(inventory.pools.size());
  for (const auto& pool : inventory.pools) pools.push_back(pool_object(pool));
  json::object object;
  object["generation"] = process.generation.load();
  object["pools"] = std::move(pools);
  return json_text(object);
}

std::string causes_json() {
  json::array causes;
  for (const auto& cause : kCauses) {
    json::object object;
    object["name"] = cause.name;
    object["status"] = cause.status == 0 ? json::value(nullptr) : json::value(cause.status);
    object["proxy_status"] = cause.proxy_status.empty() ? json::value(nullptr) : json::value(cause.proxy_status);
    object["help"] = cause.help;
    causes.push_back(std::move(object));
  }
  json::object object;
  object["causes"] = std::move(causes);
  return json_text(object);
}

}  // namespace weir::admin
