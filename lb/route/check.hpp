// Everything that can be said about a configuration without running it: `weir check`, `weir run` and a reload ask here,
// so that they agree.
#pragma once
#include <string>

#include "config/load.hpp"

namespace weir::route {

/// config::load_file, and an error for each route that no request can reach; errors stay in the order of the file.
config::LoadResult load_checked(const std::string& path,
                                const config::Environment& environment = config::Environment::real(),
                                bool any_kind = false);
/// The same for what was loaded already.
void check_routes(config::LoadResult& result);

}  // namespace weir::route
