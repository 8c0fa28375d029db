// What the metrics say of the PROXY protocol.
#pragma once
#include <vector>

#include "lb/base/state.hpp"

namespace prometheus {
struct MetricFamily;
}

namespace weir::admin {

void collect_proxy_protocol(const ProcessState& process, std::vector<prometheus::MetricFamily>& families);

}  // namespace weir::admin
