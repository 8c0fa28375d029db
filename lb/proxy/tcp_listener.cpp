#include "lb/proxy/tcp_listener.hpp"

#include <algorithm>

namespace weir::proxy {

namespace {

uint32_t index_of(const config::Config& config, const std::string& name) {
  for (uint32_t i = 0; i < config.pools.size(); ++i)
    if (config.pools[i].name == name) return i;
  return TcpListener::kNoPool;
}

bool asks_for_name(const config::KeySpec& key) {
  return key.kind == config::KeySpec::Kind::sni || std::any_of(key.first_of.begin(), key.first_of.end(), asks_for_name);
}

}  // namespace

std::shared_ptr<const TcpListener> make_tcp_listener(const config::Listener& listener, const config::Config& config,
                                                     std::shared_ptr<ListenerState> state) {
  auto made = std::make_shared<TcpListener>();
  made->state = std::move(state);
  made->pool = index_of(config, listener.pool);
  made->max_sessions = listener.max_sessions;
  for (const auto& [name, pool] : listener.sni) made->names.add(name, index_of(config, pool));
  // A name that TLS says here needs no second look.
  const bool hashes_name = made->pool != TcpListener::kNoPool && config.pools[made->pool].balance.key &&
                           asks_for_name(*config.pools[made->pool].balance.key);
  made->reads_hello = !listener.tls && (!listener.sni.empty() || hashes_name);
  return made;
}

std::string_view session_key(const config::KeySpec& key, std::string_view server_name, std::string_view client) {
  using Kind = config::KeySpec::Kind;
  if (key.kind == Kind::sni) return server_name;
  if (key.kind == Kind::client) return client;
  for (const auto& part : key.first_of)
    if (const auto value = session_key(part, server_name, client); !value.empty()) return value;
  return {};
}

}  // namespace weir::proxy
