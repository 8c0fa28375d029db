#include "lb/admin/proxy_metrics.hpp"

#include <prometheus/metric_family.h>

#include <string>
#include <utility>

namespace weir::admin {

namespace {

template <size_t N>
void add(prometheus::MetricFamily& family, const char* label, std::string_view value, const ProcessState& process,
         Counter (WorkerCells::*member)[N], size_t index) {
  auto& metric = family.metric.emplace_back();
  metric.label.push_back({label, std::string(value)});
  for (const auto& worker : process.cells) metric.counter.value += static_cast<double>((worker.*member)[index].get());
}

}  // namespace

void collect_proxy_protocol(const ProcessState& process, std::vector<prometheus::MetricFamily>& families) {
  const auto type = prometheus::MetricType::Counter;
  prometheus::MetricFamily taken{
      "weir_proxy_protocol_headers_total", "Headers of the PROXY protocol that were taken.", type, {}};
  const char* const kinds[] = {"v1", "v2", "local"};
  for (size_t i = 0; i < std::size(kinds); ++i) add(taken, "kind", kinds[i], process, &WorkerCells::proxy_headers, i);
  families.push_back(std::move(taken));
  prometheus::MetricFamily refused{
      "weir_proxy_protocol_refused_total", "Connections closed for the sake of their PROXY header.", type, {}};
  for (size_t i = 0; i < kProxyFailures; ++i)
    add(refused, "reason", to_string(static_cast<ProxyFailure>(i)), process, &WorkerCells::proxy_failures, i);
  families.push_back(std::move(refused));
}

}  // namespace weir::admin
