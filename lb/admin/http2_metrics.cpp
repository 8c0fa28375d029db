#include "lb/admin/http2_metrics.hpp"

#include <prometheus/metric_family.h>

#include <string>
#include <utility>

namespace weir::admin {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

template <typename Cell>
double sum(const ProcessState& process, Cell cell) {
  double total = 0;
  for (const auto& worker : process.cells) total += static_cast<double>(cell(worker).get());
  return total;
}

void add(MetricFamily& family, double value, const char* label, std::string_view name) {
  ClientMetric metric;
  metric.label.push_back({label, std::string(name)});
  metric.counter.value = value;
  family.metric.push_back(std::move(metric));
}

template <typename Cell>
MetricFamily single(const ProcessState& process, const char* name, const char* help, Cell cell) {
  MetricFamily family{name, help, MetricType::Counter, {}};
  ClientMetric metric;
  metric.counter.value = sum(process, cell);
  family.metric.push_back(std::move(metric));
  return family;
}

MetricFamily resets(const ProcessState& process) {
  MetricFamily family{"weir_http2_resets_total", "Streams of HTTP/2 that were reset.", MetricType::Counter, {}};
  for (const bool sent : {false, true})
    for (size_t i = 0; i < kHttp2Errors; ++i) {
      ClientMetric metric;
      metric.label.push_back({"by", sent ? "weir" : "client"});
      metric.label.push_back({"code", std::string(to_string(static_cast<Http2Error>(i)))});
      metric.counter.value = sum(process, [&](const WorkerCells& cells) -> const Counter& {
        return sent ? cells.http2_resets_sent[i] : cells.http2_resets_received[i];
      });
      if (metric.counter.value > 0) family.metric.push_back(std::move(metric));
    }
  return family;
}

MetricFamily goaways(const ProcessState& process) {
  MetricFamily family{"weir_http2_goaways_total",
                      "Connections of HTTP/2 that clients were told to leave, each step counted.",
                      MetricType::Counter,
                      {}};
  for (size_t i = 0; i < kHttp2Errors; ++i) {
    const double value =
        sum(process, [&](const WorkerCells& cells) -> const Counter& { return cells.http2_goaways[i]; });
    if (value > 0) add(family, value, "code", to_string(static_cast<Http2Error>(i)));
  }
  return family;
}

MetricFamily floods(const ProcessState& process) {
  MetricFamily family{
      "weir_http2_floods_total", "Connections of HTTP/2 ended by limits.http2.", MetricType::Counter, {}};
  for (const Http2Flood flood : kHttp2Floods)
    add(family,
        sum(process,
            [&](const WorkerCells& cells) -> const Counter& { return cells.http2_floods[static_cast<size_t>(flood)]; }),
        "kind", to_string(flood));
  return family;
}

}  // namespace

void collect_http2(const ProcessState& process, std::vector<MetricFamily>& families) {
  MetricFamily connections =
      single(process, "weir_http2_connections_total", "Connections of clients that spoke HTTP/2.",
             [](const WorkerCells& cells) -> const Counter& { return cells.http2_connections; });
  if (connections.metric.front().counter.value == 0) return;
  families.push_back(std::move(connections));
  families.push_back(single(process, "weir_http2_streams_total", "Requests that came by HTTP/2.",
                            [](const WorkerCells& cells) -> const Counter& { return cells.http2_streams; }));
  families.push_back(resets(process));
  families.push_back(goaways(process));
  families.push_back(floods(process));
}

}  // namespace weir::admin
