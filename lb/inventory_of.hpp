// What the admin API shows of a runtime.
#pragma once
#include <memory>

#include "lb/admin/inventory.hpp"
#include "lb/discovery.hpp"
#include "lb/proxy/runtime.hpp"

namespace weir {

/// `config`: the running one, whose pools are in the order of the runtime's. `discovery` outlives the inventory's use.
std::shared_ptr<const admin::Inventory> inventory_of(const proxy::Runtime& runtime, const config::Config& config,
                                                     const Discovery& discovery);

}  // namespace weir
