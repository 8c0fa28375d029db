#include "config/validate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "config/addresses.hpp"
#include "config/field_checks.hpp"
#include "config/suggest.hpp"
#include "config/tables.hpp"
#include "config/tcp_tables.hpp"

namespace weir::config {

namespace {

std::string place_text(const Reader& in, Place at) {
  const Location location = in.location(at);
  return fmt::format("{}:{}:{}", location.file, location.line, location.column);
}

template <class T>
std::vector<std::string> names_in(const Node& root, const char* key, const std::vector<T>& read) {
  std::vector<std::string> names;
  const Node* map = root.find(key);
  // From the tree, so that a thing with an error in it isn't called missing as well.
  if (map && map->kind == Node::Kind::map)
    for (const auto& entry : map->entries) names.push_back(entry.key);
  else
    for (const auto& value : read) names.push_back(value.name);
  return names;
}

void check_uses(Reader& in, const std::vector<Use>& uses, const std::vector<std::string>& names, const char* key,
                const char* what) {
  const std::set<std::string_view> known(names.begin(), names.end());
  for (const auto& use : uses) {
    if (known.contains(use.name) || in.errors.size() >= kMaxProblems) continue;
    Trail::Step route(in.trail, fmt::format("route {}", use.route + 1), true);
    Trail::Step field(in.trail, key);
    const std::string otherwise = fmt::format("define it under `{}s:`", what);
    in.error(use.at, fmt::format("there is no {} \"{}\"; {}", what, use.name.substr(0, 64),
                                 suggest(use.name, names, fmt::format("the {}s are", what), otherwise)));
  }
}

void check_binds(Reader& in) {
  constexpr size_t kMany = 1000;  // the comparison is quadratic
  for (size_t i = 0; i < in.binds.size() && i < kMany; ++i)
    for (size_t k = 0; k < i; ++k) {
      const Bind &first = in.binds[k], &second = in.binds[i];
      if (!collide(first.endpoint, second.endpoint)) continue;
      const bool same = first.endpoint == second.endpoint;
      in.error(second.at, fmt::format("{}: {} {} {} at {}; write another address or port", second.owner,
                                      second.endpoint.to_string(), same ? "is taken already by" : "overlaps",
                                      same ? first.owner : first.endpoint.to_string() + " of " + first.owner,
                                      place_text(in, first.at)));
      break;
    }
}

/// Where the file has a backend; its pool if it is not found.
Place backend_place(const Node& root, const Pool& pool, const Backend& backend) {
  const Node* node = &root;
  Place at = root.at;
  for (const std::string& key : {std::string("pools"), pool.name, std::string("backends"), backend.name}) {
    const Entry* entry = node->find_entry(key);
    if (!entry) break;
    at = entry->at;
    node = &entry->value;
  }
  return at;
}

/// A listener on every address takes what goes to this machine; which other addresses are this machine's, nobody knows
/// here.
bool leads_to(const Endpoint& backend, const Endpoint& bind) {
  if (backend == bind) return true;
  const bool any = bind.host() == "::" || bind.host() == "0.0.0.0";
  const bool loopback = backend.host() == "::1" || backend.host().starts_with("127.");
  return any && loopback && collide(bind, backend);
}

/// May what comes in by `owner` ("listener web: …") come to this pool?
bool may_reach(const Config& config, std::string_view owner, const Pool& pool) {
  if (!owner.starts_with("listener ")) return true;
  const std::string name(owner.substr(9, owner.rfind(": bind") - 9));
  const auto listener =
      std::find_if(config.listeners.begin(), config.listeners.end(), [&](const Listener& l) { return l.name == name; });
  if (listener == config.listeners.end() || listener->mode == Mode::tcp) return true;
  return std::any_of(config.routes.begin(), config.routes.end(), [&](const Route& route) {
    const auto& named = route.match.listeners;
    return route.pool == pool.name && (named.empty() || std::find(named.begin(), named.end(), name) != named.end());
  });
}

void check_loops(Reader& in, const Node& root, const Config& config) {
  for (const auto& pool : config.pools)
    for (const auto& backend : pool.backends) {
      const auto own = [&](const Bind& bind) {
        return leads_to(backend.address, bind.endpoint) && may_reach(config, bind.owner, pool);
      };
      const auto bind = std::find_if(in.binds.begin(), in.binds.end(), own);
      if (bind == in.binds.end()) continue;
      in.warning(backend_place(root, pool, backend),
                 fmt::format("pool {}: backend {}: {} is where {} listens, so that requests would go round in circles; "
                             "write another address or port",
                             pool.name, backend.name, backend.address.to_string(),
                             bind->owner.substr(0, bind->owner.rfind(": bind"))));
    }
}

/// Without somebody to trust, a listener with proxy_protocol would take no connection at all.
void check_proxy_protocol(Reader& in, const Config& config) {
  if (!config.trusted_proxies.empty() || in.listener_places.size() != config.listeners.size()) return;
  for (size_t i = 0; i < config.listeners.size(); ++i)
    if (config.listeners[i].proxy_protocol)
      in.error(in.listener_places[i],
               fmt::format("listener {} has proxy_protocol, and nobody is trusted to send it; write trusted_proxies: "
                           "[ADDRESS] with who connects to it",
                           config.listeners[i].name));
}

/// Is there something under `key`, be it right or wrong?
bool has_any(const Node& root, const char* key) {
  const Node* node = root.find(key);
  return node && (node->kind == Node::Kind::broken || !node->entries.empty() || !node->items.empty());
}

Place place_of(const Node& root, const char* key) {
  const Entry* entry = root.find_entry(key);
  return entry ? entry->at : root.at;
}

void check_timeouts(Reader& in, const Config& config) {
  if (in.route_places.size() != config.routes.size()) return;
  for (size_t i = 0; i < config.routes.size(); ++i) {
    const Route& route = config.routes[i];
    const Pool* pool = config.find_pool(route.pool);
    if (!pool || (!route.timeout.total && !route.timeout.per_try)) continue;
    const auto total = route.timeout.total.value_or(pool->timeout.total),
               per_try = route.timeout.per_try.value_or(pool->timeout.per_try);
    if (total == 0ms || per_try <= total) continue;
    Trail::Step step(in.trail, fmt::format("route {}", i + 1), true);
    in.warning(in.route_places[i],
               fmt::format("timeout.per_try ({} ms) is longer than timeout.total ({} ms) and never comes to bear",
                           per_try.count(), total.count()));
  }
}

void check_unused(Reader& in, const Config& config) {
  std::set<std::string_view> used;
  for (const auto* uses : {&in.pool_uses, &in.auth_pool_uses, &in.tcp_pool_uses})
    for (const auto& use : *uses) used.insert(use.name);
  for (size_t i = 0; i < config.pools.size() && i < in.pool_places.size(); ++i)
    if (!used.contains(config.pools[i].name))
      in.warning(in.pool_places[i],
                 config.pools[i].mode == Mode::tcp
                     ? fmt::format("no listener leads to pool {}; remove it, or name it in one", config.pools[i].name)
                     : fmt::format("no route leads to pool {}; remove it, or write a route", config.pools[i].name));
  for (const auto& [name, at] : in.key_places)
    if (in.keys.contains(name) && !in.keys_used.contains(name))
      in.warning(at, fmt::format("nothing uses the key {}; remove it", name));
}

}  // namespace

void validate(Reader& in, const Node& root, const Config& config) {
  if (!has_any(root, "listeners"))
    in.error(place_of(root, "listeners"), "there are no listeners; write listeners: { web: { bind: \":8080\" } }");
  if (!has_any(root, "routes") && needs_routes(config))
    in.error(place_of(root, "routes"), "there are no routes; write routes: [ { pool: NAME } ]");
  check_uses(in, in.pool_uses, names_in(root, "pools", config.pools), "pool", "pool");
  check_uses(in, in.auth_pool_uses, names_in(root, "pools", config.pools), "auth.forward.pool", "pool");
  check_uses(in, in.listener_uses, names_in(root, "listeners", config.listeners), "match.listener", "listener");
  check_modes(in, root, config);
  check_binds(in);
  check_secret(in, root, config);
  if (!has_any(root, "trusted_proxies")) check_proxy_protocol(in, config);
  if (!has_any(root, "trusted_proxies") || !config.trusted_proxies.empty()) check_fields(in, root, config);
  check_timeouts(in, config);
  check_loops(in, root, config);
  // With errors about, what seems unused may be used by something that was refused.
  if (in.errors.empty()) check_unused(in, config);
}

}  // namespace weir::config
