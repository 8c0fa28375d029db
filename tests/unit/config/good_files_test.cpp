// Good files load, and the model says what they say.
#include <fstream>
#include <iterator>

#include "config/tables.hpp"
#include "tests/unit/config/support.hpp"

using namespace weir;
using namespace weir::config;
using namespace weir::config::test;

namespace {

std::string read(const std::string& path) {
  std::ifstream file(path);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string full_text() { return read(source_folder() + "tests/unit/config/full.yaml"); }

Config full() {
  World world;
  world.files["pages/503.html"] = "<h1>busy</h1>";
  world.files["secret.keys"] =
      "# keys\r\n\n0123456789012345678901234567890123456789\nabcdefghijabcdefghijabcdefghijabcdefghij";
  for (const char* path : {"site.pem", "more/a.pem", "more/b.pem", "site.key", "people.pem", "site.ocsp"})
    world.files[path] = std::string("text of ") + path;
  world.files["token"] = "c2VjcmV0LXNlY3JldA==\n";
  world.files["users"] = "ann:" + std::string("$2y$05$") + std::string(53, 'a') + "\n";
  return good(full_text(), world.environment());
}

const Pool& pool(const Config& config, const char* name) {
  const Pool* found = config.find_pool(name);
  REQUIRE(found);
  return *found;
}

/// Every key of `section` must stand in one of `maps`.
void check_covered(const SectionDoc& section, const std::vector<const Node*>& maps, const std::string& path) {
  for (const auto& key : section.keys) {
    if (key.later) continue;
    std::vector<const Node*> below;
    bool found = false;
    for (const Node* map : maps) {
      const Node* value = map->find(key.name);
      if (!value) continue;
      found = true;
      const auto add = [&](const Node& node) {
        if (node.kind == Node::Kind::map) below.push_back(&node);
      };
      if (key.type.shape == TypeDoc::Shape::section) add(*value);
      for (const auto& entry : value->entries)
        if (key.type.shape == TypeDoc::Shape::named) add(entry.value);
      for (const auto& item : value->items)
        if (key.type.shape == TypeDoc::Shape::list) add(item);
    }
    INFO(path + key.name);
    CHECK(found);
    // What defaults' sections hold is covered by the pools'.
    if (key.type.section && path != "defaults.") check_covered(*key.type.section, below, path + key.name + ".");
  }
}

}  // namespace

TEST_CASE("consistent_hash takes a key made on the spot") {
  const auto key = [](const std::string& written) {
    return good(replaced(kMinimal, "{ backends", "{ balance: { consistent_hash: " + written + " }, backends"))
        .pools[0]
        .balance.key.value();
  };
  CHECK(key("{ cookie: SID }") == KeySpec{KeySpec::Kind::cookie, "SID", {}});
  CHECK(key("{ path: \"/t/{}\" }") == KeySpec{KeySpec::Kind::path_template, "/t/{}", {}});
  CHECK(key("{ first_of: [{ header: X-Tenant }, client] }").first_of.size() == 2);
  CHECK(key("client") == KeySpec{KeySpec::Kind::client, {}, {}});
}

TEST_CASE("headers are set as they are written") {
  const Config config = good(
      replaced(kMinimal, "{ pool: app }",
               "{ pool: app, request_headers: { set: { X-My-Header: a }, add: { DNT: b }, remove: [X-Powered-By] } }"));
  const HeaderRules& rules = config.routes[0].request_headers;
  CHECK(rules.set[0].first == "X-My-Header");
  CHECK(rules.add[0].first == "DNT");
  CHECK(rules.remove[0] == "X-Powered-By");
}

TEST_CASE("the smallest file loads with all defaults") {
  const LoadResult result = load_text(kMinimal);
  REQUIRE(result.config);
  CHECK(result.errors.empty());
  CHECK(all(result.warnings).empty());
  const Config& config = *result.config;
  CHECK(config.workers == 0);
  REQUIRE(config.listeners.size() == 1);
  CHECK(config.listeners[0].name == "web");
  CHECK(config.listeners[0].binds[0].port() == 8080);
  REQUIRE(config.pools.size() == 1);
  const Pool& app = config.pools[0];
  CHECK(app.balance == Balance{});
  CHECK(app.timeout == Timeouts{});
  CHECK(app.health == Health{});
  CHECK(app.eject == Eject{});
  CHECK(app.retry == Retry{});
  REQUIRE(app.backends.size() == 2);
  CHECK(app.backends[0].name == "a");
  CHECK(app.backends[0].authority == "127.0.0.1:9001");
  CHECK(app.backends[1].address.port() == 9002);
  CHECK(app.backends[1].at.line == 2);
  CHECK(app.backends[1].at.column == 61);
  REQUIRE(config.routes.size() == 1);
  CHECK(config.routes[0].pool == "app");
  CHECK(config.routes[0].name == "default");
  CHECK(config.routes[0].at.line == 3);
  CHECK(config.routes[0].at.column == 14);
}

TEST_CASE("the full file names every key of the schema") {
  std::vector<Finding> problems;
  const auto tree = parse_yaml(full_text(), 0, problems);
  REQUIRE(tree);
  REQUIRE(problems.empty());
  check_covered(*root_section().doc().section, {&*tree}, "");
}

TEST_CASE("the full file: the top level") {
  const Config config = full();
  CHECK(config.workers == 4);
  REQUIRE(config.trusted_proxies.size() == 4);
  CHECK(config.trusted_proxies[0].to_string() == "10.0.0.0/8");
  CHECK(config.limits.connections == 20000);
  CHECK(config.limits.memory == 2ull << 30);
  CHECK(config.limits.header_bytes == 64u << 10);
  CHECK(config.limits.header_count == 200);
  CHECK(config.limits.body_bytes == 10ull << 20);
  CHECK(config.limits.body_min_rate == 1024);
  CHECK(config.limits.chunk_ext_bytes == 1024);
  CHECK(config.limits.trailers == 8);
  CHECK(config.limits.trailer_bytes == 2048);
  const Http2Limits& http2 = config.limits.http2;
  CHECK(http2.streams == 10);
  CHECK(http2.stream_window == 32u << 10);
  CHECK(http2.connection_window == 2u << 20);
  CHECK(http2.fields == 50);
  CHECK(http2.field_bytes == 16u << 10);
  CHECK(http2.continuations == 4);
  CHECK(http2.resets == 500);
  CHECK(http2.resets_per_minute == 600);
  CHECK(http2.errors == 20);
  CHECK(http2.errors_per_minute == 30);
  CHECK(http2.settings_per_minute == 40);
  CHECK(http2.pings_per_minute == 50);
  CHECK(http2.priorities == 60);
  CHECK(http2.empty_data == 5);
  CHECK(http2.acks == 70);
  CHECK(config.http.underscores == Http::Underscores::allow);
  CHECK(config.http.reject_escaped_slash);
  CHECK(config.http.reject_path_params);
  CHECK(config.http.forwarded);
  CHECK(config.http.expose);
  CHECK(config.log.access == "stdout");
  CHECK(config.log.format == Log::Format::json);
  CHECK(config.log.fields ==
        std::vector<weir::LogFieldUse>{{weir::LogField::time, "time"},
                                       {weir::LogField::request_header, "request_header.X-Tenant", "x-tenant"},
                                       {weir::LogField::trace_id, "trace_id"}});
  CHECK(config.log.level == weir::log::Level::warn);
  CHECK(config.max_series == 10000);
  CHECK(config.admin.bind->to_string() == "127.0.0.1:9901");
  CHECK(config.admin.metrics->port() == 9902);
  CHECK(config.error_pages.at(503) == "<h1>busy</h1>");
  CHECK(config.drain_delay == 5s);
  CHECK(config.drain_timeout == 60s);
  CHECK(config.upgrade_timeout == 20s);
  REQUIRE(config.listeners.size() == 2);
  const Listener& web = config.listeners[0];
  REQUIRE(web.binds.size() == 3);
  CHECK(web.binds[2].is_unix());
  CHECK(web.header_timeout == 5s);
  CHECK(web.keep_alive_timeout == 30s);
  CHECK(web.send_stall == 20s);
  CHECK_FALSE(web.defer_accept);
  CHECK(web.protocols == std::vector{Protocol::http1, Protocol::h2});
}

TEST_CASE("the admin listener") {
  const Config config = full();
  CHECK(config.admin.socket == "/tmp/admin.sock");
  CHECK(config.admin.token_file == "token");
  CHECK(config.admin.token == "c2VjcmV0LXNlY3JldA==");
  CHECK(good(kMinimal).admin.socket == "/run/weir/admin.sock");
  CHECK(good("admin: { socket: off }\n" + kMinimal).admin.socket.empty());
  World world;
  world.files = {{"/t", "0123456789abcdef"}, {"/empty", ""}, {"/short", "secret"}, {"/lines", "0123456789abcdef\nx\n"}};
  const auto errors = [&](const std::string& admin) {
    return all(load_text("admin: " + admin + "\n" + kMinimal, "weir.yaml", world.environment()).errors);
  };
  CHECK(errors("{ bind: \":9901\", token_file: /t }") == "");
  for (const char* file : {"/empty", "/short", "/lines"})
    CHECK(errors(std::string("{ token_file: ") + file + " }").find("holds no token") != std::string::npos);
}

TEST_CASE("tracing") {
  const auto tracing = full().tracing;
  REQUIRE(tracing);
  CHECK(tracing->collector.to_string() == "127.0.0.1:4319");
  CHECK(tracing->authority == "127.0.0.1:4319");
  CHECK(tracing->path == "/otlp/v1/traces");
  CHECK(tracing->sample_ppm == 500);
  CHECK(tracing->trust == Tracing::Trust::trusted_proxies);
  CHECK(tracing->service == "shop");
  CHECK(tracing->queue == 512);
  CHECK(tracing->timeout == 2s);
  CHECK_FALSE(good(kMinimal).tracing);
  const auto short_form = good("tracing: { otlp: \"http://[::1]\", sample: 100% }\n" + kMinimal).tracing;
  REQUIRE(short_form);
  CHECK(short_form->collector.to_string() == "[::1]:4318");
  CHECK(short_form->path == "/v1/traces");
  CHECK(short_form->sample_ppm == 1'000'000);
  CHECK(short_form->trust == Tracing::Trust::anyone);
  const auto unix_socket = good("tracing: { otlp: \"unix:/run/otel.sock\", sample: 0% }\n" + kMinimal).tracing;
  REQUIRE(unix_socket);
  CHECK(unix_socket->collector.is_unix());
  CHECK(unix_socket->authority == "localhost");
  CHECK(unix_socket->sample_ppm == 0);
}

TEST_CASE("affinity and its keys") {
  const Config config = full();
  CHECK(config.secret_file == "secret.keys");
  CHECK(config.secret_keys == std::vector<std::string>{"0123456789012345678901234567890123456789",
                                                       "abcdefghijabcdefghijabcdefghijabcdefghij"});
  const auto& affinity = pool(config, "app").affinity;
  REQUIRE(affinity);
  CHECK(affinity->cookie == "sid_home");
  CHECK(affinity->ttl == 2h);
  CHECK(affinity->drain == 10min);
  CHECK(affinity->idle == std::chrono::seconds(90));
  CHECK_FALSE(pool(config, "tenants").affinity);
}

TEST_CASE("the full file: pools") {
  const Config config = full();
  const Pool& app = pool(config, "app");
  CHECK(app.balance.algorithm == "consistent_hash");
  CHECK(app.balance.key->kind == KeySpec::Kind::cookie);
  CHECK(app.balance.key->name == "PHPSESSID");
  CHECK(app.balance.bound_percent == 125);
  CHECK(app.balance.bound_floor == 4);
  CHECK(app.timeout.connect == 1s);
  CHECK(app.timeout.response == 31s);
  CHECK(app.timeout.keep_alive == 2s);
  CHECK(app.timeout.idle == 0s);
  CHECK(app.health.type == Health::Type::http);
  CHECK(app.health.path == "/ready?deep=1");
  CHECK(app.health.expect_status == std::vector<StatusRange>{{200, 204}, {301, 301}});
  CHECK(app.health.expect_body == "ok");
  CHECK(app.health.fall == 2);
  CHECK(app.health.slow_start == 30s);
  CHECK(app.eject.error_percent == 40);
  CHECK(app.eject.for_ == 10s);
  CHECK(app.eject.max == 10min);
  CHECK(app.eject.at_most_percent == 30);
  CHECK(app.retry.timeout);
  CHECK(app.retry.statuses == std::vector<uint16_t>{503});
  CHECK(app.retry.attempts == 3);
  CHECK(app.retry.budget_min == 5);
  CHECK(app.retry.methods == std::vector<std::string>{"GET", "HEAD"});
  CHECK(app.limits.inflight == 1000);
  CHECK(app.limits.queue_timeout == 500ms);
  CHECK(app.host == Pool::Host::fixed);
  CHECK(app.fixed_host == "app.internal:8080");
  CHECK(app.panic_percent == 50);
  REQUIRE(app.backends.size() == 4);
  CHECK(app.backends[0].weight == 3);
  CHECK(app.backends[0].backup);
  CHECK(app.backends[0].zone == "north");
  CHECK(app.backends[1].address.to_string() == "[::1]:9002");
  CHECK(app.backends[2].address.is_unix());
  CHECK(app.backends[2].authority == "localhost");
  CHECK(app.backends[3].address.port() == 80);
  CHECK(app.backends[3].authority == "127.0.0.1");

  const Pool& tenants = pool(config, "tenants");
  CHECK(tenants.balance.key->kind == KeySpec::Kind::first_of);
  REQUIRE(tenants.balance.key->first_of.size() == 5);
  CHECK(tenants.balance.key->first_of[0].name == "x-tenant");
  CHECK(tenants.balance.key->first_of[1].kind == KeySpec::Kind::path_template);
  CHECK(tenants.health.type == Health::Type::none);
  CHECK_FALSE(tenants.eject.enabled);
  CHECK(tenants.retry.attempts == 0);
  CHECK(tenants.host == Pool::Host::upstream);
  CHECK(tenants.limits.queue == 50);
  CHECK(tenants.panic_percent == 25);
}

TEST_CASE("the full file: names for DNS") {
  const Config config = full();
  const Pool& by_name = *config.find_pool("by_name");
  REQUIRE(by_name.discover);
  CHECK(by_name.discover->kind == Discover::Kind::addresses);
  CHECK(by_name.discover->name == "app.internal");
  CHECK(by_name.discover->port == 8080);
  CHECK(by_name.discover->max_backends == 100);
  CHECK(by_name.backends[0].host == "a.internal");
  CHECK(by_name.backends[0].port == 8080);
  CHECK(by_name.backends[0].authority == "a.internal:8080");
  CHECK(by_name.backends[0].address.length == 0);
  CHECK(config.find_pool("by_service")->discover->kind == Discover::Kind::services);
  const Resolver& resolver = config.resolver;
  REQUIRE(resolver.servers.size() == 3);
  CHECK(resolver.servers[0].to_string() == "10.0.0.2:53");
  CHECK(resolver.family == Resolver::Family::ipv4);
  CHECK(resolver.keep_missing == 1min);
}

TEST_CASE("the full file: routes") {
  const Config config = full();
  REQUIRE(config.routes.size() == 6);
  const Route& api = config.routes[0];
  CHECK(api.name == "api");
  CHECK(api.match.listeners == std::vector<std::string>{"web"});
  CHECK(api.match.hosts == std::vector<std::string>{"*.example.com", "example.com"});
  CHECK(api.match.path == "/api/{version}/*");
  CHECK(api.match.methods == std::vector<std::string>{"GET", "POST"});
  CHECK(api.match.headers[0] == std::pair<std::string, std::string>("x-beta", "1"));
  CHECK(api.match.query[0] == std::pair<std::string, std::string>("v", "2"));
  CHECK(api.rewrite_prefix == std::pair<std::string, std::string>("/api", "/"));
  CHECK(api.request_headers.set[0].first == "X-From");
  CHECK(api.request_headers.add[0].second == "1");
  CHECK(api.request_headers.remove == std::vector<std::string>{"X-Secret"});
  CHECK(api.response_headers.remove == std::vector<std::string>{"Server"});
  CHECK(api.timeout.total == 10s);
  CHECK(config.routes[1].redirect->status == 301);
  CHECK(config.routes[1].redirect->path == "/new?from=old");
  CHECK(config.routes[1].name == "/old");
  CHECK(config.routes[2].respond->status == 201);
  CHECK(config.routes[2].respond->content_type == "text/html");
  CHECK_FALSE(config.routes[3].timeout.total);
}

TEST_CASE("routes without a name get labels of their own") {
  const Config config =
      good(replaced(kMinimal, "{ pool: app } ]",
                    R"({ match: { path: /a, method: GET }, pool: app }, { match: { path: /a }, pool: app },
    { name: "a.example.com", match: { path: /b }, pool: app }, { match: { host: a.example.com }, pool: app }, { match: { path: /a, method: PUT }, pool: app }, { pool: app } ])"));
  std::vector<std::string> names;
  for (const auto& route : config.routes) names.push_back(route.name);
  CHECK(names == std::vector<std::string>{"/a", "/a#2", "a.example.com", "a.example.com#2", "/a#3", "default"});
}
