// A configuration as run, reload and check all see it: loaded, validated, and without routes that can never match.
#pragma once
#include <string>

#include "config/load.hpp"

namespace weir::route {

/// config::load_file(), with each dead route as an error at its place.
config::LoadResult load_checked(const std::string& path);

}  // namespace weir::route
