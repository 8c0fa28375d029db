// The metrics of HTTP/2 towards clients.
#pragma once
#include <vector>

#include "lb/base/state.hpp"

namespace prometheus {
struct MetricFamily;
}

namespace weir::admin {

/// Nothing, while no client has spoken it.
void collect_http2(const ProcessState& process, std::vector<prometheus::MetricFamily>& families);

}  // namespace weir::admin
