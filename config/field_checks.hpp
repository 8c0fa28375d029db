// Conditions and keys on header fields that no request ever has where they are looked at: forged ones are dropped
// before, and the daemon writes its own only afterwards.
#pragma once
#include "config/reader.hpp"

namespace weir::config {

void check_fields(Reader& in, const Node& root, const Config& config);

}  // namespace weir::config
