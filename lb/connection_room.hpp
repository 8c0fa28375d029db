// How many connections there is room for.
#pragma once
#include <cstdint>

#include "config/model.hpp"

namespace weir {

/// How many connections the limit of open files has room for: one descriptor on each side.
uint64_t room_for_connections(uint64_t files);

/// limits.connections, or as many as there is room for. Throws if that is too little to be of use.
uint32_t most_connections(const config::Config& config);

}  // namespace weir
