#include "lb/admin/api.hpp"

#include <boost/json.hpp>

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
      {"get", "/metrics", Surface::everything, 405, "application/problem+json"},
      {"POST", "/nothing", Surface::everything, 404, "application/problem+json"},
  };
  for (const auto& row : rows) {
    INFO(row.method << " " << row.target);
    const auto reply = api.answer(row.method, row.target, row.surface);
    CHECK(reply.status == row.status);
    CHECK(reply.content_type == row.content_type);
    CHECK(reply.allow == (row.status == 405 ? "GET, HEAD" : ""));
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

TEST_CASE("the index names what there is", "[admin]") {
  Fixture f;
  Api api(f.sources());
  const auto index = api.answer("GET", "/", Surface::everything).body;
  for (const char* path : {"/metrics", "/-/healthy", "/-/ready", "/api/v1/pools", "/api/v1/causes"}) {
    CHECK(index.find("href=\"" + std::string(path) + "\"") != index.npos);
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
    CHECK(refuse(row.host, row.origin, "127.0.0.1", true).empty() == row.allowed);
  }
  CHECK(refuse("weir.internal:9902", "", "10.0.0.1", false).empty());
  CHECK_FALSE(refuse("weir.internal:9902", "http://evil.example", "10.0.0.1", false).empty());
}

TEST_CASE("pools as JSON", "[admin]") {
  Fixture f;
  f.process.generation = 4;
  auto& a = f.backend(0, 0);
  a.status = BackendStatus::down;
  a.reason = "connect \"refused\"";
  a.since_wall_ns = 1'769'860'800'123'000'000;
  a.weight_permille = 500;
  a.inflight.value = 3;
  a.open_connections = 5;
  a.cells[0].requests.add(7);
  a.cells[1].requests.add(1);
  a.cells[1].failures.add(2);
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
        json::parse(R"({"name":"a","address":"127.0.0.1:9001","status":"down","reason":"connect \"refused\"",
      "since":"2026-01-31T12:00:00.123Z","weight":2,"effective_weight":1,"backup":false,"zone":"","inflight":3,"connections":5,
      "requests":8,"failures":2,"latency_ms":{"p50":1.75,"p99":2.485},"ejections":1,"checks_ok":0,"checks_failed":0})"));
  const auto& b = pool.at("backends").at(1);
  CHECK(b.at("status") == "unknown");
  CHECK(b.at("since").is_null());
  CHECK(b.at("latency_ms").at("p50").is_null());
}

TEST_CASE("causes as JSON", "[admin]") {
  const auto value = json::parse(causes_json());
  const auto& causes = value.at("causes").as_array();
  REQUIRE(causes.size() == kCauseCount);
  CHECK(causes[static_cast<size_t>(Cause::connect_refused)].at("name") == "connect_refused");
  CHECK(causes[static_cast<size_t>(Cause::connect_refused)].at("status").to_number<int>() == 502);
  CHECK(causes[static_cast<size_t>(Cause::tunnel_timeout)].at("status").is_null());
}
