// What holds only between the parts of a configuration: names that must exist, addresses that must not collide.
#pragma once
#include "config/reader.hpp"

namespace weir::config {

void validate(Reader& in, const Node& root, const Config& config);

}  // namespace weir::config
