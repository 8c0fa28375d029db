#include "lb/route/check.hpp"

#include "lb/route/router.hpp"

namespace weir::route {

void check_routes(config::LoadResult& result) {
  if (!result.config) return;
  const auto& routes = result.config->routes;
  for (const auto& dead : find_dead_routes(*result.config)) {
    const auto& route = routes[dead.route];
    const auto& earlier = routes[dead.covered_by];
    std::string where = "line " + std::to_string(earlier.at.line);
    if (earlier.at.file != route.at.file) where = earlier.at.file + ":" + std::to_string(earlier.at.line);
    result.errors.push_back({route.at, "route " + route.name + " can never match: route " + earlier.name + " (" +
                                           where +
                                           ") takes all of its requests; put this one before it, or remove it"});
  }
  if (!result.errors.empty()) result.config.reset();
}

config::LoadResult load_checked(const std::string& path, const config::Environment& environment, bool any_kind) {
  auto result = config::load_file(path, environment, any_kind);
  check_routes(result);
  return result;
}

}  // namespace weir::route
