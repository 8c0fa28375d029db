// The JSON of the admin API, and the one place where Boost.JSON is compiled.
#include <boost/json/src.hpp>

#include <mutex>

#include "lb/admin/api_json.hpp"
#include "lb/admin/json_text.hpp"
#include "lb/admin/latency.hpp"
#include "lb/admin/process_facts.hpp"
#include "lb/base/log_time.hpp"
#include "lb/proxy/affinity.hpp"

namespace weir::admin {
namespace {

namespace json = boost::json;

json::value milliseconds_or_null(const Latency& latency, double q) {
  const auto microseconds = latency.quantile(q);
  return microseconds ? json::value(*microseconds / 1000.0) : json::value(nullptr);
}

template <typename Cells>
uint64_t sum(const std::vector<Cells>& cells, Counter Cells::*member) {
  uint64_t total = 0;
  for (const auto& worker : cells) total += (worker.*member).get();
  return total;
}

json::value time_or_null(int64_t wall_ns) {
  if (wall_ns <= 0) return nullptr;
  std::string text;
  append_rfc3339(wall_ns, text);
  return json::value(text);
}

/// Each attempt that failed and each answer with 5xx, once.
uint64_t errors_of(const std::vector<BackendCells>& cells) {
  uint64_t total = 0;
  for (const auto& worker : cells)
    total += worker.failures.get() + worker.responses[5].get() -
             std::min(worker.failed_5xx.get(), worker.responses[5].get());
  return total;
}

json::object responses_object(const std::vector<BackendCells>& cells) {
  static constexpr const char* kClasses[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
  json::object object;
  for (size_t i = 1; i < std::size(kClasses); ++i) {
    uint64_t total = 0;
    for (const auto& worker : cells) total += worker.responses[i].get();
    object[kClasses[i]] = total;
  }
  return object;
}

int64_t milliseconds(Duration duration) { return std::chrono::ceil<std::chrono::milliseconds>(duration).count(); }

/// Of a backend that drains and still gets the requests of its sessions; null: it doesn't.
void add_sessions(json::object& object, const config::Pool& pool, const BackendState& state) {
  proxy::SessionsLeft left;
  if (pool.affinity && state.order.load() == BackendOrder::drain)
    left = proxy::sessions_left(*pool.affinity, state, monotonic_now());
  const bool some = left.until_deadline > Duration::zero();
  object["sessions_until"] = some ? time_or_null(wall_now_ns() + left.until_deadline.count()) : nullptr;
  object["sessions_left"] = some ? json::value(left.about) : nullptr;
  object["sessions_deadline_ms"] = some ? json::value(milliseconds(left.until_deadline)) : nullptr;
  object["sessions_over_in_ms"] = some ? json::value(milliseconds(left.until_over)) : nullptr;
}

json::value affinity_object(const PoolEntry& pool) {
  const auto& affinity = pool.config->affinity;
  if (!affinity) return nullptr;
  json::object results;
  for (size_t i = 0; i < kAffinityResults; ++i) {
    uint64_t total = 0;
    for (const auto& worker : pool.state->cells) total += worker.affinity[i].get();
    results[to_string(static_cast<AffinityResult>(i))] = total;
  }
  json::object object;
  object["cookie"] = affinity->cookie;
  object["ttl_ms"] = affinity->ttl.count();
  object["drain_ms"] = affinity->drain.count();
  object["idle_ms"] = affinity->idle.count();
  object["requests"] = std::move(results);
  return object;
}

json::object backend_object(const config::Pool& pool, size_t index, const BackendState& state) {
  const config::Backend& config = pool.backends[index];
  Latency latency;
  latency.add(state.cells);
  std::string reason;
  json::value since;
  {
    const std::lock_guard lock(state.reason_mutex);
    reason = state.reason;
    since = time_or_null(state.since_wall_ns);
  }
  json::object object;
  object["name"] = state.name;
  object["address"] = state.address.to_string();
  object["status"] = to_string(state.status.load());
  object["health"] = to_string(state.health.load());
  object["reason"] = reason;
  object["since"] = since;
  add_sessions(object, pool, state);
  object["source"] = config.discovered ? "dns" : config.added ? "api" : "file";
  object["weight"] = config.weight;
  object["effective_weight"] = config.weight * (state.weight_permille.load() / 1000.0);
  object["backup"] = config.backup;
  object["zone"] = config.zone;
  object["inflight"] = state.inflight.value.load();
  object["connections"] = state.open_connections.load();
  object["requests"] = sum(state.cells, &BackendCells::requests);
  object["failures"] = sum(state.cells, &BackendCells::failures);
  object["responses"] = responses_object(state.cells);
  object["errors"] = errors_of(state.cells);
  object["latency_ms"] = {{"p50", milliseconds_or_null(latency, 0.5)}, {"p99", milliseconds_or_null(latency, 0.99)}};
  object["latency_buckets"] = json::array(latency.buckets.begin(), latency.buckets.end());
  object["ejections"] = state.ejections.load();
  object["checks_ok"] = state.checks_ok.load();
  object["checks_failed"] = state.checks_failed.load();
  return object;
}

/// The names that DNS resolves for it.
json::array names_array(const PoolEntry& pool) {
  json::array list;
  if (!pool.names) return list;
  for (const auto& name : pool.names()) {
    json::object object;
    object["name"] = name.name;
    object["backend"] = name.backend.empty() ? json::value(nullptr) : json::value(name.backend);
    object["state"] = name.state;
    object["reason"] = name.reason;
    object["age_seconds"] =
        name.age ? json::value(std::chrono::duration<double>(*name.age).count()) : json::value(nullptr);
    object["backends"] = name.backends;
    list.push_back(std::move(object));
  }
  return list;
}

/// What is spoken to its backends.
const char* protocol_of(const config::Pool& pool) {
  if (pool.mode == config::Mode::tcp) return "tcp";
  switch (pool.protocol) {
    case config::Pool::Protocol::h1: break;
    case config::Pool::Protocol::h2: return "h2";
    case config::Pool::Protocol::h2c: return "h2c";
  }
  return "h1";
}

json::object pool_object(const PoolEntry& pool) {
  const auto& limits = pool.config->limits;
  json::array backends;
  backends.reserve(pool.backends.size());
  for (size_t i = 0; i < pool.backends.size(); ++i)
    backends.push_back(backend_object(*pool.config, i, *pool.backends[i]));
  json::object object;
  object["name"] = pool.state->name;
  object["mode"] = pool.config->mode == config::Mode::tcp ? "tcp" : "http";
  object["protocol"] = protocol_of(*pool.config);
  object["algorithm"] = pool.config->balance.algorithm;
  object["affinity"] = affinity_object(pool);
  object["limits"] = {{"inflight", limits.inflight},
                      {"per_backend", limits.per_backend},
                      {"queue", limits.queue},
                      {"queue_timeout_ms", limits.queue_timeout.count()}};
  object["inflight"] = pool.state->inflight.value.load();
  object["waiting"] = pool.state->waiting.value.load();
  object["retrying"] = pool.state->retrying.value.load();
  object["names"] = names_array(pool);
  object["backends"] = std::move(backends);
  return object;
}

bool takes_requests(const config::Backend& config, const BackendState& state) {
  const BackendStatus status = state.status.load();
  return config.weight > 0 && (status == BackendStatus::up || status == BackendStatus::unknown);
}

size_t usable(const PoolEntry& pool) {
  size_t n = 0;
  for (size_t i = 0; i < pool.backends.size(); ++i) n += takes_requests(pool.config->backends[i], *pool.backends[i]);
  return n;
}

json::array problems(const std::vector<config::Problem>& found) {
  json::array list;
  for (const auto& problem : found)
    list.push_back({{"file", problem.at.file},
                    {"line", problem.at.line},
                    {"column", problem.at.column},
                    {"message", problem.message}});
  return list;
}

json::array pools_array(const Inventory& inventory) {
  json::array pools;
  pools.reserve(inventory.pools.size());
  for (const auto& pool : inventory.pools) pools.push_back(pool_object(pool));
  return pools;
}

const char* to_string(ReloadOutcome::Kind kind) {
  switch (kind) {
    case ReloadOutcome::Kind::applied: return "applied";
    case ReloadOutcome::Kind::would_apply: return "would_apply";
    case ReloadOutcome::Kind::bad_configuration: return "bad_configuration";
    case ReloadOutcome::Kind::refused: return "refused";
    case ReloadOutcome::Kind::failed: return "failed";
  }
  return "";
}

json::value reload_or_null(const LastReload* last) {
  if (!last) return nullptr;
  json::object object;
  object["time"] = time_or_null(last->wall_ns);
  object["result"] = to_string(last->outcome.kind);
  object["reason"] = last->outcome.reason;
  object["changes"] = json::array(last->changes.begin(), last->changes.end());
  object["errors"] = problems(last->outcome.errors);
  object["warnings"] = problems(last->outcome.warnings);
  return object;
}

/// Since the start, those that have happened.
json::object causes_object(const Inventory& inventory) {
  json::object causes;
  for (size_t i = 0; i < kCauseCount; ++i) {
    if (!is_error(kCauses[i].cause)) continue;
    uint64_t total = 0;
    for (const auto& route : inventory.routes)
      for (const auto& worker : route->cells) total += worker.causes[i].get();
    for (const auto& listener : inventory.tcp)
      for (const auto& worker : listener->cells) total += worker.ends[i].get();
    if (total > 0) causes[kCauses[i].name] = total;
  }
  return causes;
}

json::array listeners_array(const Inventory& inventory, const Facts& facts) {
  json::array listeners;
  for (const auto& [name, address] : facts.listeners) {
    json::object object{{"name", name}, {"address", address}};
    for (const auto& entry : inventory.listeners) {
      if (entry.name != name) continue;
      object["mode"] = entry.mode == config::Mode::tcp ? "tcp" : "http";
      object["tls"] = entry.tls;
      if (entry.mode == config::Mode::http) object["http2"] = entry.http2;
    }
    for (const auto& state : inventory.tcp)
      if (state->name == name) object["sessions"] = state->sessions.value.load();
    listeners.push_back(std::move(object));
  }
  return listeners;
}

json::object status_object(const Inventory& inventory, const ProcessState& process, const Facts& facts) {
  size_t backends = 0, serving = 0;
  for (const auto& pool : inventory.pools) {
    backends += pool.backends.size();
    serving += usable(pool);
  }
  json::object object;
  object["version"] = WEIR_VERSION;
  object["pid"] = ::getpid();
  object["started"] = time_or_null(process.started_wall_ns.load());
  object["workers"] = process.workers;
  object["file"] = facts.file;
  object["generation"] = process.generation.load();
  object["loaded"] = time_or_null(process.loaded_wall_ns.load());
  object["reloads"] = {{"ok", process.reloads_ok.load()}, {"failed", process.reloads_failed.load()}};
  object["last_reload"] = reload_or_null(facts.last_reload.get());
  object["upgrades"] = {
      {"ok", process.upgrades_ok.load()},
      {"failed", process.upgrades_failed.load()},
      {"under_way", facts.upgrade.under_way},
      {"program", facts.upgrade.program},
      {"timeout_ms", facts.upgrade.timeout.count()},
      {"predecessors", json::array(facts.upgrade.predecessors.begin(), facts.upgrade.predecessors.end())}};
  object["ready"] = process.ready.load();
  object["draining"] = process.draining.load();
  object["listeners"] = listeners_array(inventory, facts);
  object["pools"] = inventory.pools.size();
  object["backends"] = {{"all", backends}, {"usable", serving}};
  object["connections"] = facts.connections;
  object["requests"] = sum(process.cells, &WorkerCells::requests_parsed);
  object["http2_requests"] = sum(process.cells, &WorkerCells::http2_streams);
  object["memory_bytes"] = resident_bytes();
  object["open_files"] = open_descriptors();
  return object;
}

}  // namespace

std::string pools_json(const Inventory& inventory, const ProcessState& process) {
  json::object object;
  object["generation"] = process.generation.load();
  object["pools"] = pools_array(inventory);
  return json_text(object);
}

std::string backend_json(const PoolEntry& pool, size_t index, const std::vector<net::OlderShare>& older,
                         const bool* changed) {
  json::object object = backend_object(*pool.config, index, *pool.backends[index]);
  object["pool"] = pool.state->name;
  object["usable"] = usable(pool);
  uint64_t inflight = 0;
  json::array processes;
  for (const auto& share : older) {
    inflight += share.inflight.value_or(0);
    processes.push_back({{"pid", share.pid},
                         {"inflight", share.inflight ? json::value(*share.inflight) : json::value(nullptr)},
                         {"takes_orders", share.takes_orders},
                         {"obeys", share.obeys}});
  }
  object["inflight_old"] = inflight;
  object["older_processes"] = std::move(processes);
  object["resets_sessions"] = pool.config->mode == config::Mode::tcp && pool.config->sessions.close_on_eject;
  if (changed) object["changed"] = *changed;
  return json_text(object);
}

std::string changed_json(const Inventory& inventory, const config::BackendChange& change, bool persisted) {
  json::object object;
  for (const auto& pool : inventory.pools)
    for (size_t i = 0; i < pool.backends.size() && pool.state->name == change.pool; ++i)
      if (pool.backends[i]->name == change.name) object = backend_object(*pool.config, i, *pool.backends[i]);
  object["pool"] = change.pool;
  object["name"] = change.name;
  object["persisted"] = persisted;
  if (change.kind != config::BackendChange::Kind::remove) object["weight"] = change.weight;
  return json_text(object);
}

std::string status_json(const Inventory& inventory, const ProcessState& process, const Facts& facts) {
  return json_text(status_object(inventory, process, facts));
}

std::string event_json(const Inventory& inventory, const ProcessState& process, const Facts& facts, TimePoint at,
                       int64_t wall_ns) {
  json::object object;
  object["at_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
  object["time"] = time_or_null(wall_ns);
  object["status"] = status_object(inventory, process, facts);
  object["pools"] = pools_array(inventory);
  object["causes"] = causes_object(inventory);
  return json::serialize(object);
}

std::string reload_json(const ReloadOutcome& outcome) {
  json::object object;
  object["dry_run"] = outcome.kind == ReloadOutcome::Kind::would_apply;
  object["generation"] = outcome.generation;
  object["changes"] = json::array(outcome.changes.begin(), outcome.changes.end());
  object["warnings"] = problems(outcome.warnings);
  return json_text(object);
}

std::string reload_members(const ReloadOutcome& outcome) {
  return "\"errors\":" + json::serialize(problems(outcome.errors)) +
         ",\"warnings\":" + json::serialize(problems(outcome.warnings)) +
         ",\"generation\":" + std::to_string(outcome.generation);
}

std::string upgrade_json(const UpgradeOutcome& outcome) {
  json::object object;
  object["pid"] = outcome.pid;
  object["version"] = outcome.version;
  object["program"] = outcome.program;
  object["ready_after_ms"] = outcome.ready_after.count();
  object["old"] = {
      {"pid", ::getpid()}, {"connections", outcome.connections}, {"finishes_for_ms", outcome.finishes_for.count()}};
  object["forgotten"] = json::array(outcome.forgotten.begin(), outcome.forgotten.end());
  return json_text(object);
}

std::string upgrade_members(const UpgradeOutcome& outcome) {
  return "\"details\":" + json::serialize(json::array(outcome.details.begin(), outcome.details.end())) +
         ",\"program\":" + json::serialize(json::value(outcome.program)) +
         ",\"pid\":" + (outcome.pid ? std::to_string(outcome.pid) : "null");
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
