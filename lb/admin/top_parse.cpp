#include <boost/json.hpp>
#include <ctime>

#include "lb/admin/table.hpp"
#include "lb/admin/top.hpp"

namespace weir::admin {
namespace {

namespace json = boost::json;

std::string text(const json::value& object, const char* key) {
  const auto& value = object.at(key);
  return value.is_string() ? printable({value.as_string().data(), value.as_string().size()}) : std::string();
}

uint64_t number(const json::value& object, const char* key) { return object.at(key).to_number<uint64_t>(); }

/// Seconds since an RFC 3339 time; 0 if it is none.
uint64_t age_of(const std::string& time, int64_t now) {
  std::tm parts{};
  if (!::strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &parts)) return 0;
  const int64_t then = ::timegm(&parts);
  return now > then ? static_cast<uint64_t>(now - then) : 0;
}

TopBackend backend_of(const json::value& from, int64_t now) {
  TopBackend backend;
  backend.name = text(from, "name");
  backend.status = text(from, "status");
  backend.reason = text(from, "reason");
  if (const auto* left = from.as_object().if_contains("sessions_left"); left && !left->is_null())
    backend.reason = about_sessions(left->to_number<uint64_t>(), from.at("sessions_over_in_ms").to_number<int64_t>()) +
                     "; " + backend.reason;
  backend.since_seconds = age_of(text(from, "since"), now);
  backend.weight = from.at("effective_weight").to_number<double>();
  backend.backup = from.at("backup").as_bool();
  backend.inflight = number(from, "inflight");
  backend.connections = number(from, "connections");
  backend.requests = number(from, "requests");
  backend.failures = number(from, "failures");
  backend.server_errors = number(from.at("responses"), "5xx");
  const auto& buckets = from.at("latency_buckets").as_array();
  for (size_t i = 0; i < buckets.size() && i < Latency::kBuckets; ++i)
    backend.latency.buckets[i] = buckets[i].to_number<uint64_t>();
  return backend;
}

}  // namespace

TopSample parse_top(std::string_view status_text, std::string_view pools_text, std::chrono::steady_clock::time_point at,
                    int64_t now) {
  const auto status = json::parse(json::string_view(status_text.data(), status_text.size()));
  const auto pools = json::parse(json::string_view(pools_text.data(), pools_text.size()));
  TopSample sample;
  sample.at = at;
  sample.version = text(status, "version");
  sample.file = text(status, "file");
  sample.state = status.at("draining").as_bool() ? "ending" : status.at("ready").as_bool() ? "ready" : "not ready";
  sample.pid = number(status, "pid");
  sample.generation = number(status, "generation");
  sample.uptime_seconds = age_of(text(status, "started"), now);
  sample.connections = number(status, "connections");
  sample.requests = number(status, "requests");
  sample.memory_bytes = number(status, "memory_bytes");
  for (const auto& from : pools.at("pools").as_array()) {
    TopPool pool;
    pool.name = text(from, "name");
    pool.algorithm = text(from, "algorithm");
    if (const auto* mode = from.as_object().if_contains("mode"); mode && *mode == "tcp")
      pool.algorithm = "tcp, " + pool.algorithm;
    pool.inflight = number(from, "inflight");
    pool.waiting = number(from, "waiting");
    pool.retrying = number(from, "retrying");
    for (const auto& backend : from.at("backends").as_array()) pool.backends.push_back(backend_of(backend, now));
    sample.pools.push_back(std::move(pool));
  }
  return sample;
}

}  // namespace weir::admin
