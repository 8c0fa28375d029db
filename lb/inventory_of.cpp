#include "lb/inventory_of.hpp"

namespace weir {

std::shared_ptr<const admin::Inventory> inventory_of(const proxy::Runtime& runtime, const config::Config& config,
                                                     const Discovery& discovery) {
  auto inventory = std::make_shared<admin::Inventory>();
  for (size_t i = 0; i < runtime.pools.size(); ++i) {
    const auto& pool = runtime.pools[i];
    inventory->pools.push_back({pool->config, pool->state, pool->backends});
    if (discover::has_names(config.pools[i]))
      inventory->pools.back().names = [&discovery, serving = pool->config] { return discovery.names_of(*serving); };
  }
  for (const auto& route : runtime.routes) inventory->routes.push_back(route.state);
  inventory->routes.push_back(runtime.unrouted);
  for (size_t i = 0; i < runtime.tls.size(); ++i)
    if (runtime.tls[i]) inventory->tls.push_back({config.listeners[i].name, runtime.tls[i]});
  for (const auto& listener : runtime.tcp)
    if (listener) inventory->tcp.push_back(listener->state);
  for (const auto& listener : config.listeners) {
    inventory->listeners.push_back({listener.name, listener.mode, listener.tls.has_value(), listener.speaks_http2()});
    inventory->proxy_protocol |= listener.proxy_protocol;
  }
  inventory->max_series = config.max_series;
  inventory->token = config.admin.token;
  return inventory;
}

}  // namespace weir
