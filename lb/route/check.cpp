#include "lb/route/check.hpp"

#include <fmt/format.h>

#include "lb/route/router.hpp"

namespace weir::route {

config::LoadResult load_checked(const std::string& path) {
  config::LoadResult result = config::load_file(path);
  if (!result.config) return result;
  for (const DeadRoute& dead : find_dead_routes(*result.config)) {
    const auto& route = result.config->routes[dead.route];
    const auto& cover = result.config->routes[dead.covered_by];
    result.errors.push_back({route.at, fmt::format("route {} can never match: route {} at {}:{} takes all of its requests; put it before that one, or remove it",
                                                   route.name, cover.name, cover.at.file, cover.at.line)});
  }
  if (!result.errors.empty()) result.config.reset();
  return result;
}

}  // namespace weir::route
