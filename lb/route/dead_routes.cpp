// Routes that no request can reach. Coverage is looked for by one earlier route, and by several that share out its
// hosts, methods, listeners and what is below its path. Headers, parameters and the hosts below a "*." can't be shared
// out: there is always a value that none of them names. What is reported is dead for certain.
#include <algorithm>

#include "lb/route/conditions.hpp"
#include "lb/route/route_index.hpp"
#include "lb/route/router.hpp"

namespace weir::route {

namespace {

/// Of one route; above it only coverage by a single earlier route is looked for.
constexpr size_t kMostAtoms = 1024;

class Finder {
 public:
  Finder(const std::vector<Conditions>& routes, const config::Config& config)
      : routes_(routes), index_(routes), listener_count_(config.listeners.size()) {
    for (uint32_t i = 0; i < config.listeners.size(); ++i)
      if (config.listeners[i].mode == config::Mode::http) http_listeners_.push_back(i);
    for (const auto& route : routes) longest_path_ = std::max(longest_path_, route.path.segments().size());
  }

  /// The earlier routes that take all that route `i` could, in their order; none if it can be reached.
  std::vector<uint32_t> covering(uint32_t i) const {
    const Conditions& route = routes_[i];
    for (const auto& host : route.hosts)
      if (example(host).size() > kMaxHost || host.name().empty()) return {};  // no host that long is ever matched
    if (const uint32_t one = first_covering(route, i); one < i) return {one};
    return covering_together(i);
  }

 private:
  static std::string example(const HostPattern& host) {
    return (host.kind() == HostPattern::Kind::below ? "x." : "") + host.name();
  }

  /// What covers a route matches each of its requests, so one example finds all routes that come into question.
  uint32_t first_covering(const Conditions& route, uint32_t limit) const {
    const std::string host = route.hosts.empty() ? std::string() : example(route.hosts.front());
    return index_.find(host, route.path.example(), limit,
                       [&](uint32_t earlier) { return routes_[earlier].cover(route, listener_count_); });
  }

  /// Adds to `found` those that cover it, parted by its path as far as it takes. False: it can be reached.
  bool cover(Conditions atom, uint32_t limit, std::vector<uint32_t>& found) const {
    for (;;) {
      if (const uint32_t one = first_covering(atom, limit); one < limit) {
        found.push_back(one);
        return true;
      }
      // Beyond the longest pattern all the rest is the same.
      auto parts = atom.path.parts();
      if (parts.empty() || atom.path.segments().size() > longest_path_) return false;
      PathPattern rest = std::move(parts.back());
      parts.pop_back();
      for (auto& part : parts) {
        atom.path = std::move(part);
        const uint32_t one = first_covering(atom, limit);
        if (one == limit) return false;
        found.push_back(one);
      }
      atom.path = std::move(rest);
    }
  }

  /// The route is taken apart into one host, one method and one listener each, and these by their path.
  std::vector<uint32_t> covering_together(uint32_t i) const {
    const Conditions& route = routes_[i];
    const auto& listeners = route.any_listener ? http_listeners_ : route.listeners;
    const size_t hosts = std::max<size_t>(1, route.hosts.size()), methods = std::max<size_t>(1, route.methods.size());
    if (listeners.empty() || hosts > kMostAtoms || methods > kMostAtoms ||
        hosts * methods * listeners.size() > kMostAtoms)
      return {};
    std::vector<uint32_t> found;
    Conditions atom = route;
    atom.any_listener = false;
    for (size_t host = 0; host < hosts; ++host) {
      if (!route.hosts.empty()) atom.hosts = {route.hosts[host]};
      for (size_t method = 0; method < methods; ++method) {
        if (!route.methods.empty()) atom.methods = {route.methods[method]};
        for (const uint32_t listener : listeners) {
          atom.listeners = {listener};
          if (!cover(atom, i, found)) return {};
        }
      }
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
  }

  const std::vector<Conditions>& routes_;
  const RouteIndex index_;
  const size_t listener_count_;
  std::vector<uint32_t> http_listeners_;
  size_t longest_path_ = 0;  // segments
};

}  // namespace

std::vector<DeadRoute> find_dead_routes(const config::Config& config) {
  std::vector<Conditions> routes;
  routes.reserve(config.routes.size());
  for (const auto& route : config.routes) routes.emplace_back(route.match, config.listeners);
  const Finder finder(routes, config);
  std::vector<DeadRoute> dead;
  for (uint32_t i = 0; i < routes.size(); ++i)
    if (auto covering = finder.covering(i); !covering.empty()) dead.push_back({i, std::move(covering)});
  return dead;
}

}  // namespace weir::route
