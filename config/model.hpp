// The validated configuration as plain values. Every default stands here, once; the loader fills in only what the file
// says.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lb/base/access_fields.hpp"
#include "lb/base/content_coding.hpp"
#include "lb/base/endpoint.hpp"
#include "lb/base/http2.hpp"
#include "lb/base/log.hpp"
#include "lb/base/proxy_protocol.hpp"

namespace weir::config {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

/// Where a value stands in the files; line and column count from 1.
struct Location {
  std::string file;
  int line = 0, column = 0;
};

/// What a balancing key is made of; `first_of` takes the first that is present.
struct KeySpec {
  enum class Kind { client, header, cookie, query, path, host, path_template, sni, first_of };
  Kind kind = Kind::client;
  std::string name;  // header (lower case), cookie, query parameter, or the template "/t/{}"
  std::vector<KeySpec> first_of;
  bool operator==(const KeySpec&) const = default;
};

struct Balance {
  std::string algorithm = "round_robin";  // a name in the balance registry
  std::optional<KeySpec> key;             // consistent_hash
  uint32_t bound_percent = 150;           // bounded load: at most this share of the mean
  uint32_t bound_floor = 8;               // … but never less than so many in flight
  bool operator==(const Balance&) const = default;
};

/// A zero duration means: no such time-out.
struct Timeouts {
  milliseconds connect = 5s, response = 60s, idle = 60s, total = 0ms, per_try = 0ms, tunnel = 1h, expect = 1s;
  milliseconds keep_alive = 4s;  // how long an idle connection to a backend is kept
  bool operator==(const Timeouts&) const = default;
};

/// A route's time-outs: what it doesn't name comes from the pool.
struct RouteTimeouts {
  std::optional<milliseconds> connect, response, idle, total, per_try, tunnel, expect;
};

struct StatusRange {
  uint16_t first = 200, last = 299;
  bool operator==(const StatusRange&) const = default;
};

struct Health {
  enum class Type { none, http, tcp, grpc };
  Type type = Type::none;
  std::string path = "/";
  std::string host;  // Host of the probe; empty: the backend's authority
  std::vector<StatusRange> expect_status{StatusRange{}};
  std::string service;      // of type grpc; empty: the server as a whole
  std::string expect_body;  // must occur in the first 64 KiB of the body; empty: anything
  milliseconds interval = 2s, timeout = 1s;
  uint32_t fall = 3, rise = 2;
  milliseconds slow_start = 0ms;
  bool operator==(const Health&) const = default;
};

/// Passive ejection: connect failures, resets, time-outs, bad responses and 502/503/504 count as failures.
struct Eject {
  bool enabled = true;
  uint32_t after = 5;          // consecutive failures
  uint32_t error_percent = 0;  // share of failures within `window`; 0: off
  uint32_t min_requests = 20;  // … judged only from so many requests on
  milliseconds window = 10s;
  milliseconds for_ = 30s, max = 5min;  // grows by `for` with each ejection in a row, up to `max`
  uint32_t at_most_percent = 50;        // of the pool's backends; always one if there are two
  bool operator==(const Eject&) const = default;
};

struct Retry {
  static constexpr uint32_t kMaxAttempts = 10;
  bool connect = true, reset = true, timeout = false;
  std::vector<uint16_t> statuses;
  uint32_t attempts = 2;  // other backends tried after the first
  uint32_t budget_percent = 20, budget_min = 3;
  std::vector<std::string> methods{"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};
  bool operator==(const Retry&) const = default;
};

struct PoolLimits {
  uint32_t inflight = 0, per_backend = 0;  // 0: no limit
  uint32_t queue = 100;
  milliseconds queue_timeout = 1s;
  bool operator==(const PoolLimits&) const = default;
};

/// What a listener or a pool carries.
enum class Mode { http, tcp };

/// What becomes of the sessions of a backend of mode: tcp that is taken out.
struct Sessions {
  bool close_on_eject = false;  // when it is down, ejected or disabled
  milliseconds drain = 0ms;     // how long they go on while it drains; 0: until they end
  bool operator==(const Sessions&) const = default;
};

/// Session affinity by a signed cookie.
struct Affinity {
  std::string cookie = "weir_affinity";
  milliseconds ttl = 8h;
  milliseconds drain = 30min;  // how long a draining backend still gets its own sessions; 0: not at all
  milliseconds idle = 5min;    // without a request for so long, one is over for `weir drain`; 0: only with `drain`
  bool operator==(const Affinity&) const = default;
};

struct Backend {
  std::string name;
  Endpoint address;
  std::string authority;  // "127.0.0.1:9001" as written: the Host for `host: upstream`; "localhost" for unix sockets
  bool tls = false;       // https://, tls://
  bool tcp = false;       // tcp://, tls://
  uint32_t weight = 1;    // 0: takes no requests; ≤ 1000
  bool backup = false;
  std::string zone;
  std::string host;  // a name for DNS; `address` is then empty until it is resolved, and `port` counts
  uint16_t port = 0;
  bool added = false;       // by `weir backend add`
  bool discovered = false;  // by the pool's `discover`; its name is its address
  Location at;
  bool same_target(const Backend& other) const { return name == other.name && address == other.address; }
  /// The authority without its port and brackets.
  std::string url_host() const {
    const bool v6 = authority.starts_with('[');
    return v6 ? authority.substr(1, authority.find(']') - 1) : authority.substr(0, authority.find(':'));
  }
};

/// A file that the configuration names, with what stood in it when it was read.
struct TextFile {
  std::string path, text;
  Location at = {};  // where it is named
};

/// TLS towards the backends with https://; what is in the files is understood by lb/net/tls_client.hpp.
struct PoolTls {
  bool verify = true;
  std::optional<TextFile> ca;                // empty: the authorities that the system trusts
  std::string server_name;                   // asked for and verified; empty: the host of the URL
  std::optional<TextFile> certificate, key;  // our own; the key may stand in the same file
};

/// Backends that DNS names.
struct Discover {
  enum class Kind { addresses, services };  // A and AAAA records, or SRV
  Kind kind = Kind::addresses;
  std::string name;            // "app.internal", "_http._tcp.app.internal"
  uint16_t port = 0;           // of every backend; SRV records have their own
  uint32_t max_backends = 64;  // more are left out
  bool operator==(const Discover&) const = default;
};

struct Pool {
  enum class Host { keep, upstream, fixed };
  enum class Protocol { h1, h2, h2c };  // h2: by TLS, h2c: without
  std::string name;
  Mode mode = Mode::http;
  Sessions sessions;  // of mode: tcp
  Balance balance;
  Host host = Host::keep;
  std::string fixed_host;
  PoolLimits limits;
  Health health;
  Eject eject;
  Retry retry;
  Timeouts timeout;
  std::optional<Affinity> affinity;
  std::optional<Discover> discover;
  uint32_t panic_percent = 0;           // below this usable share the pool serves from all; 0: only when none is usable
  std::vector<Backend> backends;        // in the order of the file
  std::vector<std::string> unresolved;  // of a pool that serves: its names without an address
  PoolTls tls;
  ProxyVersion proxy_protocol = ProxyVersion::none;  // what connections to the backends begin with
  Protocol protocol = Protocol::h1;
  Location at;
};

/// Strict-Transport-Security (RFC 6797).
struct Hsts {
  milliseconds max_age = 8760h;
  bool subdomains = false, preload = false;
};

/// TLS of a listener; what is in the files is understood by lb/net/tls_server.hpp.
struct ListenerTls {
  enum class Versions { from_12, only_13 };
  enum class ClientAuth { require, optional };
  std::vector<TextFile> certificates, keys, ocsp;
  Versions versions = Versions::from_12;
  std::optional<TextFile> client_ca;
  ClientAuth client_auth = ClientAuth::require;
  bool strict_sni = false;  // clients that ask for a name of no certificate, or for none, are refused
  std::optional<Hsts> hsts;
};

/// Towards clients.
enum class Protocol { h2, http1 };

struct Listener {
  std::string name;
  std::vector<Endpoint> binds;
  Mode mode = Mode::http;
  std::string pool;                                      // of mode: tcp; empty: none but those of `sni`
  std::vector<std::pair<std::string, std::string>> sni;  // of mode: tcp: server name, perhaps with "*." → pool
  uint32_t max_sessions = 0;                             // of mode: tcp; 0: no limit
  std::optional<ListenerTls> tls;
  milliseconds header_timeout = 10s, keep_alive_timeout = 75s, send_stall = 60s;  // send_stall 0: no such time-out
  bool defer_accept = true;
  bool proxy_protocol = false;  // connections begin with its header, which only trusted_proxies may send
  std::vector<Protocol> protocols{Protocol::h2, Protocol::http1};  // the first that the client knows
  Location at;
  bool speaks_http2() const { return std::find(protocols.begin(), protocols.end(), Protocol::h2) != protocols.end(); }
};

/// Names as written, for they are sent so; they are compared in any case.
struct HeaderRules {
  std::vector<std::pair<std::string, std::string>> set, add;
  std::vector<std::string> remove;
  bool empty() const { return set.empty() && add.empty() && remove.empty(); }
};

struct Match {
  std::vector<std::string> listeners;  // empty: any
  std::vector<std::string> hosts;      // lower case; "*.example.com" matches any depth below; empty: any
  std::string path;  // "/a" exact, "/a/*" /a and below, "/a*" prefix of bytes, {name} one segment; empty: any
  std::vector<std::string> methods;                          // empty: any
  std::vector<std::pair<std::string, std::string>> headers;  // name in lower case; the value "*" asks only for presence
  std::vector<std::pair<std::string, std::string>> query;
};

struct Redirect {
  uint16_t status = 302;
  std::string scheme, host, path;  // empty: as in the request
};

struct Respond {
  uint16_t status = 200;
  std::string body, content_type = "text/plain; charset=utf-8";
};

/// `count` tokens a `period`.
struct Rate {
  uint32_t count = 0;
  milliseconds period = 1s;
  bool operator==(const Rate&) const = default;
};

/// A token bucket for each value of the key, exact over all workers.
struct RateLimit {
  KeySpec key;
  Rate rate;
  std::optional<uint32_t> burst;  // what a bucket holds; unset: rate.count
  uint32_t max_keys = 100'000;    // buckets kept at a time
  uint32_t bucket() const { return burst.value_or(rate.count); }
  bool operator==(const RateLimit&) const = default;
};

/// Who may come in: a user name and the crypt(5) hash of the password each, sorted by name.
struct UserFile {
  std::string path;
  std::vector<std::pair<std::string, std::string>> users;
  const std::pair<std::string, std::string>* find(std::string_view user) const {
    const auto at = std::lower_bound(users.begin(), users.end(), user,
                                     [](const auto& entry, std::string_view name) { return entry.first < name; });
    return at != users.end() && at->first == user ? &*at : nullptr;
  }
};

/// Asks a service of the operator's whether a request may pass.
struct ForwardAuth {
  std::string pool;
  std::string path = "/";                     // what is asked for, perhaps with a query
  std::vector<std::string> response_headers;  // of its answer, copied onto the request; lower case
  milliseconds timeout = 5s;                  // for the whole question
};

/// Exactly one of the two.
struct Auth {
  std::shared_ptr<const UserFile> users;  // basic
  std::string realm = "Restricted";
  std::optional<ForwardAuth> forward;
};

/// Compression of a route's responses.
struct Compress {
  bool on = false;
  std::vector<ContentCoding> algorithms{kContentCodings.begin(), kContentCodings.end()};  // the preferred one first
  std::vector<std::string> types{"text/*", "application/json", "application/javascript", "application/xml", "*+json",
                                 "*+xml",  "application/wasm", "application/x-ndjson",   "font/ttf",        "font/otf"};
  uint64_t min_size = 1 << 10;  // bytes; of responses whose length is known
  uint32_t level = 0;           // 1 to 6; 0: each algorithm's own
};

/// What compression may take of the whole process.
struct Compression {
  uint32_t cpu_percent = 25;   // of each worker's time
  uint64_t memory = 64 << 20;  // bytes, for encoders; the workers have equal parts of it
  bool operator==(const Compression&) const = default;
};

struct Route {
  std::string name;  // metric label: `name:`, else made from host and path, unique
  Match match;
  std::string pool;  // exactly one of pool, redirect, respond
  std::optional<Redirect> redirect;
  std::optional<Respond> respond;
  std::optional<std::pair<std::string, std::string>> rewrite_prefix;
  HeaderRules request_headers, response_headers;
  RouteTimeouts timeout;
  std::optional<milliseconds> slow;       // beats Log::slow
  std::vector<AddressBlock> allow, deny;  // of clients; deny goes first, an empty allow is everybody
  std::optional<RateLimit> rate_limit;
  std::optional<Auth> auth;
  Compress compress;
  Location at;
};

struct Limits {
  uint32_t connections = 0;  // 0: auto, (nofile − 256) / 2
  uint64_t memory = 1ull << 30;
  uint32_t header_bytes = 32 << 10, header_count = 100;
  uint64_t body_bytes = 1ull << 30;  // 0: no limit
  uint32_t chunk_ext_bytes = 4 << 10, trailers = 16, trailer_bytes = 4 << 10;
  uint32_t body_min_rate = 240;  // bytes a second, after 5 s; 0: off
  uint32_t handshakes = 1000;    // of TLS, at a time in a worker
  Http2Limits http2;             // of a client's connection
};

struct Http {
  enum class Underscores { drop, reject, allow };
  Underscores underscores = Underscores::drop;  // header names with "_" (security-rules C2)
  bool reject_escaped_slash = false;            // %2f and %5c in the path (B8)
  bool reject_path_params = false;              // ;params (B10)
  bool forwarded = false;                       // also send RFC 7239 Forwarded
  bool expose = false;                          // name the backend in Proxy-Status
};

struct Log {
  enum class Format { json, combined };
  std::string access;  // "stdout", a path, or empty: off
  Format format = Format::json;
  std::vector<LogFieldUse> fields;  // of a JSON line; empty: the default ones
  log::Level level = log::Level::info;
  milliseconds slow = 1s;  // remembered is what a backend took longer to answer; 0: nothing
};

struct Tracing {
  enum class Trust { anyone, trusted_proxies };
  std::string otlp;              // the collector's URL as written
  Endpoint collector;            // … and its parts
  std::string authority, path;   // for Host, and what is posted to
  uint32_t sample_ppm = 10'000;  // of the traces that begin here, in millionths
  std::string service = "weir";  // service.name
  Trust trust = Trust::anyone;   // whose traceparent is believed
  uint32_t queue = 4096;         // requests that wait to be sent
  milliseconds timeout = 5s;     // for one POST, from connecting to the last byte of the answer
  bool operator==(const Tracing&) const = default;
};

/// How names of backends are resolved.
struct Resolver {
  enum class Family { any, ipv4, ipv6 };
  std::vector<Endpoint> servers;  // empty: those of resolv_conf
  std::string resolv_conf = "/etc/resolv.conf";
  uint16_t port = 53;         // of the servers in resolv_conf
  milliseconds timeout = 2s;  // for the answer of a server
  uint32_t tries = 2;
  Family family = Family::any;
  milliseconds min_ttl = 1s, max_ttl = 5min;  // bounds of the TTLs
  milliseconds keep_missing = 5min;           // how long addresses outlive their name
  bool operator==(const Resolver&) const = default;
};

struct Admin {
  std::optional<Endpoint> bind;                 // everything; beyond loopback only with a token
  std::string socket = "/run/weir/admin.sock";  // a unix socket with everything; empty: none
  std::string token_file, token;                // the path, and what stands in it; empty: none
  std::string state_file;                       // keeps what `weir backend --persist` changed; empty: none
  std::optional<Endpoint> metrics;              // only /metrics, /-/healthy, /-/ready
};

struct Config {
  uint32_t workers = 0;  // 0: auto
  std::vector<Listener> listeners;
  std::vector<Pool> pools;
  std::vector<Route> routes;
  std::vector<AddressBlock> trusted_proxies;
  Limits limits;
  Http http;
  Compression compression;
  Log log;
  std::optional<Tracing> tracing;
  Admin admin;
  Resolver resolver;
  std::string secret_file;               // empty: none
  std::vector<std::string> secret_keys;  // what stands in it; the first signs, each verifies
  std::string ticket_file;               // empty: none
  std::vector<std::string> ticket_keys;  // as secret_keys, for session tickets
  uint32_t max_series = 50000;
  bool watch = false;                           // reload when a file changes
  std::map<uint16_t, std::string> error_pages;  // status → contents (HTML)
  milliseconds drain_delay = 0ms, drain_timeout = 30s, upgrade_timeout = 30s;

  const Pool* find_pool(const std::string& name) const {
    for (const auto& pool : pools)
      if (pool.name == name) return &pool;
    return nullptr;
  }
};

}  // namespace weir::config
