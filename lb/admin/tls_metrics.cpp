#include "lb/admin/tls_metrics.hpp"

#include <prometheus/metric_family.h>

#include <string>
#include <utility>

namespace weir::admin {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

ClientMetric labelled(std::initializer_list<std::pair<const char*, std::string_view>> labels) {
  ClientMetric metric;
  for (const auto& [name, value] : labels) metric.label.push_back({name, std::string(value)});
  return metric;
}

MetricFamily handshakes(const ProcessState& process) {
  MetricFamily family{
      "weir_tls_handshakes_total", "TLS handshakes with clients that ended well.", MetricType::Counter, {}};
  for (const size_t modern : {0, 1})
    for (const size_t resumed : {0, 1}) {
      ClientMetric metric = labelled({{"version", modern ? "1.3" : "1.2"}, {"resumed", resumed ? "true" : "false"}});
      for (const auto& worker : process.cells)
        metric.counter.value += static_cast<double>(worker.tls_handshakes[modern][resumed].get());
      family.metric.push_back(std::move(metric));
    }
  return family;
}

MetricFamily failures(const ProcessState& process) {
  MetricFamily family{"weir_tls_handshake_failures_total",
                      "TLS handshakes with clients that came to nothing.",
                      MetricType::Counter,
                      {}};
  for (size_t i = 1; i < kTlsFailures; ++i) {
    ClientMetric metric = labelled({{"reason", to_string(static_cast<TlsFailure>(i))}});
    for (const auto& worker : process.cells) metric.counter.value += static_cast<double>(worker.tls_failures[i].get());
    family.metric.push_back(std::move(metric));
  }
  return family;
}

MetricFamily expiry(const Inventory& inventory) {
  MetricFamily family{"weir_tls_certificate_expiry_timestamp_seconds",
                      "When the certificate expires, since the epoch.",
                      MetricType::Gauge,
                      {}};
  for (const auto& entry : inventory.tls)
    for (const auto& certificate : entry.server->certificates()) {
      const auto& facts = certificate.facts;
      ClientMetric metric = labelled({{"listener", entry.listener},
                                      {"certificate", certificate.path},
                                      {"server_name", facts.names.empty() ? std::string_view() : facts.names.front()}});
      metric.gauge.value = static_cast<double>(facts.not_after);
      family.metric.push_back(std::move(metric));
    }
  return family;
}

}  // namespace

void collect_tls(const ProcessState& process, const Inventory& inventory, std::vector<MetricFamily>& families) {
  if (inventory.tls.empty()) return;
  families.push_back(handshakes(process));
  families.push_back(failures(process));
  families.push_back(expiry(inventory));
}

}  // namespace weir::admin
