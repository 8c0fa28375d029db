// The metrics of the process in Prometheus' text format (docs/metrics.md). The cells are only read, so that a scrape
// costs the workers nothing.
#pragma once
#include <cstddef>
#include <string>

#include "lb/admin/inventory.hpp"

namespace weir::admin {

/// What is folded when there are more series than metrics.max_series (security-rules C9).
enum class Folding { none, backends, backends_and_routes };

/// Decides it: a histogram is kept for each backend and each route as long as the total stays within `max_series`.
/// `others` are the series of everything but these two histograms.
Folding choose_folding(size_t others, size_t pools, size_t backends, size_t routes, size_t max_series);

class Exposition {
 public:
  explicit Exposition(Sources sources) : sources_(std::move(sources)) {}
  /// Text format 0.0.4 (kContentType). Control thread. Writes one event `metrics_folded` when more than before has to
  /// be folded.
  std::string text();
  static constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  Sources sources_;
  Folding told_ = Folding::none;
};

}  // namespace weir::admin
