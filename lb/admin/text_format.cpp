#include "lb/admin/text_format.hpp"

#include <fmt/format.h>
#include <prometheus/metric_family.h>

#include <cmath>
#include <iterator>
#include <string_view>
#include <utility>

namespace weir::admin {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

void append_number(uint64_t value, std::string& out) {
  const fmt::format_int text(value);
  out.append(text.data(), text.size());
}

void append_number(double value, std::string& out) {
  constexpr double kExact = 1e15;  // whole numbers below it need no floating-point formatting
  if (std::isnan(value)) {
    out += "Nan";
  } else if (std::isinf(value)) {
    out += value < 0 ? "-Inf" : "+Inf";
  } else if (value >= 0 && value < kExact && value == std::floor(value) && !std::signbit(value)) {
    append_number(static_cast<uint64_t>(value), out);
  } else {
    fmt::format_to(std::back_inserter(out), "{:.16g}", value);
  }
}

void append_label_value(std::string_view text, std::string& out) {
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
}

/// `a="x",b="y"`, without braces.
std::string label_text(const ClientMetric& metric) {
  std::string out;
  for (const auto& label : metric.label) {
    if (!out.empty()) out += ',';
    out += label.name;
    out += "=\"";
    append_label_value(label.value, out);
    out += '"';
  }
  return out;
}

void append_name(std::string_view name, std::string_view suffix, std::string_view labels, std::string& out) {
  out += name;
  out += suffix;
  if (!labels.empty()) {
    out += '{';
    out += labels;
    out += '}';
  }
  out += ' ';
}

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void family(const MetricFamily& family) {
    const bool histogram = family.type == MetricType::Histogram, counter = family.type == MetricType::Counter;
    out_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", family.name, family.help,
                        histogram ? "histogram"
                        : counter ? "counter"
                                  : "gauge");
    for (const auto& metric : family.metric) {
      const std::string labels = label_text(metric);
      if (histogram) {
        write_histogram(family.name, labels, metric.histogram);
      } else {
        append_name(family.name, "", labels, out_);
        append_number(counter ? metric.counter.value : metric.gauge.value, out_);
        out_ += '\n';
      }
    }
  }

 private:
  void write_histogram(std::string_view name, const std::string& labels, const ClientMetric::Histogram& histogram) {
    append_name(name, "_count", labels, out_);
    append_number(histogram.sample_count, out_);
    out_ += '\n';
    append_name(name, "_sum", labels, out_);
    append_number(histogram.sample_sum, out_);
    out_ += '\n';
    for (size_t i = 0; i < histogram.bucket.size(); ++i) {
      out_ += name;
      out_ += "_bucket{";
      out_ += labels;
      if (!labels.empty()) out_ += ',';
      out_ += "le=\"";
      out_ += bound(i, histogram.bucket[i].upper_bound);
      out_ += "\"} ";
      append_number(histogram.bucket[i].cumulative_count, out_);
      out_ += '\n';
    }
  }

  /// All our histograms have the same bounds: their text is made once.
  const std::string& bound(size_t index, double value) {
    if (index >= bounds_.size()) bounds_.resize(index + 1);
    auto& [known, text] = bounds_[index];
    if (text.empty() || known != value) {
      known = value;
      text.clear();
      append_number(value, text);
    }
    return text;
  }

  std::string& out_;
  std::vector<std::pair<double, std::string>> bounds_;
};

}  // namespace

std::string serialize(const std::vector<MetricFamily>& families) {
  size_t lines = 0;
  for (const auto& family : families)
    for (const auto& metric : family.metric)
      lines += family.type == MetricType::Histogram ? metric.histogram.bucket.size() + 2 : 1;
  std::string out;
  out.reserve(lines * 96 + families.size() * 128);
  Writer writer(out);
  for (const auto& family : families) writer.family(family);
  return out;
}

}  // namespace weir::admin
