#include "lb/route/check.hpp"

#include "lb/route/router.hpp"

namespace weir::route {

namespace {

/// "route a (line 3)", of another file "route a (b.yaml:3)".
std::string show(const config::Route& earlier, const config::Route& later) {
  const std::string line = std::to_string(earlier.at.line);
  return earlier.name + " (" + (earlier.at.file == later.at.file ? "line " + line : earlier.at.file + ":" + line) + ")";
}

/// "route a (line 3) takes", "routes a (line 3), b (line 4) and 7 more together take"
std::string takers(const std::vector<config::Route>& routes, const DeadRoute& dead) {
  constexpr size_t kShown = 4;
  const auto& by = dead.covered_by;
  const auto one = [&](size_t i) { return show(routes[by[i]], routes[dead.route]); };
  if (by.size() == 1) return "route " + one(0) + " takes";
  const size_t shown = by.size() > kShown ? kShown - 1 : by.size();
  std::string text = "routes " + one(0);
  for (size_t i = 1; i < shown; ++i) text += (i + 1 == by.size() ? " and " : ", ") + one(i);
  if (shown < by.size()) text += " and " + std::to_string(by.size() - shown) + " more";
  return text + " together take";
}

}  // namespace

void check_routes(config::LoadResult& result) {
  if (!result.config) return;
  const auto& routes = result.config->routes;
  for (const auto& dead : find_dead_routes(*result.config)) {
    const auto& route = routes[dead.route];
    const bool one = dead.covered_by.size() == 1;
    result.errors.push_back({route.at, "route " + route.name + " can never match: " + takers(routes, dead) +
                                           " all of its requests; put this one before " + (one ? "it" : "them") +
                                           ", or remove it"});
  }
  if (!result.errors.empty()) result.config.reset();
}

config::LoadResult load_checked(const std::string& path, const config::Environment& environment, bool any_kind) {
  auto result = config::load_file(path, environment, any_kind);
  check_routes(result);
  return result;
}

}  // namespace weir::route
