#include "lb/route/router.hpp"

#include "lb/route/conditions.hpp"
#include "lb/route/route_index.hpp"

namespace weir::route {
namespace {

std::vector<Conditions> compile(const config::Config& config) {
  std::vector<Conditions> routes;
  routes.reserve(config.routes.size());
  for (const auto& route : config.routes) routes.emplace_back(route.match, config.listeners);
  return routes;
}

template <typename T>
std::string joined(const std::vector<T>& values) {
  std::string text;
  for (const auto& value : values) text += (text.empty() ? "" : ", ") + value;
  return text;
}

std::string asked_for(const std::pair<std::string, std::string>& condition, const char* separator) {
  return condition.second == "*" ? condition.first : condition.first + separator + condition.second;
}

}  // namespace

struct Router::Index {
  explicit Index(const config::Config& config) : routes(compile(config)), index(routes) {
    for (const auto& route : routes) plain.push_back(route.plain());
    for (const auto& route : config.routes) matches.push_back(route.match);
    for (const auto& listener : config.listeners) listeners.push_back(listener.name);
  }

  const std::vector<Conditions> routes;
  const RouteIndex index;
  std::vector<uint8_t> plain;  // apart from `routes`, to stay in the cache: most routes ask for host and path alone
  std::vector<config::Match> matches;  // as written, for why_not
  std::vector<std::string> listeners;
};

Router::Router(const config::Config& config) : index_(std::make_unique<Index>(config)) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;

uint32_t Router::match(const Request& request) const {
  const Index& index = *index_;
  return index.index.find(request.host, request.path, kNoRoute, [&](uint32_t route) {
    return index.plain[route] || index.routes[route].rest_holds(request);
  });
}

std::string Router::why_not(uint32_t index, const Request& request) const {
  if (index >= index_->routes.size()) return "there is no such route";
  const Conditions& route = index_->routes[index];
  const config::Match& written = index_->matches[index];
  if (!route.listener_holds(request.listener)) {
    const bool known = request.listener < index_->listeners.size();
    return "listener " + (known ? index_->listeners[request.listener] : "?") + " is not " + joined(written.listeners);
  }
  if (!route.host_holds(FoldedHost(request.host).view())) {
    const auto host = request.host.empty() ? std::string("(none)") : std::string(request.host);
    return "host " + joined(written.hosts) + " does not cover " + host;
  }
  if (!route.path.matches(request.path)) return "path " + written.path + " does not cover " + std::string(request.path);
  if (!route.method_holds(request.method)) {
    return "method " + std::string(request.method) + " is not " + joined(written.methods);
  }
  if (const auto* header = route.missing_header(request)) return "no header " + asked_for(*header, ": ");
  if (const auto* parameter = route.missing_query(request)) return "no query parameter " + asked_for(*parameter, "=");
  return {};
}

}  // namespace weir::route
