// `pools:` and `defaults:`.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/addresses.hpp"
#include "config/rules.hpp"
#include "config/section.hpp"
#include "config/tables.hpp"
#include "config/tcp_tables.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

TypeOf<Timeouts> timeout_section() {
  return Section<Timeouts>(
             "timeout", "Time-outs towards the backends.",
             {key("connect", &Timeouts::connect, duration(1ms, 10min), "Until a connection to a backend stands."),
              key("response", &Timeouts::response, duration(1ms, 24h).zero_is("off"),
                  "From the last byte of the request to the head of the response."),
              key("idle", &Timeouts::idle, duration(1ms, 24h).zero_is("off"), "Between two bytes of a body."),
              key("total", &Timeouts::total, duration(1ms, 24h).zero_is("off"),
                  "For the whole request, all tries together."),
              key("per_try", &Timeouts::per_try, duration(1ms, 24h).zero_is("off"),
                  "For one try, until the head of the response."),
              key("tunnel", &Timeouts::tunnel, duration(1s, 240h).zero_is("off"),
                  "Silence in a tunnel, such as a WebSocket."),
              key("expect", &Timeouts::expect, duration(1ms, 10min),
                  "How long a backend's answer to `Expect: 100-continue` is awaited."),
              key("keep_alive", &Timeouts::keep_alive, duration(1ms, 24h),
                  "How long an idle connection to a backend is kept; stay below the backend's own.")})
      .example("{ response: 30s }");
}

TypeOf<PoolLimits> limits_section() {
  return Section<PoolLimits>(
             "limits", "What a pool takes at once, over all workers; more waits in the queue, and then gets 503.",
             {key("inflight", &PoolLimits::inflight, count(1, 10'000'000).zero_is("off"),
                  "Requests in flight in the pool."),
              key("per_backend", &PoolLimits::per_backend, count(1, 10'000'000).zero_is("off"),
                  "Requests in flight at one backend."),
              key("queue", &PoolLimits::queue, count(0, 1'000'000), "Requests that may wait."),
              key("queue_timeout", &PoolLimits::queue_timeout, duration(1ms, 1h), "How long one waits.")})
      .example("{ inflight: 100 }");
}

// ---- health ----

class StatusRangeType final : public Type<StatusRange> {
 public:
  void read(Reader& in, const Node& node, StatusRange& value) const override {
    const std::string* text = expect_scalar(in, node, "a status like 200, or a range like 200-299");
    if (!text) return;
    const auto status = [](std::string_view digits) -> uint16_t {
      if (digits.size() != 3 || digits.find_first_not_of("0123456789") != std::string_view::npos) return 0;
      return static_cast<uint16_t>(std::stoi(std::string(digits)));
    };
    const size_t dash = text->find('-');
    value.first = status(std::string_view(*text).substr(0, dash));
    value.last = dash == std::string::npos ? value.first : status(std::string_view(*text).substr(dash + 1));
    if (value.first < 100 || value.last > 599 || value.first > value.last)
      in.error(node.at,
               fmt::format("{} is no status from 100 to 599; write 200, or a range like 200-299", text->substr(0, 32)));
  }
  std::string show(const StatusRange& value) const override {
    return value.first == value.last ? std::to_string(value.first) : fmt::format("{}-{}", value.first, value.last);
  }
  TypeDoc doc() const override {
    return {
        .text = "status, or range like `200-299`",
        .json =
            R"({"anyOf":[{"type":"integer","minimum":100,"maximum":599},{"type":"string","pattern":"^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$"}]})",
    };
  }
};

const Entry* first_http_key(const Node& node) {
  for (const char* name : {"path", "host", "expect"})
    if (const Entry* entry = node.find_entry(name)) return entry;
  return nullptr;
}

void before_health(Reader&, const Node& node, Health& health) {
  const bool asks_grpc = !node.find("type") && node.find("service");
  const bool implied = !node.find("type") && !asks_grpc && first_http_key(node);
  // A type of one's own replaces all that `defaults` say.
  const bool other = health.type == Health::Type::tcp || health.type == Health::Type::grpc;
  if (node.find("type") || asks_grpc || (implied && other)) health = Health{};
  if (implied) health.type = Health::Type::http;
  if (asks_grpc) health.type = Health::Type::grpc;
}

void after_health(Reader& in, const Node& node, Health& health) {
  if (health.type == Health::Type::none && !node.find("type") && !in.in_defaults)
    in.error(node.at, "there is no type; write path: /healthz for HTTP checks, or type: tcp");
  const Entry* http_only = first_http_key(node);
  if ((health.type == Health::Type::tcp || health.type == Health::Type::grpc) && http_only)
    in.error(http_only->at, fmt::format("{} is for HTTP checks alone; write type: http, or remove it", http_only->key));
  if (const Entry* service = node.find_entry("service"); service && health.type != Health::Type::grpc)
    in.error(service->at, "service is for gRPC's checks alone; write type: grpc, or remove it");
  if (health.type != Health::Type::none && health.timeout > health.interval)
    in.warning(node.at,
               "the time-out of a check is longer than the interval; the next check begins only when this one is over");
}

void read_short_health(Reader& in, const Node& node, Health& health) {
  health = Health{};
  if (node.kind == Node::Kind::scalar && node.text.starts_with('/'))
    return in.error(node.at, fmt::format("keys are needed here; write {{ path: {} }}", node.text.substr(0, 64)));
  if (node.kind == Node::Kind::scalar && (node.text == "http" || node.text == "tcp"))
    return in.error(node.at, fmt::format("keys are needed here; write {{ type: {} }}", node.text));
  bool on = true;
  const size_t problems = in.errors.size();
  boolean()->read(in, node, on);
  if (on && in.errors.size() == problems && node.kind != Node::Kind::broken)
    in.error(node.at, "true does not say how to check; write { path: /healthz } or { type: tcp }");
}

TypeOf<Health> health_section() {
  const TypeOf<Health> expect =
      Section<Health>(
          "expect", "What an answer must be to count as healthy.",
          {key("status", &Health::expect_status, one_or_more<StatusRange>(std::make_shared<StatusRangeType>()),
               "Statuses."),
           key("body", &Health::expect_body, text("text", rules::line), "Must occur in the first 64 KiB of the body.")})
          .example("{ status: 200-299 }");
  return Section<Health>(
             "health", "Active checks. `path` alone means `type: http`; `health: false` switches them off.",
             {key("type", &Health::type,
                  choice<Health::Type>({{"http", Health::Type::http},
                                        {"tcp", Health::Type::tcp},
                                        {"grpc", Health::Type::grpc},
                                        {"none", Health::Type::none}}),
                  "What a check does; in a pool it replaces all that `defaults` say."),
              key("path", &Health::path, text("path", rules::plain_path), "What an HTTP check asks for."),
              key("host", &Health::host, text("host", rules::host_and_port), "Its Host; unset: the backend's address."),
              key("service", &Health::service, text("name", rules::line),
                  "What a check of `type: grpc` asks `grpc.health.v1.Health` for; unset: the server as a whole."),
              group<Health>("expect", expect, "What an answer must be."),
              key("interval", &Health::interval, duration(100ms, 1h), "Between two checks of a backend."),
              key("timeout", &Health::timeout, duration(10ms, 10min), "For one check."),
              key("fall", &Health::fall, count(1, 100), "So many failures in a row: down."),
              key("rise", &Health::rise, count(1, 100), "So many successes in a row: up again."),
              key("slow_start", &Health::slow_start, duration(1ms, 1h).zero_is("off"),
                  "A backend that came up gets its full share only after this time."),
              later<Health>("mariadb"), later<Health>("mysql"), later<Health>("postgresql"), later<Health>("max_lag"),
              later<Health>("agent")})
      .short_form("`false`", R"({"const":false})", read_short_health)
      .before(before_health)
      .after(after_health)
      .example("{ path: /healthz }, or false");
}

// ---- ejection and retries ----

/// `false` for a section that can be switched off; `true` is what it is anyway.
template <class S>
auto switch_form(void (*set)(S&, bool on)) {
  return [set](Reader& in, const Node& node, S& section) {
    bool on = true;
    boolean()->read(in, node, on);
    set(section, on);
  };
}

TypeOf<Eject> eject_section() {
  return Section<Eject>(
             "eject",
             "Takes a backend out because of real requests that failed (connect failures, resets, time-outs, bad "
             "responses, 502, 503, 504). `eject: false` switches it off.",
             {key("enabled", &Eject::enabled, boolean(), "`enabled: false` is `eject: false`."),
              key("after", &Eject::after, count(1, 10'000), "So many failures in a row."),
              key("error_rate", &Eject::error_percent, percent(1, 100).zero_is("off"),
                  "Or this share of failures within `window`."),
              key("min_requests", &Eject::min_requests, count(1, 1'000'000), "… judged only from so many requests on."),
              key("window", &Eject::window, duration(1s, 1h), "What `error_rate` looks at."),
              key("for", &Eject::for_, duration(100ms, 24h), "How long; grows with each ejection in a row."),
              key("max", &Eject::max, duration(100ms, 24h), "… up to this."),
              key("at_most", &Eject::at_most_percent, percent(0, 100),
                  "Of the pool's backends at a time; always one if there are two.")})
      .short_form("`false`", R"({"type":"boolean"})",
                  switch_form<Eject>([](Eject& eject, bool on) { eject.enabled = on; }))
      .before([](Reader&, const Node&, Eject& eject) { eject.enabled = true; })
      .after([](Reader& in, const Node& node, Eject& eject) {
        if (eject.max < eject.for_) in.error(node.at, "max is shorter than for; make it as long at least");
      })
      .example("{ after: 5, for: 30s }, or false");
}

constexpr std::string_view kWhenExample = "connect, reset, timeout, or a status from 400 to 599";

void read_when(Reader& in, const Node& node, Retry& retry) {
  retry.connect = retry.reset = retry.timeout = false;
  retry.statuses.clear();
  read_list(in, node, true, [&](const Node& item) {
    const std::string* text = expect_scalar(in, item, kWhenExample);
    if (!text) return;
    if (*text == "connect") {
      retry.connect = true;
    } else if (*text == "reset") {
      retry.reset = true;
    } else if (*text == "timeout") {
      retry.timeout = true;
    } else if (text->size() == 3 && text->find_first_not_of("0123456789") == std::string::npos && *text >= "400" &&
               *text <= "599") {
      retry.statuses.push_back(static_cast<uint16_t>(std::stoi(*text)));
    } else {
      in.error(item.at, fmt::format("\"{}\" is no reason to retry; write {}", text->substr(0, 32), kWhenExample));
    }
  });
}

std::string show_when(const Retry& retry) {
  std::vector<std::string> words;
  if (retry.connect) words.emplace_back("connect");
  if (retry.reset) words.emplace_back("reset");
  if (retry.timeout) words.emplace_back("timeout");
  for (const auto status : retry.statuses) words.push_back(std::to_string(status));
  return fmt::format("[{}]", fmt::join(words, ", "));
}

TypeOf<Retry> retry_section() {
  const std::string word =
      R"({"anyOf":[{"enum":["connect","reset","timeout"]},{"type":"integer","minimum":400,"maximum":599}]})";
  const TypeDoc when = list_doc({.text = "`connect`, `reset`, `timeout`, status", .json = word}, true);
  return Section<Retry>(
             "retry",
             "Tries another backend where no request can take effect twice by it. `retry: false` switches it off.",
             {custom<Retry>("when", when, read_when, show_when, "What is retried; statuses only if they are named."),
              key("attempts", &Retry::attempts, count(0, Retry::kMaxAttempts),
                  "Other backends that are tried after the first."),
              key("budget", &Retry::budget_percent, percent(0, 100),
                  "Retries at a time, as a share of the requests in flight; connect failures are free."),
              key("budget_min", &Retry::budget_min, count(0, 10'000), "… but so many always."),
              key("methods", &Retry::methods, one_or_more(text("method", rules::retryable_method)),
                  "What may be sent again once bytes were sent.")})
      .short_form("`false`", R"({"type":"boolean"})", switch_form<Retry>([](Retry& retry, bool on) {
                    if (on && retry.attempts == 0) retry.attempts = Retry{}.attempts;
                    if (!on) retry.attempts = 0;
                  }))
      .before([](Reader&, const Node&, Retry& retry) {
        if (retry.attempts == 0) retry.attempts = Retry{}.attempts;
      })
      .example("{ attempts: 2 }, or false");
}

// ---- the pool ----

void read_host(Reader& in, const Node& node, Pool& pool) {
  const std::string* text = expect_scalar(in, node, "keep, upstream, or a host name");
  if (!text) return;
  pool.fixed_host.clear();
  pool.host = *text == "keep" ? Pool::Host::keep : *text == "upstream" ? Pool::Host::upstream : Pool::Host::fixed;
  if (pool.host != Pool::Host::fixed) return;
  std::string host = *text;
  if (const std::string problem = rules::host_and_port(host); !problem.empty()) return in.error(node.at, problem);
  pool.fixed_host = *text;
}

std::string show_host(const Pool& pool) {
  return pool.host == Pool::Host::keep ? "keep" : pool.host == Pool::Host::upstream ? "upstream" : pool.fixed_host;
}

/// What `defaults` can set for every pool.
std::vector<Key<Pool>> policy_keys() {
  return {
      key("balance", &Pool::balance, balance_type(), "How a backend is chosen."),
      key("timeout", &Pool::timeout, timeout_section(), "Time-outs towards the backends."),
      key("health", &Pool::health, health_section(), "Active checks."),
      key("eject", &Pool::eject, eject_section(), "Passive ejection."),
      key("retry", &Pool::retry, retry_section(), "Retries."),
      key("limits", &Pool::limits, limits_section(), "What the pool takes at once."),
      custom<Pool>("host", {.text = "`keep`, `upstream` or a host name", .json = R"({"type":"string"})"}, read_host,
                   show_host, "The Host sent to the backends: the client's, the backend's address, or this name."),
      key("panic", &Pool::panic_percent, percent(0, 100),
          "With a smaller share of usable backends than this, all are used; in any case when none is usable."),
  };
}

void read_short_backend(Reader& in, const Node& node, Backend& backend) { read_backend_url(in, node, backend); }

TypeOf<Backend> backend_section() {
  return Section<Backend>(
             "backend", "A URL, or a map with more than that.",
             {custom<Backend>("url", backend_url_doc(), read_short_backend, show_backend_url, "Where it is.")
                  .required("url: \"http://IP:PORT\""),
              key("weight", &Backend::weight, count(0, 1000),
                  "Its share, relative to the others'; 0 takes no requests."),
              key("backup", &Backend::backup, boolean(), "Takes requests only while no other backend is usable."),
              key("zone", &Backend::zone, text("name", rules::cookie_name), "Where it stands; a label, for now."),
              later<Backend>("database"), later<Backend>("protocol"), later<Backend>("tls")})
      .short_form(backend_url_doc().text, backend_url_doc().json, read_short_backend)
      .example("\"http://10.0.0.1:8080\"");
}

void prepare_pool(Reader& in, Place at, Pool& pool) {
  pool = in.defaults;
  in.in_tcp_pool = in.in_h2_pool = false;
  in.pool_places.push_back(at);
}

/// `key`, and what it says counts for the URLs of the backends, which are read after it.
Key<Pool> noted(Key<Pool> key) {
  key.read = [read = std::move(key.read)](Reader& in, const Node& node, Pool& pool) {
    read(in, node, pool);
    in.in_tcp_pool = pool.mode == Mode::tcp;
    in.in_h2_pool = pool.protocol == Pool::Protocol::h2;
  };
  return key;
}

/// HTTP/2 by TLS is for https:// alone, and without it for everything else.
void check_protocol(Reader& in, const Node& node, const Pool& pool) {
  const Entry* protocol = node.find_entry("protocol");
  if (pool.health.type == Health::Type::grpc && pool.protocol == Pool::Protocol::h1 && pool.mode == Mode::http)
    in.error(node.find_entry("health") ? node.find_entry("health")->at : node.at,
             "checks of type grpc need HTTP/2; write protocol: h2c, or h2 with https://");
  if (!protocol || pool.protocol == Pool::Protocol::h1) return;
  const bool tls = pool.protocol == Pool::Protocol::h2;
  const char* name = tls ? "h2" : "h2c";
  const Entry* backends = node.find_entry("backends");
  for (size_t i = 0; backends && i < pool.backends.size() && i < backends->value.entries.size(); ++i) {
    const Backend& backend = pool.backends[i];
    if (backend.tls == tls || (backend.host.empty() && backend.address.length == 0))
      continue;  // or it is no URL at all
    in.error(backends->value.entries[i].at,
             tls ? "protocol: h2 is HTTP/2 by TLS; write https:// in the backend's URL, or protocol: h2c"
                 : "protocol: h2c is HTTP/2 without TLS; write http:// in the backend's URL, or protocol: h2");
  }
  if (pool.discover && tls)
    in.error(protocol->at, "backends that DNS says are spoken to without TLS; write protocol: h2c");
  if (pool.proxy_protocol != ProxyVersion::none)
    in.error(protocol->at,
             fmt::format("with protocol: {} clients share connections, and the header of proxy_protocol names one "
                         "client alone; write protocol: h1, or remove proxy_protocol",
                         name));
}

void check_pool(Reader& in, const Node& node, Pool& pool) {
  check_pool_mode(in, node, pool);
  check_protocol(in, node, pool);
  const Entry* backends = node.find_entry("backends");
  if (!backends || backends->value.kind != Node::Kind::map) return;
  if (backends->value.entries.empty())
    in.error(backends->at, "a pool without backends answers nothing; write { a: \"http://10.0.0.1:8080\" }");
  if (pool.backends.size() != backends->value.entries.size()) return;
  const auto weightless = [](const Backend& backend) { return backend.weight == 0; };
  if (!pool.discover && !pool.backends.empty() && std::all_of(pool.backends.begin(), pool.backends.end(), weightless))
    in.error(backends->at, "every backend has weight 0, so none takes requests; give one at least 1");
  const Entry* tls = node.find_entry("tls");
  if (tls && std::none_of(pool.backends.begin(), pool.backends.end(), [](const Backend& b) { return b.tls; }))
    in.error(tls->at, fmt::format("no backend of this pool is spoken to by TLS; write {}:// in its URL",
                                  pool.mode == Mode::tcp ? "tls" : "https"));
  const auto& timeout = pool.timeout;
  if (timeout.total > 0ms && timeout.per_try > timeout.total)
    in.warning(node.at, "timeout.per_try is longer than timeout.total and never comes to bear");
  if (timeout.total > 0ms && timeout.connect > timeout.total)
    in.warning(node.at, "timeout.connect is longer than timeout.total and never comes to bear");
}

}  // namespace

TypeOf<Pool> defaults_section() {
  return Section<Pool>(
             "defaults",
             "What every pool has unless it says otherwise, key by key. The sections are those of a pool, below.",
             policy_keys())
      .example("{ balance: least_connections }");
}

TypeOf<std::vector<Pool>> pools_type() {
  const auto backends = std::make_shared<Named<Backend>>(
      backend_section(),
      Named<Backend>::Options{
          .singular = "backend", .example = "{ a: \"http://10.0.0.1:8080\" }", .summary = [](const Backend& backend) {
            return backend.host.empty() ? backend.address.to_string() : backend.authority;
          }});
  std::vector<Key<Pool>> own{
      noted(key("mode", &Pool::mode, mode_type(),
                "What it carries: requests, or the bytes of TCP sessions as they are.")),
      noted(key(
          "protocol", &Pool::protocol,
          choice<Pool::Protocol>({{"h1", Pool::Protocol::h1}, {"h2", Pool::Protocol::h2}, {"h2c", Pool::Protocol::h2c}},
                                 {{"http", "write h1, the default"},
                                  {"http/1.1", "write h1, the default"},
                                  {"https", "the backends' URLs say so; write https:// there, and remove protocol"},
                                  {"http/2", "write h2 with https:// backends, h2c with http://"},
                                  {"grpc", "gRPC is HTTP/2; write h2c with http:// backends, h2 with https://"},
                                  {"tcp", "write mode: tcp"}}),
          "What is spoken to the backends: HTTP/1.1, HTTP/2 by TLS (`https://`), or HTTP/2 without (`http://`).")),
      key("backends", &Pool::backends, backends,
          "Name → backend. The name is what hashes, cookies and metrics know it by."),
      key("discover", &Pool::discover, discover_section(), "Backends that DNS says."),
      key("affinity", &Pool::affinity, affinity_section(),
          "Sessions stay with a backend, by a cookie; needs `secret`."),
      key("tls", &Pool::tls, pool_tls_section(), "How backends with https:// are spoken to."),
      key("proxy_protocol", &Pool::proxy_protocol,
          choice<ProxyVersion>({{"off", ProxyVersion::none}, {"v1", ProxyVersion::v1}, {"v2", ProxyVersion::v2}}),
          "Connections to the backends begin with a header of the PROXY protocol, which names the client; they are not "
          "shared between clients then."),
      key("sessions", &Pool::sessions, sessions_section(), "Sessions of backends that are taken out."),
  };
  for (const char* name : {"split", "partition", "shards", "zones", "cache", "database", "slots"})
    own.push_back(later<Pool>(name));
  const TypeOf<Pool> pool = Section<Pool>("pool",
                                          "Backends that do the same, and how they are used. What `defaults` say "
                                          "holds, key by key, unless the pool says otherwise.",
                                          policy_keys() + std::move(own))
                                .needs_one_of({"backends", "discover"},
                                              "backends: { a: \"http://10.0.0.1:8080\" }, or discover: { dns: "
                                              "app.internal:8080 }")
                                .after(check_pool)
                                .example("{ backends: { a: \"http://10.0.0.1:8080\" } }");
  return std::make_shared<Named<Pool>>(
      pool, Named<Pool>::Options{.singular = "pool",
                                 .example = "{ app: { backends: { a: \"http://10.0.0.1:8080\" } } }",
                                 .prepare = prepare_pool,
                                 .summary = [](const Pool& p) {
                                   return fmt::format("{} backend{}", p.backends.size(),
                                                      p.backends.size() == 1 ? "" : "s");
                                 }});
}

}  // namespace weir::config
