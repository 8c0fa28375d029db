#include "lb/admin/api.hpp"

#include <boost/json.hpp>

#include "lb/admin/api_json.hpp"
#include "tests/catch.hpp"
#include "tests/unit/admin/fixture.hpp"

using namespace weir;
using namespace weir::admin;
using weir::admin::test::Fixture;
namespace json = boost::json;

TEST_CASE("paths, methods and surfaces", "[admin]") {
  Fixture f;
  Api api(f.sources());
  struct Row {
    const char *method, *target;
    Surface surface;
    int status;
    const char* content_type;
  };
  const Row rows[] = {
      {"GET", "/", Surface::everything, 200, "text/html; charset=utf-8"},
      {"POST", "/", Surface::everything, 405, "application/problem+json"},
      {"GET", "/dashboard.css", Surface::everything, 200, "text/css; charset=utf-8"},
      {"GET", "/dashboard.js?x", Surface::everything, 200, "text/javascript; charset=utf-8"},
      {"GET", "/dashboard.svg", Surface::everything, 200, "image/svg+xml"},
      {"GET", "/dashboard.css", Surface::metrics_only, 404, "application/problem+json"},
      {"GET", "/index.html", Surface::everything, 404, "application/problem+json"},
      {"GET", "/embed.cmake", Surface::everything, 404, "application/problem+json"},
      {"GET", "/api/v1/events", Surface::metrics_only, 404, "application/problem+json"},
      {"GET", "/api/v1/session", Surface::metrics_only, 404, "application/problem+json"},
      {"GET", "/api/v1/session/end", Surface::everything, 405, "application/problem+json"},
      {"GET", "/metrics", Surface::everything, 200, "text/plain; version=0.0.4; charset=utf-8"},
      {"HEAD", "/metrics", Surface::everything, 200, "text/plain; version=0.0.4; charset=utf-8"},
      {"GET", "/metrics?x=1", Surface::metrics_only, 200, "text/plain; version=0.0.4; charset=utf-8"},
      {"GET", "/-/healthy", Surface::metrics_only, 200, "text/plain; charset=utf-8"},
      {"GET", "/-/ready", Surface::metrics_only, 503, "text/plain; charset=utf-8"},
      {"GET", "/api/v1/pools", Surface::everything, 200, "application/json"},
      {"GET", "/api/v1/pools", Surface::metrics_only, 404, "application/problem+json"},
      {"GET", "/api/v1/causes", Surface::everything, 200, "application/json"},
      {"GET", "/", Surface::metrics_only, 404, "application/problem+json"},
      {"GET", "/api/v1/pools/", Surface::everything, 404, "application/problem+json"},
      {"GET", "http://localhost/metrics", Surface::everything, 404, "application/problem+json"},
      {"GET", "", Surface::everything, 404, "application/problem+json"},
      {"POST", "/api/v1/pools", Surface::everything, 405, "application/problem+json"},
      {"GET", "/api/v1/status", Surface::everything, 200, "application/json"},
      {"GET", "/api/v1/pools/app/backends/a", Surface::everything, 200, "application/json"},
      {"GET", "/api/v1/pools/app/backends/", Surface::everything, 404, "application/problem+json"},
      {"GET", "/api/v1/explain?url=/ok", Surface::everything, 200, "application/json"},
      {"GET", "/api/v1/explain?url=/ok&header=nonsense", Surface::everything, 400, "application/problem+json"},
      {"GET", "/api/v1/explain?url=nonsense", Surface::everything, 400, "application/problem+json"},
      {"GET", "/api/v1/explain", Surface::everything, 400, "application/problem+json"},
      {"POST", "/api/v1/reload", Surface::everything, 200, "application/json"},
      {"POST", "/api/v1/reload?dry_run=maybe", Surface::everything, 400, "application/problem+json"},
      {"POST", "/api/v1/reload", Surface::metrics_only, 404, "application/problem+json"},
      {"GET", "/api/v1/reload", Surface::everything, 405, "application/problem+json"},
      {"POST", "/api/v1/upgrade", Surface::everything, 200, "application/json"},
      {"POST", "/api/v1/upgrade", Surface::metrics_only, 404, "application/problem+json"},
      {"GET", "/api/v1/upgrade", Surface::everything, 405, "application/problem+json"},
      {"GET", "/api/v1/pools/app/backends/a/drain", Surface::everything, 405, "application/problem+json"},
      {"POST", "/api/v1/pools/app/backends/a/drain", Surface::metrics_only, 404, "application/problem+json"},
      {"POST", "/api/v1/pools/app/backends/a/kill", Surface::everything, 404, "application/problem+json"},
      {"get", "/metrics", Surface::everything, 405, "application/problem+json"},
      {"POST", "/nothing", Surface::everything, 404, "application/problem+json"},
  };
  for (const auto& row : rows) {
    INFO(row.method << " " << row.target);
    const auto reply = api.answer(row.method, row.target, row.surface);
    CHECK(reply.status == row.status);
    CHECK(reply.content_type == row.content_type);
    CHECK(reply.allow == (row.status != 405 ? "" : row.method == std::string("GET") ? "POST" : "GET, HEAD"));
    CHECK_FALSE(reply.body.empty());
  }
}

TEST_CASE("ready says why not", "[admin]") {
  Fixture f;
  Api api(f.sources());
  const auto ready = [&] { return api.answer("GET", "/-/ready", Surface::everything); };
  CHECK(ready().status == 503);
  CHECK(ready().body == "first health checks pending\n");
  f.process.ready = true;
  CHECK(ready().status == 200);
  CHECK(ready().body == "ready\n");
  f.process.draining = true;
  CHECK(ready().status == 503);
  CHECK(ready().body == "draining\n");
  CHECK(api.answer("GET", "/-/healthy", Surface::everything).body == "ok\n");
}

TEST_CASE("the page names what there is", "[admin]") {
  Fixture f;
  Api api(f.sources());
  const auto index = api.answer("GET", "/", Surface::everything).body;
  for (const char* path : {"/metrics", "/-/healthy", "/-/ready", "/api/v1/pools", "/api/v1/status", "/api/v1/causes",
                           "/api/v1/requests"}) {
    CHECK(index.find("href=\"" + std::string(path) + "\"") != index.npos);
    if (std::string_view(path) != "/api/v1/requests")  // answered later
      CHECK(api.answer("GET", path, Surface::everything).status != 404);
  }
}

TEST_CASE("problems are RFC 9457", "[admin]") {
  const auto reply = problem(404, "no \"such\" thing");
  CHECK(reply.body ==
        "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"no \\\"such\\\" thing\"}\n");
}

TEST_CASE("Host and Origin", "[admin]") {
  struct Row {
    const char *host, *origin;
    bool allowed;
  };
  const Row rows[] = {
      {"127.0.0.1:9901", "", true},
      {"127.0.0.1", "", true},
      {"10.1.2.3:80", "", true},
      {"[::1]:9901", "", true},
      {"[fd00::7]", "", true},
      {"localhost:9901", "", true},
      {"LOCALHOST", "", true},
      {"ip6-localhost", "", true},
      {"", "", true},  // HTTP/1.0
      {"evil.example", "", false},
      {"evil.example:9901", "", false},
      {"localhost.evil.example", "", false},
      {"127.0.0.1.evil.example", "", false},
      {"[::1", "", false},
      {"[::1]evil", "", false},
      {"[::1].evil.example:80", "", false},
      {"localhost:evil", "", false},
      {"127.0.0.1:80.evil.example", "", false},
      {"[evil.example]", "", false},
      {":9901", "", false},
      {"localhost:9901", "http://localhost:9901", true},
      {"localhost:9901", "http://localhost", false},
      {"localhost:9901", "https://localhost:9901", false},
      {"localhost:9901", "http://evil.example", false},
      {"localhost:9901", "null", false},
  };
  for (const auto& row : rows) {
    INFO(row.host << " " << row.origin);
    const Entrance entrance{Surface::everything, Reach::loopback, "127.0.0.1", true};
    CHECK(judge(entrance, {"GET", row.host, row.origin, ""}, "").has_value() != row.allowed);
  }
  const Entrance metrics{Surface::metrics_only, Reach::network, "10.0.0.1", false};
  CHECK_FALSE(judge(metrics, {"GET", "weir.internal:9902", "", ""}, ""));
  CHECK(judge(metrics, {"GET", "weir.internal:9902", "http://evil.example", ""}, ""));
}

TEST_CASE("tokens") {
  const std::string token = "0123456789abcdef";
  const auto status = [&](Reach reach, const char* method, const std::string& authorization, const std::string& known) {
    const auto refusal =
        judge({Surface::everything, reach, "10.0.0.1", true}, {method, "10.0.0.1:9901", "", authorization}, known);
    return refusal ? static_cast<int>(refusal->status) : 200;
  };
  const std::string good = "Bearer " + token, bad = "Bearer 0123456789abcdeX";
  for (const char* method : {"GET", "HEAD"}) {
    CHECK(status(Reach::loopback, method, "", token) == 200);
    CHECK(status(Reach::network, method, "", token) == 401);
    CHECK(status(Reach::network, method, bad, token) == 401);
    CHECK(status(Reach::network, method, good, token) == 200);
  }
  for (const auto reach : {Reach::loopback, Reach::network}) {
    CHECK(status(reach, "POST", "", token) == 401);
    CHECK(status(reach, "POST", bad, token) == 401);
    CHECK(status(reach, "POST", good + "x", token) == 401);
    CHECK(status(reach, "POST", "bearer " + token, token) == 200);
    CHECK(status(reach, "POST", "Basic " + token, token) == 401);
    CHECK(status(reach, "POST", "", "") == 403);
    CHECK(status(reach, "POST", "Bearer ", "") == 403);
  }
  CHECK(status(Reach::local_socket, "POST", "", token) == 200);
  CHECK(status(Reach::local_socket, "POST", "", "") == 200);
}

TEST_CASE("pools as JSON", "[admin]") {
  Fixture f;
  f.process.generation = 4;
  auto& a = f.backend(0, 0);
  a.status = a.health = BackendStatus::down;
  a.reason = "connect \"refused\"";
  a.since_wall_ns = 1'769'860'800'123'000'000;
  a.weight_permille = 500;
  a.inflight.value = 3;
  a.open_connections = 5;
  a.cells[0].requests.add(7);
  a.cells[1].requests.add(1);
  a.cells[1].failures.add(2);
  a.cells[1].responses[5].add(3);
  a.cells[1].failed_5xx.add(1);  // one of the two was an answer
  a.ejections = 1;
  for (int i = 0; i < 100; ++i) a.cells[0].latency.observe(2'000);
  f.inventory->pools[0].state->inflight.value = 9;
  f.inventory->pools[0].state->waiting.value = 2;

  const auto value = json::parse(pools_json(*f.inventory, f.process));
  CHECK(value.at("generation").to_number<int>() == 4);
  REQUIRE(value.at("pools").as_array().size() == 2);
  const auto& pool = value.at("pools").at(0);
  CHECK(pool.at("name") == "app");
  CHECK(pool.at("algorithm") == "round_robin");
  CHECK(pool.at("inflight").to_number<int>() == 9);
  CHECK(pool.at("waiting").to_number<int>() == 2);
  CHECK(pool.at("limits") == json::parse(R"({"inflight":0,"per_backend":0,"queue":100,"queue_timeout_ms":1000})"));
  REQUIRE(pool.at("backends").as_array().size() == 2);
  CHECK(pool.at("backends").at(0) ==
        json::parse(
            R"({"name":"a","address":"127.0.0.1:9001","status":"down","health":"down","reason":"connect \"refused\"",
      "since":"2026-01-31T12:00:00.123Z","sessions_until":null,"sessions_left":null,"sessions_deadline_ms":null,"sessions_over_in_ms":null,"source":"file","weight":2,"effective_weight":1,"backup":false,"zone":"","inflight":3,"connections":5,
      "requests":8,"failures":2,
      "responses":{"1xx":0,"2xx":0,"3xx":0,"4xx":0,"5xx":3},"errors":4,"latency_ms":{"p50":1.75,"p99":2.485},
      "latency_buckets":[0,0,0,100,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"ejections":1,"checks_ok":0,"checks_failed":0})"));
  const auto& b = pool.at("backends").at(1);
  CHECK(b.at("status") == "unknown");
  CHECK(b.at("since").is_null());
  CHECK(b.at("latency_ms").at("p50").is_null());
  CHECK(pool.at("affinity").is_null());
}

TEST_CASE("affinity as JSON", "[admin]") {
  Fixture f;
  auto config = std::make_shared<config::Pool>(*f.inventory->pools[0].config);
  config->affinity = config::Affinity{};
  f.inventory->pools[0].config = config;
  f.inventory->pools[0].state->cells[1].affinity[static_cast<size_t>(AffinityResult::hit)].add(3);
  auto& b = f.backend(0, 1);
  b.order = BackendOrder::drain;
  b.ordered_at_ns = monotonic_now().time_since_epoch().count();
  const auto pool = json::parse(pools_json(*f.inventory, f.process)).at("pools").at(0);
  CHECK(pool.at("affinity") ==
        json::parse(R"({"cookie":"weir_affinity","ttl_ms":28800000,"drain_ms":1800000,"idle_ms":300000,
      "requests":{"hit":3,"new":0,"broken":0,"forged":0}})"));
  CHECK(pool.at("backends").at(0).at("sessions_until").is_null());
  CHECK(pool.at("backends").at(1).at("sessions_until").is_string());
  b.ordered_at_ns = b.ordered_at_ns - Duration(std::chrono::hours(1)).count();
  CHECK(json::parse(pools_json(*f.inventory, f.process))
            .at("pools")
            .at(0)
            .at("backends")
            .at(1)
            .at("sessions_until")
            .is_null());
}

TEST_CASE("causes as JSON", "[admin]") {
  const auto value = json::parse(causes_json());
  const auto& causes = value.at("causes").as_array();
  REQUIRE(causes.size() == kCauseCount);
  CHECK(causes[static_cast<size_t>(Cause::connect_refused)].at("name") == "connect_refused");
  CHECK(causes[static_cast<size_t>(Cause::connect_refused)].at("status").to_number<int>() == 502);
  CHECK(causes[static_cast<size_t>(Cause::tunnel_timeout)].at("status").is_null());
}

TEST_CASE("orders for backends") {
  Fixture f;
  f.backend(0, 0).status = BackendStatus::up;
  Api api(f.sources());
  const auto post = [&](const std::string& path) {
    Reply reply;
    api.answer({"POST", "/api/v1/pools/" + path, Surface::everything, "uid 5"}, [&](Reply made) { reply = made; });
    return reply;
  };
  const auto drained = post("app/backends/a/drain");
  CHECK(drained.status == 200);
  CHECK(json::parse(drained.body).at("changed") == true);
  CHECK(json::parse(drained.body).at("pool") == "app");
  CHECK(json::parse(drained.body).at("usable").to_number<int>() == 2);
  CHECK(f.backend(0, 0).order == BackendOrder::drain);
  CHECK(f.backend(0, 0).ordered_by == "uid 5");
  CHECK(json::parse(post("app/backends/a/drain").body).at("changed") == false);
  post("app/backends/a/disable");
  CHECK(f.backend(0, 0).order == BackendOrder::disable);
  post("app/backends/a/enable");
  CHECK(f.backend(0, 0).order == BackendOrder::serve);

  const auto detail = [&](const std::string& path) {
    const auto reply = post(path);
    CHECK(reply.status == 404);
    return std::string(json::parse(reply.body).at("detail").as_string());
  };
  CHECK(detail("ap/backends/a/drain") == "there is no pool \"ap\" (did you mean \"app\"?); the pools are: app, search");
  CHECK(detail("app/backends/zzz/drain") == "pool app has no backend \"zzz\"; its backends are: a, b");
  CHECK(detail("search/backends/s2/drain") ==
        "pool search has no backend \"s2\" (did you mean \"s1\"?); its backends are: s1");
}

TEST_CASE("upgrades") {
  Fixture f;
  Api api(f.sources());
  using Kind = UpgradeOutcome::Kind;
  auto& outcome = f.upgrade;
  outcome.program = "/usr/bin/weir";
  outcome.version = "9.0";
  outcome.pid = 4711;
  outcome.connections = 17;
  const auto upgrade = [&] { return api.answer("POST", "/api/v1/upgrade", Surface::everything); };
  auto reply = json::parse(upgrade().body);
  CHECK(reply.at("pid").to_number<int>() == 4711);
  CHECK(reply.at("version") == "9.0");
  CHECK(reply.at("old").at("connections").to_number<int>() == 17);

  outcome.kind = Kind::failed;
  outcome.reason = "pid 4711 ended with code 2 before it was ready";
  outcome.details = {"weir.yaml:1:2: \"bad\""};
  CHECK(upgrade().status == 500);
  outcome.bad_configuration = true;
  CHECK(upgrade().status == 422);
  reply = json::parse(upgrade().body);
  CHECK(reply.at("detail") == outcome.reason.c_str());
  CHECK(reply.at("details").at(0) == outcome.details[0].c_str());
  CHECK(reply.at("pid").to_number<int>() == 4711);
  outcome.kind = Kind::refused;
  outcome.pid = 0;
  CHECK(upgrade().status == 409);
  CHECK(json::parse(upgrade().body).at("pid").is_null());

  f.process.upgrades_ok = 3;
  reply = json::parse(api.answer("GET", "/api/v1/status", Surface::everything).body);
  CHECK(reply.at("upgrades").at("ok").to_number<int>() == 3);
  CHECK(reply.at("upgrades").at("predecessors").as_array().empty());
}

TEST_CASE("reloads") {
  Fixture f;
  Api api(f.sources());
  f.outcome.generation = 3;
  f.outcome.changes = {"workers: auto → 4"};
  f.outcome.warnings = {{{"weir.yaml", 2, 1}, "no route leads to pool x"}};
  const auto reload = [&](const std::string& query = "") {
    return api.answer("POST", "/api/v1/reload" + query, Surface::everything);
  };
  auto reply = json::parse(reload().body);
  CHECK(reply.at("dry_run") == false);
  CHECK(reply.at("generation").to_number<int>() == 3);
  CHECK(reply.at("changes") == json::parse(R"(["workers: auto → 4"])"));
  CHECK(reply.at("warnings").at(0).at("line").to_number<int>() == 2);
  CHECK(json::parse(reload("?dry_run=true").body).at("dry_run") == true);
  CHECK(json::parse(reload("?dry_run=false").body).at("dry_run") == false);

  f.outcome.kind = ReloadOutcome::Kind::bad_configuration;
  f.outcome.reason = "1 error in the configuration";
  f.outcome.errors = {{{"weir.yaml", 4, 7}, "x is \"bad\""}};
  CHECK(reload().status == 422);
  reply = json::parse(reload().body);
  CHECK(reply.at("title") == "Unprocessable Content");
  CHECK(reply.at("detail") == "1 error in the configuration");
  CHECK(reply.at("errors") == json::parse(R"([{"file":"weir.yaml","line":4,"column":7,"message":"x is \"bad\""}])"));
  f.outcome.kind = ReloadOutcome::Kind::refused;
  CHECK(reload().status == 409);
  f.outcome.kind = ReloadOutcome::Kind::failed;
  CHECK(reload().status == 500);
}

TEST_CASE("the fields of a question") {
  Fixture f;
  const auto reply =
      Api(f.sources()).answer("GET", "/api/v1/explain?url=/ok&header=A:+1&header=B:", Surface::everything);
  const auto told = json::parse(reply.body);
  CHECK(told.at("detail") == "A=1;B=;");
  CHECK(told.at("outcome") == "refused");
  CHECK(told.at("chosen").is_null());
}

TEST_CASE("the values of a query") {
  CHECK(query_value("a=1&b=2%20x&c", "b") == "2 x");
  CHECK(query_value("a=1&b=%zz%4", "b") == "%zz%4");
  CHECK(query_value("a=1&b=2&c", "c") == "");
  CHECK(query_value("", "c") == "");
  CHECK(query_value("a=%41+%2B", "a") == "A +");
  CHECK(query_values("h=1&a=2&h=3", "h") == std::vector<std::string>{"1", "3"});
}

TEST_CASE("the process as JSON") {
  Fixture f;
  const auto status = json::parse(Api(f.sources()).answer("GET", "/api/v1/status", Surface::everything).body);
  CHECK(status.at("file") == "/etc/weir/weir.yaml");
  CHECK(status.at("listeners") == json::parse(R"([{"name":"web","address":"0.0.0.0:80"}])"));
  CHECK(status.at("backends") == json::parse(R"({"all":3,"usable":3})"));
  CHECK(status.at("connections").to_number<int>() == 7);
  CHECK(status.at("workers").to_number<int>() == 2);
  CHECK(status.at("started").is_null());
}
