#include "lb/proxy/runtime.hpp"

#include <algorithm>
#include <ctime>
#include <random>
#include <stdexcept>

#include "health/usable.hpp"
#include "lb/base/hash.hpp"
#include "lb/base/hex.hpp"
#include "lb/proxy/tls.hpp"

namespace weir::proxy {

namespace {

Timeouts merge(const config::RouteTimeouts& route, const config::Timeouts& pool) {
  return {route.connect.value_or(pool.connect), route.response.value_or(pool.response),
          route.idle.value_or(pool.idle),       route.total.value_or(pool.total),
          route.per_try.value_or(pool.per_try), route.tunnel.value_or(pool.tunnel),
          route.expect.value_or(pool.expect)};
}

constexpr std::chrono::milliseconds kVanished = std::chrono::seconds(30);  // unacknowledged data for so long, at least
constexpr std::chrono::milliseconds kAboveIdle = std::chrono::seconds(5);

std::chrono::milliseconds user_timeout(const Pool& pool, const std::vector<Route>& routes) {
  if (pool.config->mode == config::Mode::tcp) return {};  // a backend may pause for as long as timeout.tunnel allows
  auto longest = kVanished;
  for (const auto& route : routes) {
    if (route.pool != &pool) continue;
    if (route.timeout.idle == Duration::zero()) return {};
    longest = std::max(longest, std::chrono::ceil<std::chrono::milliseconds>(route.timeout.idle) + kAboveIdle);
  }
  return longest;
}

void take_order(const BackendState& from, BackendState& to) {
  const std::scoped_lock lock(from.reason_mutex, to.reason_mutex);
  to.ordered_by = from.ordered_by;
  to.ordered_at_ns.store(from.ordered_at_ns.load());
  if (from.order.load() == BackendOrder::drain) to.count_sessions();
  to.order.store(from.order.load());
}

/// It comes back: what it has in flight is still counted, what was ordered and found before it went is forgotten.
void start_anew(BackendState& state) {
  const std::lock_guard lock(state.reason_mutex);
  state.ordered_by.clear();
  state.order.store(BackendOrder::serve);
  state.consecutive_failures.store(0);
}

std::unique_ptr<const route::Affinity> make_affinity(const config::Pool& pool, const std::vector<std::string>& keys) {
  if (!pool.affinity || keys.empty()) return nullptr;
  std::vector<std::string> names;
  for (const auto& backend : pool.backends) names.push_back(backend.name);
  return std::make_unique<route::Affinity>(pool.name, keys, names,
                                           std::chrono::ceil<std::chrono::seconds>(pool.affinity->ttl));
}

std::vector<bool> candidates_among(size_t backends, const std::vector<balance::Candidate>& candidates) {
  std::vector<bool> among(backends);
  for (const auto& candidate : candidates) among[candidate.backend] = true;
  return among;
}

constexpr size_t kShortestSecret = 32;

std::string random_secret() {
  std::random_device entropy;
  std::string secret;
  for (int i = 0; i < 8; ++i) secret += std::to_string(entropy());
  return secret;
}

}  // namespace

uint64_t Tracer::below_for(uint32_t millionths) {
  const uint64_t bound = (uint64_t{millionths} << 32) / 1'000'000;
  if (bound >> 32) return ~uint64_t{0};  // all
  char digits[16];
  write_hex16(bound, digits);
  uint64_t text;
  std::memcpy(&text, digits + 8, sizeof text);
  return __builtin_bswap64(text);  // '0' to '9' and 'a' to 'f' stand in the order of their values
}

StateRegistry::StateRegistry(size_t workers, std::string ticket_secret)
    : workers_(workers),
      ticket_secret_(ticket_secret.size() >= kShortestSecret ? std::move(ticket_secret) : random_secret()) {}

void Pool::publish() {
  std::vector<health::BackendView> states;
  states.reserve(backends.size());
  for (const auto& backend : backends) states.push_back({backend->status.load(), backend->weight_permille.load()});
  const health::Usable usable = health::usable_backends(*config, states);
  std::vector<balance::Candidate> candidates;
  candidates.reserve(usable.entries.size());
  for (const auto& entry : usable.entries) {
    BackendState& backend = *backends[entry.backend];
    balance::Candidate candidate;
    candidate.backend = entry.backend;
    candidate.name_hash = stable_hash(backend.name);
    candidate.weight = entry.weight;
    candidate.inflight = &backend.inflight.value;
    candidate.phantom = &backend.phantom.value;
    candidate.latency = &backend.latency;
    candidate.limit = config->limits.per_backend;
    candidates.push_back(candidate);
  }
  auto takes =
      affinity ? std::make_shared<const std::vector<bool>>(candidates_among(backends.size(), candidates)) : nullptr;
  PublishedTable next{
      algorithm->build(std::move(candidates), {config->balance.bound_percent, config->balance.bound_floor,
                                               static_cast<uint32_t>(backends.size())}),
      usable.panic, std::move(takes)};
  {
    const std::lock_guard lock(mutex_);
    published_ = std::move(next);
    version_.fetch_add(1, std::memory_order_release);
  }
  admission->look_again(config->limits);
}

PublishedTable Pool::published() const {
  const std::lock_guard lock(mutex_);
  return published_;
}

Pool* Runtime::find_pool(const std::string& name) {
  for (auto& pool : pools)
    if (pool->config->name == name) return pool.get();
  return nullptr;
}

std::unique_ptr<Pool> StateRegistry::build_pool(const config::Pool& from, const std::vector<std::string>& secret_keys,
                                                std::shared_ptr<const net::TlsClient> tls) {
  auto& entry = pools_[from.name];
  if (const auto gone = gone_pools_.extract(from.name); !entry.state && gone) {
    entry.state = gone.mapped().first.lock();
    entry.admission = gone.mapped().second.lock();
  }
  if (!entry.state || !entry.admission) {
    entry.state = std::make_shared<PoolState>(from.name, workers_);
    entry.admission = std::make_shared<Admission>(*entry.state);
  }
  auto pool = std::make_unique<Pool>();
  pool->config = std::shared_ptr<const config::Pool>(std::make_shared<config::Pool>(from));
  pool->state = entry.state;
  pool->admission = entry.admission;
  // What the file has no https:// for, `weir backend add` may have, and what DNS has yet to replace: that never gets
  // plain text.
  if (!tls && std::any_of(from.backends.begin(), from.backends.end(), [](const auto& backend) { return backend.tls; }))
    tls = entry.tls ? entry.tls : tls_client_of(from, std::time(nullptr));
  if (!tls || !entry.tls || tls->settings() != entry.tls->settings()) entry.tls = std::move(tls);
  pool->tls = entry.tls;
  pool->algorithm = balance::find_algorithm(from.balance.algorithm);
  pool->affinity = make_affinity(from, secret_keys);
  pool->observes_latency = from.balance.algorithm == "latency";
  std::map<std::string, std::shared_ptr<BackendState>> kept;
  for (const auto& backend : from.backends) {
    auto& state = kept[backend.name];
    state = backend_state(entry, backend, from.name);
    pool->backends.push_back(state);
  }
  std::swap(entry.backends, kept);
  std::erase_if(kept, [&](const auto& old) {
    const auto now = entry.backends.find(old.first);
    return now != entry.backends.end() && now->second == old.second;
  });
  if (!kept.empty()) std::erase_if(gone_backends_, [](const auto& gone) { return gone.second.expired(); });
  for (auto& [name, old] : kept) gone_backends_[{from.name, name, old->address.to_string()}] = old;
  return pool;
}

std::shared_ptr<BackendState> StateRegistry::backend_state(PoolEntry& entry, const config::Backend& backend,
                                                           const std::string& pool) {
  const auto old = entry.backends.find(backend.name);
  if (old != entry.backends.end() && old->second->address == backend.address) return old->second;
  const auto gone = gone_backends_.extract({pool, backend.name, backend.address.to_string()});
  auto state = gone ? gone.mapped().lock() : nullptr;
  if (!state || state->inflight.value.load() == 0)
    state = std::make_shared<BackendState>(pool, backend.name, backend.address, workers_);
  else
    start_anew(*state);
  // An order is for the name: at its new address a backend that was drained stays so.
  if (old != entry.backends.end()) take_order(*old->second, *state);
  return state;
}

void StateRegistry::forget(const std::string& pool, const PoolEntry& entry) {
  gone_pools_[pool] = {entry.state, entry.admission};
  for (const auto& [name, state] : entry.backends) gone_backends_[{pool, name, state->address.to_string()}] = state;
}

void StateRegistry::build_guards(const config::Route& from, Route& into) {
  if (!from.allow.empty()) into.allow = std::make_shared<AddressSet>(from.allow);
  if (!from.deny.empty()) into.deny = std::make_shared<AddressSet>(from.deny);
  if (from.rate_limit) {
    auto& limiter = limiters_[from.name];
    if (!limiter || limiter->limit() != *from.rate_limit)
      limiter = std::make_shared<route::RateLimiter>(*from.rate_limit);
    into.limiter = limiter;
  }
  into.guarded = into.allow || into.deny || into.limiter || from.auth;
}

std::shared_ptr<Runtime> StateRegistry::build(std::shared_ptr<const config::Config> config, uint64_t generation,
                                              const Serving& serving) {
  auto runtime = std::make_shared<Runtime>(config);
  runtime->generation = generation;
  auto tls = build_tls(*config, std::time(nullptr), ticket_secret_);
  if (!tls.errors.empty()) throw std::runtime_error(tls.errors.front().to_string());
  runtime->tls = std::move(tls.servers);
  for (size_t i = 0; i < config->pools.size(); ++i) {
    const auto& pool = config->pools[i];
    runtime->pools.push_back(
        build_pool(serving ? serving(pool) : pool, config->secret_keys, std::move(tls.clients[i])));
  }
  const auto route_state = [this](const std::string& name, const std::string& pool) {
    auto& state = routes_[name + '\0' + pool];
    if (!state) state = std::make_shared<RouteState>(name, pool, workers_);
    return state;
  };
  for (const auto& route : config->routes) {
    Route entry;
    entry.config = &route;
    entry.state = route_state(route.name, route.pool);
    for (uint32_t i = 0; i < runtime->pools.size(); ++i) {
      const std::string& name = runtime->pools[i]->config->name;
      if (route.auth && route.auth->forward && route.auth->forward->pool == name) entry.auth_pool_index = i;
      if (route.pool != name) continue;
      entry.pool = runtime->pools[i].get();
      entry.pool_index = i;
      entry.timeout = merge(route.timeout, entry.pool->config->timeout);
    }
    if (const auto slow = route.slow.value_or(config->log.slow); slow.count() > 0)
      entry.slow_us = static_cast<uint64_t>(std::chrono::microseconds(slow).count());
    build_guards(route, entry);
    runtime->routes.push_back(std::move(entry));
  }
  for (auto& pool : runtime->pools) pool->user_timeout = user_timeout(*pool, runtime->routes);
  runtime->unrouted = route_state("-", "");
  for (const auto& listener : config->listeners) {
    runtime->tcp.push_back(nullptr);
    if (listener.mode != config::Mode::tcp) continue;
    auto& state = tcp_listeners_[listener.name];
    if (!state) state = std::make_shared<ListenerState>(listener.name, workers_);
    runtime->tcp.back() = make_tcp_listener(listener, *config, state);
  }
  std::erase_if(tcp_listeners_, [](const auto& entry) { return entry.second.use_count() == 1; });
  std::erase_if(pools_, [&](const auto& entry) {
    if (config->find_pool(entry.first)) return false;
    forget(entry.first, entry.second);
    return true;
  });
  std::erase_if(gone_pools_, [](const auto& entry) { return entry.second.first.expired(); });
  std::erase_if(limiters_, [&](const auto& entry) {
    return std::none_of(config->routes.begin(), config->routes.end(),
                        [&](const config::Route& route) { return route.rate_limit && route.name == entry.first; });
  });
  std::erase_if(routes_, [&](const auto& entry) { return entry.second.use_count() == 1; });
  return runtime;
}

std::shared_ptr<Runtime> StateRegistry::with_pools(const Runtime& current,
                                                   const std::map<std::string, config::Pool>& changed) {
  auto next = std::make_shared<Runtime>(current);
  for (auto& pool : next->pools) {
    const auto now = changed.find(pool->config->name);
    if (now == changed.end()) continue;
    const auto user_timeout = pool->user_timeout;
    pool = build_pool(now->second, current.config->secret_keys, pool->tls);
    pool->user_timeout = user_timeout;
  }
  for (auto& route : next->routes)
    if (route.pool) route.pool = next->pools[route.pool_index].get();
  return next;
}

std::vector<health::Target> StateRegistry::targets(const Runtime& runtime) {
  std::vector<health::Target> targets;
  for (const auto& pool : runtime.pools) targets.push_back({pool->config, pool->state, pool->backends, pool->tls});
  return targets;
}

}  // namespace weir::proxy
