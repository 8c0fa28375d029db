// How families of metrics are put together; for the .cpp files of the metrics alone.
#pragma once
#include <prometheus/metric_family.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lb/admin/inventory.hpp"
#include "lb/admin/latency.hpp"

namespace weir::admin {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using LabelList = std::initializer_list<std::pair<const char*, std::string_view>>;

/// A family of metrics, series by series.
class FamilyWriter {
 public:
  FamilyWriter(std::string name, std::string help, MetricType type) {
    family_ = {std::move(name), std::move(help), type, {}};
  }

  void reserve(size_t n) { family_.metric.reserve(n); }
  void add(LabelList labels, double value) {
    ClientMetric& metric = labelled(labels);
    (family_.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  }
  void add(LabelList labels, uint64_t value) { add(labels, static_cast<double>(value)); }
  void add(LabelList labels, const Latency& latency) {
    auto& histogram = labelled(labels).histogram;
    histogram.bucket.reserve(latency.buckets.size());
    uint64_t cumulative = 0;
    for (size_t i = 0; i < latency.buckets.size(); ++i) {
      cumulative += latency.buckets[i];
      const bool last = i == Histogram::kBounds.size();
      histogram.bucket.push_back({cumulative, last ? std::numeric_limits<double>::infinity()
                                                   : static_cast<double>(Histogram::kBounds[i]) / 1e6});
    }
    histogram.sample_count = cumulative;
    histogram.sample_sum = static_cast<double>(latency.sum_microseconds) / 1e6;
  }
  /// A family without a series is left out.
  void move_to(std::vector<MetricFamily>& families) {
    if (!family_.metric.empty()) families.push_back(std::move(family_));
  }

 private:
  ClientMetric& labelled(LabelList labels) {
    ClientMetric& metric = family_.metric.emplace_back();
    metric.label.reserve(labels.size());
    for (const auto& [name, value] : labels) metric.label.push_back({name, std::string(value)});
    return metric;
  }
  MetricFamily family_;
};

/// What DNS says; nothing of it where no name is configured.
void collect_names(const Inventory& inventory, const ProcessState& process, std::vector<MetricFamily>& families);
void collect_tcp(const Inventory& inventory, std::vector<MetricFamily>& families);
/// HTTP/2 to backends; nothing of it where no pool has it.
void collect_http2(const Inventory& inventory, std::vector<MetricFamily>& families);
/// Nothing before the first request of gRPC.
void collect_grpc(const Inventory& inventory, std::vector<MetricFamily>& families);
void collect_compression(const ProcessState& process, std::vector<MetricFamily>& families);

}  // namespace weir::admin
