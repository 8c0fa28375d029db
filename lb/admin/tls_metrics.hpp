// The metrics of TLS.
#pragma once
#include <vector>

#include "lb/admin/inventory.hpp"

namespace prometheus {
struct MetricFamily;
}

namespace weir::admin {

/// Nothing while no listener speaks TLS.
void collect_tls(const ProcessState& process, const Inventory& inventory,
                 std::vector<prometheus::MetricFamily>& families);

}  // namespace weir::admin
