// Mode tcp in the language.
#pragma once
#include <vector>

#include "config/schema.hpp"

namespace weir::config {

/// `mode` of a listener and of a pool.
TypeOf<Mode> mode_type();

/// Only sessions of mode: tcp have such a key.
bool needs_session(const KeySpec& key);

std::vector<Key<Listener>> tcp_listener_keys();
/// After a listener is read: what doesn't go with its mode, and what its mode changes of the defaults.
void check_listener(Reader& in, const Node& node, Listener& listener);

TypeOf<Sessions> sessions_section();
/// The same for a pool.
void check_pool_mode(Reader& in, const Node& node, Pool& pool);

/// Once all is read: listeners, routes and pools fit together.
void check_modes(Reader& in, const Node& root, const Config& config);
/// Only HTTP needs routes.
bool needs_routes(const Config& config);

}  // namespace weir::config
