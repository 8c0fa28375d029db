// A listener of mode: tcp made ready to serve.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>

#include "config/model.hpp"
#include "lb/base/state.hpp"
#include "lb/route/server_names.hpp"

namespace weir::proxy {

/// Belongs to one Runtime: pools are indices in that.
struct TcpListener {
  static constexpr uint32_t kNoPool = route::ServerNames::kNone;
  std::shared_ptr<ListenerState> state;
  route::ServerNames names;
  uint32_t pool = kNoPool;    // of sessions without a name, or with another one
  uint32_t max_sessions = 0;  // 0: no limit
  bool reads_hello = false;   // the client's first bytes are looked at before a pool is chosen

  uint32_t pool_for(std::string_view server_name) const {
    const uint32_t named = names.find(server_name);
    return named == kNoPool ? pool : named;
  }
};

/// Null for mode: http.
std::shared_ptr<const TcpListener> make_tcp_listener(const config::Listener& listener, const config::Config& config,
                                                     std::shared_ptr<ListenerState> state);

/// What the pool's hash key is made of; empty if the session doesn't have it.
std::string_view session_key(const config::KeySpec& key, std::string_view server_name, std::string_view client);

}  // namespace weir::proxy
