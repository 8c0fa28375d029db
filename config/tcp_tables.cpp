// Mode tcp: what listeners and pools of it have, and what they can't have.
#include "config/tcp_tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "config/rules.hpp"
#include "config/section.hpp"
#include "config/suggest.hpp"
#include "config/tables.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

const char* word_of(Mode mode) { return mode == Mode::tcp ? "tcp" : "http"; }

// ---- the listener ----

void remember_use(Reader& in, const Node& node, const std::string& pool) {
  in.tcp_pool_uses.push_back({node.at, pool, in.listener_places.size() - 1});
}

void read_listener_pool(Reader& in, const Node& node, Listener& listener) {
  const size_t problems = in.errors.size();
  text("name of a pool", rules::line)->read(in, node, listener.pool);
  if (in.errors.size() == problems) remember_use(in, node, listener.pool);
}

using ServerNames = std::vector<std::pair<std::string, std::string>>;

class ServerNamesType final : public Type<ServerNames> {
 public:
  void read(Reader& in, const Node& node, ServerNames& names) const override {
    if (!expect_map(in, node, "{ \"www.example.com\": POOL, \"*.example.com\": POOL }")) return;
    if (node.entries.empty()) in.error(node.at, "there is no name here; name one, or remove the key");
    for (const auto& entry : node.entries) {
      std::string name = entry.key, pool;
      if (const std::string problem = rules::host_pattern(name); !problem.empty()) {
        in.error(entry.at, problem);
        continue;
      }
      if (AddressBlock::parse_address(name)) {
        in.error(entry.at,
                 fmt::format("{} is an address, and clients that connect to one name no server (RFC 6066 section 3); "
                             "write `pool: NAME` in the listener for them",
                             name));
        continue;
      }
      if (std::any_of(names.begin(), names.end(), [&](const auto& known) { return known.first == name; })) {
        in.error(entry.at, fmt::format("{} is here twice; keep one", name));
        continue;
      }
      Trail::Step step(in.trail, entry.key.substr(0, 64));
      if (!expect_value(in, entry)) continue;
      const size_t problems = in.errors.size();
      text("name of a pool", rules::line)->read(in, entry.value, pool);
      if (in.errors.size() != problems) continue;
      remember_use(in, entry.value, pool);
      names.emplace_back(std::move(name), std::move(pool));
    }
  }
  std::string show(const ServerNames& names) const override {
    std::vector<std::string> shown;
    for (const auto& [name, pool] : names) shown.push_back(fmt::format("{}: {}", name, pool));
    return show_list(shown);
  }
  TypeDoc doc() const override {
    return {.text = "map from server name, or `*.example.com`, to pool",
            .json = R"({"type":"object","minProperties":1,"additionalProperties":{"type":"string"}})"};
  }
};

// ---- the pool ----

bool needs_request(const KeySpec& key) {
  using Kind = KeySpec::Kind;
  if (key.kind == Kind::first_of) return std::any_of(key.first_of.begin(), key.first_of.end(), needs_request);
  return key.kind != Kind::client && key.kind != Kind::sni;
}

/// An entry of a section of the pool that is not among `known`.
void refuse_others(Reader& in, const Node& pool, const char* section, std::initializer_list<std::string_view> known) {
  const Node* node = pool.find(section);
  if (!node || node->kind != Node::Kind::map) return;
  const Trail::Step step(in.trail, section);
  for (const auto& entry : node->entries)
    if (std::find(known.begin(), known.end(), entry.key) == known.end())
      in.error(entry.at, fmt::format("{} is for HTTP, which a pool of mode: tcp does not look at; remove it",
                                     entry.key.substr(0, 64)));
}

void check_key(Reader& in, const Node& node, const Pool& pool) {
  const auto& key = pool.balance.key;
  if (!key) return;
  const Entry* written = node.find_entry("balance");
  const Place at = written ? written->at : node.at;
  const Trail::Step step(in.trail, "balance");
  if (pool.mode == Mode::tcp && needs_request(*key))
    in.error(at, fmt::format("{}{} is a key of requests, and mode: tcp has none; write {{ consistent_hash: client }}, "
                             "or sni in place of client",
                             show_key(*key), written ? "" : " (of defaults)"));
  if (pool.mode == Mode::http && needs_session(*key))
    in.error(at, "sni is a key of mode: tcp; write host, which requests have");
}

/// What `defaults` say of HTTP checks says when to check.
void inherit_health(Health& health) {
  const Health usual;
  if (health.type == Health::Type::http || health.type == Health::Type::grpc) health.type = Health::Type::tcp;
  health.path = usual.path;
  health.host.clear();
  health.expect_status = usual.expect_status;
  health.expect_body.clear();
}

void check_uses(Reader& in, const Node& root, const Config& config) {
  std::vector<std::string> names;
  if (const Node* pools = root.find("pools"); pools && pools->kind == Node::Kind::map)
    for (const auto& entry : pools->entries) names.push_back(entry.key);
  for (const auto& use : in.tcp_pool_uses) {
    if (use.route >= config.listeners.size() || config.listeners[use.route].mode == Mode::http) continue;
    const Trail::Step step(in.trail, "listener " + config.listeners[use.route].name, true);
    if (std::find(names.begin(), names.end(), use.name) == names.end()) {
      in.error(use.at, fmt::format("there is no pool \"{}\"; {}", use.name.substr(0, 64),
                                   suggest(use.name, names, "the pools are", "define it under `pools:`")));
      continue;
    }
    const Pool* pool = config.find_pool(use.name);
    if (pool && pool->mode != Mode::tcp)
      in.error(use.at, fmt::format("pool {} is of mode: http; write mode: tcp in it, or mode: http here", use.name));
  }
}

}  // namespace

bool needs_session(const KeySpec& key) {
  return key.kind == KeySpec::Kind::sni || std::any_of(key.first_of.begin(), key.first_of.end(), needs_session);
}

std::vector<Key<Listener>> tcp_listener_keys() {
  const TypeDoc pool{.text = "name of a pool", .json = R"({"type":"string"})"};
  return {
      custom<Listener>(
          "pool", pool, read_listener_pool, [](const Listener& l) { return l.pool; },
          "With `mode: tcp`, the pool of its sessions; with `sni`, of those that name no server, or another one."),
      key("sni", &Listener::sni, std::make_shared<ServerNamesType>(),
          "With `mode: tcp`, the pool by the server name that a TLS client asks for; TLS itself passes through. An "
          "exact "
          "name goes before a wildcard, a longer wildcard before a shorter one."),
      key("max_sessions", &Listener::max_sessions, count(1, 10'000'000).zero_is("off"),
          "With `mode: tcp`, sessions at a time; more are refused."),
  };
}

void check_listener(Reader& in, const Node& node, Listener& listener) {
  if (listener.mode == Mode::http) {
    for (const char* name : {"pool", "sni", "max_sessions"})
      if (const Entry* entry = node.find_entry(name))
        in.error(entry->at, fmt::format("{} is for a listener of mode: tcp; write mode: tcp, or remove it{}", name,
                                        name == std::string_view("pool") ? " and name the pool in a route" : ""));
    return;
  }
  if (!node.find("pool") && !node.find("sni"))
    in.error(node.at, "no pool is named; write pool: NAME, or sni: { \"www.example.com\": NAME }");
  if (const Entry* entry = node.find_entry("protocols"))
    in.error(entry->at, "protocols are for HTTP, which a listener of mode: tcp does not look at; remove it");
  const Entry* sni = node.find_entry("sni");
  if (sni && node.find("tls"))
    in.error(sni->at,
             "TLS ends at this listener, so that it can't pass through to a pool chosen by its name; remove "
             "`tls`, or `sni`");
  const Node* timeout = node.find("timeout");
  if (const Entry* entry = timeout ? timeout->find_entry("keep_alive") : nullptr)
    in.error(entry->at,
             "keep_alive is between two requests, and mode: tcp has none; remove it (silence is bounded by "
             "the pool's timeout.tunnel)");
  const Node* tls = node.find("tls");
  if (const Entry* entry = tls ? tls->find_entry("hsts") : nullptr)
    in.error(entry->at, "hsts is a header of HTTP; remove it");
  // A server may speak first, and a reader may pause: nothing of the kind is expected unless it is asked for.
  if (!node.find("defer_accept")) listener.defer_accept = false;
  if (!timeout || !timeout->find("send_stall")) listener.send_stall = milliseconds(0);
}

TypeOf<Sessions> sessions_section() {
  return Section<Sessions>("sessions", "With `mode: tcp`: what becomes of sessions whose backend is taken out.",
                           {key("on_eject", &Sessions::close_on_eject, choice<bool>({{"keep", false}, {"close", true}}),
                                "When it is found down, ejected or disabled: they go on, or are ended."),
                            key("drain", &Sessions::drain, duration(100ms, 240h).zero_is("off"),
                                "While it drains, they may go on for so long; off: until they end.")})
      .example("{ on_eject: close }");
}

void check_pool_mode(Reader& in, const Node& node, Pool& pool) {
  in.in_tcp_pool = in.in_h2_pool = false;
  check_key(in, node, pool);
  if (pool.mode == Mode::http) {
    if (const Entry* entry = node.find_entry("sessions"))
      in.error(entry->at, "sessions is for a pool of mode: tcp; write mode: tcp, or remove it");
    return;
  }
  for (const char* name : {"host", "affinity", "protocol"})
    if (const Entry* entry = node.find_entry(name))
      in.error(entry->at, fmt::format("{} is for HTTP, which a pool of mode: tcp does not look at; remove it", name));
  pool.affinity.reset();
  refuse_others(in, node, "timeout", {"connect", "tunnel"});
  refuse_others(in, node, "retry", {"attempts", "when"});
  refuse_others(in, node, "health", {"type", "interval", "timeout", "fall", "rise", "slow_start"});
  const Node* health = node.find("health");
  const Node* type = health ? health->find("type") : nullptr;
  if (type && (pool.health.type == Health::Type::http || pool.health.type == Health::Type::grpc))
    in.error(type->at, fmt::format("a check of type {} asks with a request, and mode: tcp has none; write type: tcp",
                                   type->text));
  inherit_health(pool.health);
}

void check_modes(Reader& in, const Node& root, const Config& config) {
  check_uses(in, root, config);
  std::set<std::string_view> tcp_pools, tcp_listeners;
  for (const auto& pool : config.pools)
    if (pool.mode == Mode::tcp) tcp_pools.insert(pool.name);
  for (const auto& listener : config.listeners)
    if (listener.mode == Mode::tcp) tcp_listeners.insert(listener.name);
  for (const auto* uses : {&in.pool_uses, &in.auth_pool_uses})
    for (const auto& use : *uses)
      if (tcp_pools.contains(use.name)) {
        const Trail::Step step(in.trail, fmt::format("route {}", use.route + 1), true);
        in.error(use.at,
                 fmt::format("pool {} is of mode: tcp, which no request leads to; name it in a listener of mode: "
                             "tcp, or write another pool",
                             use.name));
      }
  for (const auto& use : in.listener_uses)
    if (tcp_listeners.contains(use.name)) {
      const Trail::Step step(in.trail, fmt::format("route {}", use.route + 1), true);
      in.error(use.at,
               fmt::format("listener {} is of mode: tcp, where no requests come in; name its pool there", use.name));
    }
}

bool needs_routes(const Config& config) {
  return config.listeners.empty() || std::any_of(config.listeners.begin(), config.listeners.end(),
                                                 [](const Listener& l) { return l.mode == Mode::http; });
}

TypeOf<Mode> mode_type() { return choice<Mode>({{word_of(Mode::http), Mode::http}, {word_of(Mode::tcp), Mode::tcp}}); }

}  // namespace weir::config
