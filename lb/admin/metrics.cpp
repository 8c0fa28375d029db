#include "lb/admin/metrics.hpp"

#include <fmt/format.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <initializer_list>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "lb/admin/family_writer.hpp"
#include "lb/admin/http2_metrics.hpp"
#include "lb/admin/latency.hpp"
#include "lb/admin/process_facts.hpp"
#include "lb/admin/proxy_metrics.hpp"
#include "lb/admin/text_format.hpp"
#include "lb/admin/tls_metrics.hpp"
#include "lb/base/log.hpp"
#include "lb/proxy/affinity.hpp"

namespace weir::admin {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr size_t kHistogramSeries = Histogram::kBounds.size() + 3;  // +Inf, sum, count
constexpr std::array<std::string_view, 6> kClasses{"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

template <typename Cells, typename Member>
uint64_t sum(const std::vector<Cells>& cells, Member Cells::*member) {
  uint64_t total = 0;
  for (const auto& worker : cells) total += (worker.*member).get();
  return total;
}

template <typename Cells, size_t N>
uint64_t sum(const std::vector<Cells>& cells, Counter (Cells::*member)[N], size_t index) {
  uint64_t total = 0;
  for (const auto& worker : cells) total += (worker.*member)[index].get();
  return total;
}

/// One series a pool or backend: the whole description of most families.
template <typename State>
struct Plain {
  const char* name;
  const char* help;
  MetricType type;
  double (*value)(const State&);
};

struct BackendEntry {
  const config::Pool& pool;
  const config::Backend& config;
  const BackendState& state;
};

bool usable(BackendStatus status) { return status == BackendStatus::up || status == BackendStatus::unknown; }

template <auto Member>
double pool_sum(const PoolEntry& entry) {
  return static_cast<double>(sum(entry.state->cells, Member));
}
template <auto Member>
double backend_sum(const BackendEntry& entry) {
  return static_cast<double>(sum(entry.state.cells, Member));
}

constexpr Plain<PoolEntry> kPoolFamilies[] = {
    {"weir_pool_requests_total", "Requests that were given to the pool.", MetricType::Counter,
     pool_sum<&PoolCells::requests>},
    {"weir_pool_inflight", "Requests admitted and not yet finished.", MetricType::Gauge,
     [](const PoolEntry& p) -> double { return p.state->inflight.value; }},
    {"weir_pool_inflight_limit", "limits.inflight of the pool; 0: none.", MetricType::Gauge,
     [](const PoolEntry& p) -> double { return p.config->limits.inflight; }},
    {"weir_pool_waiting", "Requests waiting in the queue.", MetricType::Gauge,
     [](const PoolEntry& p) -> double { return p.state->waiting.value; }},
    {"weir_pool_queued_total", "Requests that had to wait in the queue.", MetricType::Counter,
     pool_sum<&PoolCells::queued>},
    {"weir_pool_retries_total", "Attempts after the first.", MetricType::Counter, pool_sum<&PoolCells::retries>},
    {"weir_pool_retries_inflight", "Retries that are under way.", MetricType::Gauge,
     [](const PoolEntry& p) -> double { return p.state->retrying.value; }},
    {"weir_pool_retry_budget_exhausted_total", "Retries not made because the budget was spent.", MetricType::Counter,
     pool_sum<&PoolCells::retry_budget_exhausted>},
    {"weir_pool_spilled_total", "Requests that bounded load moved away from the backend of their key.",
     MetricType::Counter, pool_sum<&PoolCells::spilled>},
    {"weir_pool_panic_picks_total", "Backends picked although none or too few were usable.", MetricType::Counter,
     pool_sum<&PoolCells::panics>},
};

constexpr Plain<BackendEntry> kBackendFamilies[] = {
    {"weir_backend_up", "1 while it may be given requests (status up or unknown).", MetricType::Gauge,
     [](const BackendEntry& b) -> double { return usable(b.state.status); }},
    {"weir_backend_weight", "Weight now: the configured one times the slow-start share.", MetricType::Gauge,
     [](const BackendEntry& b) -> double { return b.config.weight * (b.state.weight_permille / 1000.0); }},
    {"weir_backend_inflight", "Requests that are with it.", MetricType::Gauge,
     [](const BackendEntry& b) -> double { return b.state.inflight.value; }},
    {"weir_backend_connections_open", "Open connections to it, idle ones included.", MetricType::Gauge,
     [](const BackendEntry& b) -> double { return b.state.open_connections; }},
    {"weir_backend_requests_total", "Attempts sent to it.", MetricType::Counter, backend_sum<&BackendCells::requests>},
    {"weir_backend_failures_total", "Attempts that failed for its sake.", MetricType::Counter,
     backend_sum<&BackendCells::failures>},
    {"weir_backend_connects_total", "Connections opened to it.", MetricType::Counter,
     backend_sum<&BackendCells::connects>},
    {"weir_backend_connect_failures_total", "Connections it refused or did not accept in time.", MetricType::Counter,
     backend_sum<&BackendCells::connect_failures>},
    {"weir_backend_connections_reused_total", "Attempts sent on a connection that was kept.", MetricType::Counter,
     backend_sum<&BackendCells::reused>},
    {"weir_backend_sent_bytes_total", "Bytes sent to it.", MetricType::Counter, backend_sum<&BackendCells::bytes_sent>},
    {"weir_backend_received_bytes_total", "Bytes received from it.", MetricType::Counter,
     backend_sum<&BackendCells::bytes_received>},
    {"weir_backend_ejections_total", "Times it was ejected for failed requests.", MetricType::Counter,
     [](const BackendEntry& b) -> double { return static_cast<double>(b.state.ejections); }},
    {"weir_backend_transitions_total", "Changes of its status.", MetricType::Counter,
     [](const BackendEntry& b) -> double { return static_cast<double>(b.state.transitions); }},
};

constexpr Plain<ProcessState> kProcessFamilies[] = {
    {"weir_workers", "Worker threads.", MetricType::Gauge,
     [](const ProcessState& p) -> double { return static_cast<double>(p.workers); }},
    {"weir_ready", "1 while /-/ready says 200.", MetricType::Gauge,
     [](const ProcessState& p) -> double { return p.ready && !p.draining; }},
    {"weir_draining", "1 from SIGTERM on.", MetricType::Gauge,
     [](const ProcessState& p) -> double { return p.draining; }},
    {"weir_start_time_seconds", "When the process started, since the epoch.", MetricType::Gauge,
     [](const ProcessState& p) -> double { return static_cast<double>(p.started_wall_ns) / 1e9; }},
    {"weir_config_generation", "Number of the configuration in use; grows with each reload.", MetricType::Gauge,
     [](const ProcessState& p) -> double { return static_cast<double>(p.generation); }},
    {"weir_config_load_time_seconds", "When the configuration in use was loaded, since the epoch.", MetricType::Gauge,
     [](const ProcessState& p) -> double { return static_cast<double>(p.loaded_wall_ns) / 1e9; }},
    {"weir_memory_resident_bytes", "Resident memory of the process.", MetricType::Gauge,
     [](const ProcessState&) -> double { return static_cast<double>(resident_bytes()); }},
    {"weir_memory_buffer_bytes", "Memory held in buffers of connections.", MetricType::Gauge,
     [](const ProcessState& p) -> double {
       uint64_t total = 0;
       for (const auto& worker : p.cells) total += worker.buffer_bytes.load(std::memory_order_relaxed);
       return static_cast<double>(total);
     }},
    {"weir_open_fds", "Open descriptors.", MetricType::Gauge,
     [](const ProcessState&) -> double { return static_cast<double>(open_descriptors()); }},
    {"weir_max_fds", "Descriptors the process may open (RLIMIT_NOFILE).", MetricType::Gauge,
     [](const ProcessState&) -> double { return static_cast<double>(descriptor_limit()); }},
};

struct WorkerFamily {
  const char* name;
  const char* help;
  Counter WorkerCells::*member;
};
constexpr WorkerFamily kWorkerFamilies[] = {
    {"weir_connections_accepted_total", "Connections of clients accepted.", &WorkerCells::connections_accepted},
    {"weir_connections_refused_total",
     "Connections of clients refused because of limits.connections or a lack of descriptors.",
     &WorkerCells::connections_refused},
    {"weir_connections_shed_total", "Idle connections of clients closed to free memory or places.",
     &WorkerCells::connections_shed},
    {"weir_accept_paused_total", "Pauses of accepting because descriptors or memory ran out.",
     &WorkerCells::accept_paused},
    {"weir_upstream_connections_opened_total", "Connections to backends opened.", &WorkerCells::upstream_opened},
    {"weir_received_bytes_total", "Bytes received from clients.", &WorkerCells::bytes_received},
    {"weir_sent_bytes_total", "Bytes sent to clients.", &WorkerCells::bytes_sent},
    {"weir_requests_parsed_total", "Request heads that were well-formed.", &WorkerCells::requests_parsed},
    {"weir_tunnels_opened_total", "Upgraded connections (WebSocket and the like).", &WorkerCells::tunnels_opened},
};

/// Opened minus closed; the two are read one after the other, so the difference may be off by what happens meanwhile.
uint64_t open_now(const ProcessState& process, Counter WorkerCells::*opened, Counter WorkerCells::*closed) {
  const uint64_t gone = sum(process.cells, closed), come = sum(process.cells, opened);
  return come > gone ? come - gone : 0;
}

template <typename State>
void add_gauge(const char* name, const char* help, State value, std::vector<MetricFamily>& families) {
  FamilyWriter family(name, help, MetricType::Gauge);
  family.add({}, value);
  family.move_to(families);
}

void collect_process(const ProcessState& process, uint64_t log_lines_lost, std::vector<MetricFamily>& families) {
  FamilyWriter build("weir_build_info", "The version that runs; always 1.", MetricType::Gauge);
  build.add({{"version", WEIR_VERSION}}, uint64_t{1});
  build.move_to(families);
  for (const auto& row : kProcessFamilies) {
    FamilyWriter family(row.name, row.help, row.type);
    family.add({}, row.value(process));
    family.move_to(families);
  }
  for (const auto& row : kWorkerFamilies) {
    FamilyWriter family(row.name, row.help, MetricType::Counter);
    family.add({}, sum(process.cells, row.member));
    family.move_to(families);
  }
  add_gauge("weir_connections_open", "Open connections of clients.",
            open_now(process, &WorkerCells::connections_accepted, &WorkerCells::connections_closed), families);
  add_gauge("weir_upstream_connections_open", "Open connections to backends.",
            open_now(process, &WorkerCells::upstream_opened, &WorkerCells::upstream_closed), families);
  add_gauge("weir_tunnels_open", "Tunnels that are open.",
            open_now(process, &WorkerCells::tunnels_opened, &WorkerCells::tunnels_closed), families);

  FamilyWriter reloads("weir_config_reloads_total", "Reloads by their result.", MetricType::Counter);
  reloads.add({{"result", "ok"}}, process.reloads_ok.load());
  reloads.add({{"result", "failed"}}, process.reloads_failed.load());
  reloads.move_to(families);

  FamilyWriter upgrades("weir_upgrades_total", "Upgrades by their result, those before this process, too.",
                        MetricType::Counter);
  upgrades.add({{"result", "ok"}}, process.upgrades_ok.load());
  upgrades.add({{"result", "failed"}}, process.upgrades_failed.load());
  upgrades.move_to(families);
  add_gauge("weir_predecessors", "Older processes of upgrades that still finish their connections.",
            process.predecessors.load(), families);

  FamilyWriter refused("weir_admin_refused_total", "Requests that the admin listeners refused.", MetricType::Counter);
  for (size_t i = 0; i < kAdminRefusals; ++i)
    refused.add({{"reason", to_string(static_cast<AdminRefusal>(i))}}, process.admin_refused[i].load());
  refused.move_to(families);

  FamilyWriter headers("weir_request_headers_dropped_total", "Header fields of requests that were not forwarded.",
                       MetricType::Counter);
  headers.add({{"reason", "underscore"}}, sum(process.cells, &WorkerCells::headers_dropped_underscore));
  headers.move_to(families);

  FamilyWriter log("weir_access_log_dropped_total", "Lines of the access log that were lost.", MetricType::Counter);
  log.add({{"reason", "ring_full"}}, sum(process.cells, &WorkerCells::log_dropped));
  log.add({{"reason", "write_failed"}}, log_lines_lost);
  log.move_to(families);

  FamilyWriter events("weir_events_lost_total", "Lines of the event log that stderr did not take.",
                      MetricType::Counter);
  events.add({}, log::lost_events());
  events.move_to(families);

  FamilyWriter spans(
      "weir_tracing_spans_total",
      "Spans by what became of them: taken by the collector, dropped because the queue was full, or lost "
      "because the collector refused them or could not be reached.",
      MetricType::Counter);
  spans.add({{"result", "exported"}}, process.traces.exported.load());
  spans.add({{"result", "dropped"}}, process.traces.dropped.load());
  spans.add({{"result", "failed"}}, process.traces.failed.load());
  spans.move_to(families);

  FamilyWriter posts("weir_tracing_posts_total", "Requests made to the collector by their result.",
                     MetricType::Counter);
  posts.add({{"result", "ok"}}, process.traces.posts_ok.load());
  posts.add({{"result", "failed"}}, process.traces.posts_failed.load());
  posts.move_to(families);

  collect_compression(process, families);

  FamilyWriter errors("weir_protocol_errors_total", "Requests refused before a route was known, by cause.",
                      MetricType::Counter);
  for (size_t i = 0; i < kCauseCount; ++i)
    if (const uint64_t n = sum(process.cells, &WorkerCells::protocol_errors, i))
      errors.add({{"cause", kCauses[i].name}}, n);
  errors.move_to(families);
}

void collect_routes(const Inventory& inventory, std::vector<MetricFamily>& families) {
  FamilyWriter requests("weir_requests_total",
                        "Requests by the class of the final status; none: no answer could be sent.",
                        MetricType::Counter);
  FamilyWriter errors("weir_request_errors_total",
                      "Requests that the proxy refused, failed or ended itself, by cause (docs/causes.md).",
                      MetricType::Counter);
  FamilyWriter evictions(
      "weir_rate_limit_evictions_total",
      "Buckets of a route's rate_limit that made room for another key's: still filling (that key may "
      "get above its limit), or full.",
      MetricType::Counter);
  for (const auto& route : inventory.routes) {
    const uint64_t filling = sum(route->cells, &RouteCells::rate_evicted_active),
                   full = sum(route->cells, &RouteCells::rate_evicted_idle);
    if (filling > 0) evictions.add({{"route", route->name}, {"bucket", "filling"}}, filling);
    if (full > 0) evictions.add({{"route", route->name}, {"bucket", "full"}}, full);
    for (size_t i = 0; i < kClasses.size(); ++i) {
      const uint64_t n = sum(route->cells, &RouteCells::responses, i);
      if (n > 0 || i >= 2) requests.add({{"route", route->name}, {"pool", route->pool}, {"code", kClasses[i]}}, n);
    }
    for (size_t i = 0; i < kCauseCount; ++i) {
      const uint64_t n = is_error(kCauses[i].cause) ? sum(route->cells, &RouteCells::causes, i) : 0;
      if (n > 0) errors.add({{"route", route->name}, {"cause", kCauses[i].name}}, n);
    }
  }
  requests.move_to(families);
  errors.move_to(families);
  evictions.move_to(families);
}

void collect_pools(const Inventory& inventory, std::vector<MetricFamily>& families) {
  for (const auto& row : kPoolFamilies) {
    FamilyWriter family(row.name, row.help, row.type);
    for (const auto& pool : inventory.pools) family.add({{"pool", pool.state->name}}, row.value(pool));
    family.move_to(families);
  }
  FamilyWriter backends("weir_pool_backends", "Backends of the pool by their status.", MetricType::Gauge);
  FamilyWriter latency("weir_pool_response_seconds",
                       "First byte of an attempt sent to the head of its response, over the whole pool.",
                       MetricType::Histogram);
  for (const auto& pool : inventory.pools) {
    for (const auto status : kBackendStatuses) {
      uint64_t n = 0;
      for (const auto& backend : pool.backends) n += backend->status == status;
      backends.add({{"pool", pool.state->name}, {"status", to_string(status)}}, n);
    }
    Latency total;
    total.add(pool.state->cells);
    latency.add({{"pool", pool.state->name}}, total);
  }
  backends.move_to(families);
  latency.move_to(families);
  FamilyWriter affinity("weir_affinity_requests_total",
                        "Requests that a backend of a pool with affinity has answered, by what became of the session.",
                        MetricType::Counter);
  for (const auto& pool : inventory.pools)
    for (size_t i = 0; i < kAffinityResults && pool.config->affinity; ++i)
      affinity.add({{"pool", pool.state->name}, {"result", to_string(static_cast<AffinityResult>(i))}},
                   sum(pool.state->cells, &PoolCells::affinity, i));
  affinity.move_to(families);
}

size_t backend_count(const Inventory& inventory) {
  size_t n = 0;
  for (const auto& pool : inventory.pools) n += pool.backends.size();
  return n;
}

template <typename Function>
void for_each_backend(const Inventory& inventory, Function&& function) {
  for (const auto& pool : inventory.pools)
    for (size_t i = 0; i < pool.backends.size(); ++i)
      function(BackendEntry{*pool.config, pool.config->backends[i], *pool.backends[i]});
}

void collect_backends(const Inventory& inventory, std::vector<MetricFamily>& families) {
  const size_t count = backend_count(inventory);
  for (const auto& row : kBackendFamilies) {
    FamilyWriter family(row.name, row.help, row.type);
    family.reserve(count);
    for_each_backend(inventory, [&](const BackendEntry& b) {
      family.add({{"pool", b.state.pool}, {"backend", b.state.name}}, row.value(b));
    });
    family.move_to(families);
  }
  FamilyWriter statuses("weir_backend_status", "1 for the status it has, 0 for the others.", MetricType::Gauge);
  FamilyWriter responses("weir_backend_responses_total", "Responses of the backend by class.", MetricType::Counter);
  FamilyWriter checks("weir_backend_checks_total", "Active health checks by their result.", MetricType::Counter);
  statuses.reserve(kBackendStatuses.size() * count);
  responses.reserve(4 * count);
  checks.reserve(2 * count);
  for_each_backend(inventory, [&](const BackendEntry& b) {
    const BackendStatus now = b.state.status;
    for (const auto status : kBackendStatuses)
      statuses.add({{"pool", b.state.pool}, {"backend", b.state.name}, {"status", to_string(status)}},
                   uint64_t{status == now});
    for (size_t i = 1; i < kClasses.size(); ++i) {
      const uint64_t n = sum(b.state.cells, &BackendCells::responses, i);
      if (n > 0 || i >= 2) responses.add({{"pool", b.state.pool}, {"backend", b.state.name}, {"code", kClasses[i]}}, n);
    }
    checks.add({{"pool", b.state.pool}, {"backend", b.state.name}, {"result", "ok"}}, b.state.checks_ok.load());
    checks.add({{"pool", b.state.pool}, {"backend", b.state.name}, {"result", "failed"}}, b.state.checks_failed.load());
  });
  FamilyWriter sessions("weir_backend_sessions_left",
                        "About how many sessions it has answered while it drains, and within affinity.idle; only then.",
                        MetricType::Gauge);
  for_each_backend(inventory, [&](const BackendEntry& b) {
    if (!b.pool.affinity || b.state.order.load() != BackendOrder::drain) return;
    const auto left = proxy::sessions_left(*b.pool.affinity, b.state, monotonic_now());
    sessions.add({{"pool", b.state.pool}, {"backend", b.state.name}}, left.about);
  });
  for (auto* family : {&statuses, &responses, &checks, &sessions}) family->move_to(families);
}

/// A folded histogram has one series a pool, without the label that was folded: a sum by pool gives the same in both
/// forms.
void collect_histograms(const Inventory& inventory, Folding folding, std::vector<MetricFamily>& families) {
  FamilyWriter backends("weir_backend_response_seconds", "First byte of an attempt sent to the head of its response.",
                        MetricType::Histogram);
  for (const auto& pool : inventory.pools) {
    Latency total;
    for (const auto& backend : pool.backends) {
      if (folding == Folding::none) total = {};
      total.add(backend->cells);
      if (folding == Folding::none) backends.add({{"pool", backend->pool}, {"backend", backend->name}}, total);
    }
    if (folding != Folding::none) backends.add({{"pool", pool.state->name}}, total);
  }
  backends.move_to(families);

  FamilyWriter routes("weir_request_duration_seconds", "First byte of a request to the last byte of its answer.",
                      MetricType::Histogram);
  std::map<std::string_view, Latency> by_pool;
  for (const auto& route : inventory.routes) {
    if (folding == Folding::backends_and_routes) {
      by_pool[route->pool].add(route->cells);
    } else {
      Latency total;
      total.add(route->cells);
      routes.add({{"route", route->name}, {"pool", route->pool}}, total);
    }
  }
  for (const auto& [pool, total] : by_pool) routes.add({{"pool", pool}}, total);
  routes.move_to(families);
}

size_t count_series(const std::vector<MetricFamily>& families) {
  size_t n = 0;
  for (const auto& family : families)
    n += family.metric.size() * (family.type == MetricType::Histogram ? kHistogramSeries : 1);
  return n;
}

class Collector final : public prometheus::Collectable {
 public:
  Collector(const Sources& sources, std::shared_ptr<const Inventory> inventory)
      : sources_(sources), inventory_(std::move(inventory)) {}

  std::vector<MetricFamily> Collect() const override {
    std::vector<MetricFamily> families;
    collect_process(sources_.process, sources_.log_lines_lost(), families);
    collect_tls(sources_.process, *inventory_, families);
    collect_http2(sources_.process, families);
    if (inventory_->proxy_protocol) collect_proxy_protocol(sources_.process, families);
    collect_routes(*inventory_, families);
    collect_pools(*inventory_, families);
    collect_tcp(*inventory_, families);
    collect_names(*inventory_, sources_.process, families);
    collect_http2(*inventory_, families);
    collect_grpc(*inventory_, families);
    collect_backends(*inventory_, families);
    const size_t others = count_series(families) + 1;
    folding_ = choose_folding(others, inventory_->pools.size(), backend_count(*inventory_), inventory_->routes.size(),
                              inventory_->max_series);
    add_gauge("weir_metrics_folded",
              "Histograms folded into their pool's by metrics.max_series: 0 none, 1 backends, 2 backends and routes.",
              static_cast<double>(folding_), families);
    collect_histograms(*inventory_, folding_, families);
    return families;
  }
  Folding folding() const { return folding_; }

 private:
  const Sources& sources_;
  const std::shared_ptr<const Inventory> inventory_;
  mutable Folding folding_ = Folding::none;  // of the last Collect()
};

}  // namespace

Folding choose_folding(size_t others, size_t pools, size_t backends, size_t routes, size_t max_series) {
  if (others + (backends + routes) * kHistogramSeries <= max_series) return Folding::none;
  if (others + (pools + routes) * kHistogramSeries <= max_series) return Folding::backends;
  return Folding::backends_and_routes;
}

std::string Exposition::text() {
  const auto inventory = sources_.inventory();
  const Collector collector(sources_, inventory);
  std::string text = serialize(collector.Collect());
  if (collector.folding() > told_)
    log::warn("metrics_folded",
              {{"folded", collector.folding() == Folding::backends ? "backends" : "backends,routes"},
               {"max_series", fmt::to_string(inventory->max_series)},
               {"meaning", "latency histograms are kept per pool only; raise metrics.max_series to have them back"}});
  told_ = collector.folding();
  return text;
}

}  // namespace weir::admin
