// The tables of the language, one function a section.
#pragma once
#include "config/schema.hpp"

namespace weir::config {

/// The whole file. Reading it fills a Config; `include` is resolved before, by the loader.
const Type<Config>& root_section();

TypeOf<std::vector<Pool>> pools_type();
TypeOf<Pool> defaults_section();
TypeOf<std::vector<Route>> routes_type();

/// `discover` of a pool, and `resolver`.
TypeOf<Discover> discover_section();
TypeOf<Resolver> resolver_section();

/// `affinity` of a pool, and `secret`, the keys that its cookies are signed with.
TypeOf<Affinity> affinity_section();
Key<Config> secret_key();
/// Every pool with affinity has keys to sign with.
void check_secret(Reader& in, const Node& root, const Config& config);

/// `compress` of a route, and at the top.
TypeOf<Compress> compress_section();
TypeOf<Compression> compression_section();

/// `limits.http2`.
TypeOf<Http2Limits> http2_section();

TypeOf<Log> log_section();
TypeOf<Tracing> tracing_section();

/// The names that `balance` knows. The registry in lb/balance has the same ones; a test compares the two.
const std::vector<std::string>& balance_names();

/// `tls` of a listener, and at the top.
TypeOf<ListenerTls> listener_tls_section();
TypeOf<PoolTls> pool_tls_section();
Key<Config> tls_key();

/// `keys:`: named keys, read into Reader::keys.
TypeDoc keys_doc();
void read_keys(Reader& in, const Node& node);
TypeOf<Balance> balance_type();

std::string show_key(const KeySpec& key);
/// A key where it is used: the name of one, or one made on the spot. Nothing after reporting what is wrong.
std::optional<KeySpec> read_key_use(Reader& in, const Node& node);
TypeDoc key_use_doc();

/// "100/s"
std::string show_rate(const Rate& rate);
/// `rate_limit`, `allow`, `deny` and `auth` of a route.
std::vector<Key<Route>> access_keys();

}  // namespace weir::config
