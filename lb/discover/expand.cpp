#include "lb/discover/expand.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace weir::discover {

namespace {

const config::Backend* find(const config::Pool* pool, const std::string& name) {
  if (!pool) return nullptr;
  const auto found = std::find_if(pool->backends.begin(), pool->backends.end(),
                                  [&](const config::Backend& backend) { return backend.name == name; });
  return found == pool->backends.end() ? nullptr : &*found;
}

/// A backend with a host name in its URL: the address that it has as long as the name has it, else the first.
void add_named(const config::Backend& backend, const Names& names, const config::Pool* before, config::Pool& out) {
  const View view = names.host(backend.host);
  const config::Backend* old = find(before, backend.name);
  config::Backend resolved = backend;
  for (const auto& address : view.addresses) {
    const Endpoint here = with_port(address, backend.port);
    if (resolved.address.length == 0 || (old && old->address == here)) resolved.address = here;
  }
  // Not known yet, as after a reload that put the name there: better the old address than none.
  if (resolved.address.length == 0 && !view.answered && old) resolved.address = old->address;
  if (resolved.address.length != 0)
    out.backends.push_back(std::move(resolved));
  else
    out.unresolved.push_back(backend.host);
}

/// As many as are allowed: first those that serve already.
size_t cut(std::vector<config::Backend>& found, uint32_t most, const config::Pool* before) {
  if (found.size() <= most) return 0;
  std::stable_partition(found.begin(), found.end(),
                        [&](const config::Backend& backend) { return find(before, backend.name) != nullptr; });
  const size_t left_out = found.size() - most;
  found.resize(most);
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return left_out;
}

size_t add_discovered(const config::Pool& configured, const Names& names, const config::Pool* before,
                      config::Pool& out) {
  const Members members = names.members(*configured.discover);
  std::vector<config::Backend> found;
  for (const auto& member : members.members) {
    config::Backend backend;
    backend.name = member.address.to_string();
    backend.address = member.address;
    backend.authority = member.authority;
    backend.weight = member.weight;
    backend.backup = member.backup;
    backend.discovered = true;
    backend.at = configured.at;
    found.push_back(std::move(backend));
  }
  const size_t left_out = cut(found, configured.discover->max_backends, before);
  // Services that have moved to hosts not asked for yet, or a name that a reload brought: until they are known, what
  // was there stays.
  const bool fresh = !members.view.answered;
  if ((!members.settled || fresh) && before) {
    std::vector<config::Backend> old;
    for (const auto& backend : before->backends)
      if (backend.discovered || (fresh && !find(&configured, backend.name))) old.push_back(backend);
    if (!old.empty()) found = std::move(old);
  }
  if (found.empty()) out.unresolved.push_back(configured.discover->name);
  out.backends.insert(out.backends.end(), found.begin(), found.end());
  return left_out;
}

}  // namespace

bool has_names(const config::Pool& pool) {
  return pool.discover || std::any_of(pool.backends.begin(), pool.backends.end(),
                                      [](const config::Backend& backend) { return !backend.host.empty(); });
}

bool awaits(const config::Pool& configured, const Names& names) {
  const auto open = [&](const config::Backend& backend) {
    return !backend.host.empty() && names.host(backend.host).state != State::ok;
  };
  if (std::any_of(configured.backends.begin(), configured.backends.end(), open)) return true;
  if (!configured.discover) return false;
  const Members members = names.members(*configured.discover);
  return !members.settled || members.view.state != State::ok;
}

std::set<Question> questions_of(const config::Config& config) {
  std::set<Question> questions;
  const auto add_host = [&](const std::string& name) {
    for (auto& question : host_questions(name, config.resolver.family)) questions.insert(std::move(question));
  };
  for (const auto& pool : config.pools) {
    for (const auto& backend : pool.backends)
      if (!backend.host.empty()) add_host(backend.host);
    if (!pool.discover) continue;
    if (pool.discover->kind == config::Discover::Kind::services)
      questions.insert({pool.discover->name, net::DnsType::srv});
    else
      add_host(pool.discover->name);
  }
  return questions;
}

Expanded expand(const config::Pool& configured, const Names& names, const config::Pool* before) {
  Expanded out{configured, 0};
  out.pool.backends.clear();
  for (const auto& backend : configured.backends) {
    if (backend.host.empty())
      out.pool.backends.push_back(backend);
    else
      add_named(backend, names, before, out.pool);
  }
  if (configured.discover) out.left_out = add_discovered(configured, names, before, out.pool);
  return out;
}

std::vector<NameStatus> names_of(const config::Pool& configured, const config::Pool& serving, const Names& names) {
  std::vector<NameStatus> out;
  for (const auto& backend : configured.backends)
    if (!backend.host.empty())
      out.push_back({backend.host, backend.name, names.host(backend.host), find(&serving, backend.name) ? 1u : 0u});
  if (configured.discover) {
    const auto discovered = std::count_if(serving.backends.begin(), serving.backends.end(),
                                          [](const config::Backend& backend) { return backend.discovered; });
    out.push_back(
        {configured.discover->name, "", names.members(*configured.discover).view, static_cast<size_t>(discovered)});
  }
  return out;
}

Difference difference(const config::Pool& before, const config::Pool& after) {
  Difference out;
  for (const auto& backend : after.backends) {
    const auto* old = find(&before, backend.name);
    if (!old)
      out.added.push_back(backend.discovered ? backend.name
                                             : fmt::format("{} {}", backend.name, backend.address.to_string()));
    else if (old->address != backend.address)
      out.moved.push_back(
          fmt::format("{} {} -> {}", backend.name, old->address.to_string(), backend.address.to_string()));
    else if (old->weight != backend.weight || old->backup != backend.backup || old->authority != backend.authority)
      out.weights = true;
  }
  for (const auto& backend : before.backends)
    if (!find(&after, backend.name)) out.removed.push_back(backend.name);
  return out;
}

}  // namespace weir::discover
