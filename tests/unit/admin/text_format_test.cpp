#include "lb/admin/text_format.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cmath>
#include <limits>

#include "tests/catch.hpp"

using namespace weir::admin;
using namespace prometheus;

namespace {

ClientMetric labelled(std::vector<ClientMetric::Label> labels) {
  ClientMetric metric;
  metric.label = std::move(labels);
  return metric;
}

}  // namespace

TEST_CASE("the text is prometheus-cpp's, byte for byte", "[metrics]") {
  const double infinity = std::numeric_limits<double>::infinity();
  std::vector<MetricFamily> families;
  for (const auto type : {MetricType::Counter, MetricType::Gauge}) {
    auto& family = families.emplace_back(MetricFamily{"weir_x", "Some help.", type, {}});
    for (const double value :
         {0.0, -0.0, 1.0, 150.0, 0.1, 0.5, -3.0, 1e-7, 1769860800.5, 70.0011, 999'999'999'999'999.0, 1e15, 1e16,
          123456789012345678.0, 9007199254740993.0, 1.0 / 3, infinity, -infinity, std::nan("")}) {
      auto metric = labelled({{"pool", "app"}, {"backend", "quote \" slash \\ line\nü"}});
      (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
      family.metric.push_back(metric);
    }
    family.metric.push_back(labelled({}));
  }
  auto& histograms = families.emplace_back(MetricFamily{"weir_h", "Other help.", MetricType::Histogram, {}});
  for (const double scale : {1.0, 0.3}) {
    for (auto metric : {labelled({}), labelled({{"route", "a"}, {"pool", ""}})}) {
      metric.histogram.sample_count = 7;
      metric.histogram.sample_sum = 1.25 * scale;
      metric.histogram.bucket = {{1, 0.00025 * scale}, {4, 1 * scale}, {7, infinity}};
      histograms.metric.push_back(metric);
    }
  }
  CHECK(serialize(families) == TextSerializer().Serialize(families));
  CHECK(serialize({}) == "");
}
