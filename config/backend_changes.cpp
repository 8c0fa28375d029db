#include "config/backend_changes.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/addresses.hpp"
#include "config/suggest.hpp"

namespace weir::config {

namespace {

constexpr uint32_t kMaxWeight = 1000;

template <class Backends>
auto find(Backends& backends, const std::string& name) {
  return std::find_if(backends.begin(), backends.end(), [&](const Backend& backend) { return backend.name == name; });
}

bool has(const Pool& pool, const std::string& name) { return find(pool.backends, name) != pool.backends.end(); }

bool is_name(const std::string& name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
  };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), allowed);
}

using Refusal = BackendChanges::Refusal;

Refusal unknown_backend(const Pool& pool, const std::string& name) {
  if (pool.discover && name.find(':') != std::string::npos)
    return {Refusal::Kind::conflict,
            fmt::format("DNS decides over {} (discover); drain or disable it", name.substr(0, 64))};
  return {Refusal::Kind::unknown, fmt::format("pool {} has no backend \"{}\"{}", pool.name, name.substr(0, 64),
                                              suggest_and_list(name, names_of(pool.backends), "its backends are"))};
}

std::optional<Refusal> bad_weight(uint32_t weight) {
  if (weight <= kMaxWeight) return {};
  return Refusal{Refusal::Kind::wrong, fmt::format("weight {} is out of range; write 0 to {}", weight, kMaxWeight)};
}

}  // namespace

std::optional<Refusal> BackendChanges::take(const Config& written, const BackendChange& change) {
  const Pool* pool = written.find_pool(change.pool);
  if (!pool)
    return Refusal{Refusal::Kind::unknown,
                   fmt::format("there is no pool \"{}\"{}", change.pool.substr(0, 64),
                               suggest_and_list(change.pool, names_of(written.pools), "the pools are"))};
  Config now;
  now.pools.push_back(*pool);
  apply(now);
  switch (change.kind) {
    case BackendChange::Kind::add: return take_add(*pool, now.pools[0], change);
    case BackendChange::Kind::weight: return take_weight(*pool, now.pools[0], change);
    case BackendChange::Kind::remove: return take_remove(now.pools[0], change);
  }
  return {};
}

std::optional<Refusal> BackendChanges::take_add(const Pool& written, const Pool& now, const BackendChange& change) {
  using Kind = Refusal::Kind;
  if (!is_name(change.name))
    return Refusal{Kind::wrong, fmt::format("\"{}\" can't be a name; write 1 to 64 of A-Z a-z 0-9 _ . -",
                                            change.name.substr(0, 64))};
  if (auto refusal = bad_weight(change.weight)) return refusal;
  Backend backend;
  if (std::string problem = parse_backend_url(change.url, written, backend); !problem.empty())
    return Refusal{Kind::wrong, std::move(problem)};
  if (written.protocol != Pool::Protocol::h1 && backend.tls != (written.protocol == Pool::Protocol::h2))
    return Refusal{Kind::wrong,
                   fmt::format("pool {} speaks {}; write {}:// in the URL", now.name,
                               backend.tls ? "h2c, without TLS" : "h2, by TLS", backend.tls ? "http" : "https")};
  if (has(now, change.name))
    return Refusal{
        Kind::conflict,
        fmt::format("pool {} has a backend {} already; take another name, or remove it first", now.name, change.name)};
  const auto in_file = find(written.backends, change.name);
  if (in_file == written.backends.end()) {
    changes_[{change.pool, change.name}] = change;
    return {};
  }
  if (show_backend_url(*in_file) != show_backend_url(backend))
    return Refusal{Kind::conflict, fmt::format("the configuration has {} at {}, and it was removed here; take another "
                                               "name, or change the file",
                                               change.name, show_backend_url(*in_file))};
  changes_.erase({change.pool, change.name});  // it was removed: that is taken back
  return {};
}

std::optional<Refusal> BackendChanges::take_weight(const Pool& written, const Pool& now, const BackendChange& change) {
  if (!has(now, change.name)) return unknown_backend(now, change.name);
  if (auto refusal = bad_weight(change.weight)) return refusal;
  const auto known = changes_.find({change.pool, change.name});
  if (known != changes_.end() && known->second.kind == BackendChange::Kind::add) {
    known->second.weight = change.weight;
    return {};
  }
  changes_.erase({change.pool, change.name});
  const auto in_file = find(written.backends, change.name);
  if (in_file != written.backends.end() && in_file->weight != change.weight)
    changes_[{change.pool, change.name}] = change;
  return {};
}

std::optional<Refusal> BackendChanges::take_remove(const Pool& now, const BackendChange& change) {
  if (!has(now, change.name)) return unknown_backend(now, change.name);
  if (now.backends.size() == 1 && !now.discover)
    return Refusal{Refusal::Kind::conflict, fmt::format("{} is the last backend of pool {}; disable it, or add another "
                                                        "one first",
                                                        change.name, now.name)};
  const auto known = changes_.find({change.pool, change.name});
  if (known != changes_.end() && known->second.kind == BackendChange::Kind::add)
    changes_.erase(known);
  else
    changes_[{change.pool, change.name}] = change;
  return {};
}

std::vector<std::string> BackendChanges::apply(Config& config) {
  std::vector<std::string> forgotten;
  for (auto change = changes_.begin(); change != changes_.end();) {
    const auto& [kind, pool_name, name, url, weight] = change->second;
    const auto forget = [&](std::string_view why) {
      forgotten.push_back(fmt::format("pool {}: backend {}: what was changed by `weir backend` is forgotten: {}",
                                      pool_name, name, why));
      change = changes_.erase(change);
    };
    const auto pool =
        std::find_if(config.pools.begin(), config.pools.end(),
                     [&, wanted = std::string_view(pool_name)](const Pool& p) { return p.name == wanted; });
    if (pool == config.pools.end()) {
      // take() applies to one pool alone; which pools there are, only a whole configuration says.
      if (config.pools.size() == 1 && config.listeners.empty())
        ++change;
      else
        forget("there is no such pool any more");
      continue;
    }
    if (kind != BackendChange::Kind::remove && bad_weight(weight)) {  // the state file may have been edited by hand
      forget("its weight is refused");
      continue;
    }
    const auto backend = find(pool->backends, name);
    const bool there = backend != pool->backends.end();
    if (kind == BackendChange::Kind::add) {
      Backend added;
      if (there) {
        forget("the file has it now");
        continue;
      }
      if (!is_name(name)) {
        forget("its name is refused");
        continue;
      }
      if (!parse_backend_url(url, *pool, added).empty()) {
        forget("its URL is refused");
        continue;
      }
      added.name = name;
      added.weight = weight;
      added.added = true;
      added.at = pool->at;
      pool->backends.push_back(std::move(added));
    } else if (!there) {
      forget("the file has it no more");
      continue;
    } else if (kind == BackendChange::Kind::weight) {
      backend->weight = weight;
    } else if (pool->backends.size() == 1 && !pool->discover) {
      forget("it is the last one");
      continue;
    } else {
      pool->backends.erase(backend);
    }
    ++change;
  }
  return forgotten;
}

}  // namespace weir::config
