// Routes that no request can reach. Only coverage by a single earlier route is looked for: that two together cover a
// third (GET by one, all other methods by another) is not noticed, but what is reported is dead for certain.
#include "lb/route/conditions.hpp"
#include "lb/route/route_index.hpp"
#include "lb/route/router.hpp"

namespace weir::route {

std::vector<DeadRoute> find_dead_routes(const config::Config& config) {
  std::vector<Conditions> routes;
  routes.reserve(config.routes.size());
  for (const auto& route : config.routes) routes.emplace_back(route.match, config.listeners);
  const RouteIndex index(routes);

  std::vector<DeadRoute> dead;
  for (uint32_t i = 0; i < routes.size(); ++i) {
    // What covers the route matches each of its requests, so one example finds all routes that come into question.
    std::string host;
    if (!routes[i].hosts.empty()) {
      const auto& pattern = routes[i].hosts.front();
      host = (pattern.kind() == HostPattern::Kind::below ? "x." : "") + pattern.name();
      if (pattern.name().empty() || host.size() > kMaxHost) continue;  // no host that long is ever matched
    }
    const uint32_t covering = index.find(host, routes[i].path.example(), i, [&](uint32_t earlier) {
      return routes[earlier].cover(routes[i], config.listeners.size());
    });
    if (covering < i) dead.push_back({i, covering});
  }
  return dead;
}

}  // namespace weir::route
