// Mode tcp: what listeners and pools of it take, and what is wrong in them.
#include "tests/unit/config/support.hpp"

using namespace weir::config;
using namespace weir::config::test;
using namespace std::chrono_literals;

namespace {

const std::string kTcp = R"(listeners: { db: { bind: ":3306", mode: tcp, pool: db } }
pools: { db: { mode: tcp, backends: { a: 10.0.0.1:3306, b: "tls://db.internal:3307" } } }
)";

void check(const std::string& from, const std::string& to, const std::string& words) {
  INFO(from << " → " << to);
  check_error(replaced(kTcp, from, to), words);
}

}  // namespace

TEST_CASE("tcp: a file without routes") {
  const Config config = good(kTcp);
  const Listener& db = config.listeners.at(0);
  CHECK(db.mode == Mode::tcp);
  CHECK(db.pool == "db");
  CHECK_FALSE(db.defer_accept);
  CHECK(db.send_stall == 0ms);
  CHECK(db.header_timeout == 10s);
  const Pool& pool = config.pools.at(0);
  CHECK(pool.mode == Mode::tcp);
  CHECK(pool.backends[0].address.to_string() == "10.0.0.1:3306");
  CHECK(pool.backends[0].tcp);
  CHECK_FALSE(pool.backends[0].tls);
  CHECK(pool.backends[1].host == "db.internal");
  CHECK(pool.backends[1].port == 3307);
  CHECK(pool.backends[1].tls);
  CHECK(pool.timeout.tunnel == 1h);
  CHECK_FALSE(pool.sessions.close_on_eject);
}

TEST_CASE("tcp: what is asked for is kept") {
  const Config config = good(replaced(kTcp, "pool: db", "pool: db, defer_accept: true, timeout: { send_stall: 20s }"));
  CHECK(config.listeners[0].defer_accept);
  CHECK(config.listeners[0].send_stall == 20s);
}

TEST_CASE("tcp: defaults for HTTP are no hindrance") {
  const Config config = good(
      kTcp + "defaults: { host: upstream, health: { path: /healthz, interval: 7s }, timeout: { response: 5s } }\n");
  const Health& health = config.pools[0].health;
  CHECK(health.type == Health::Type::tcp);
  CHECK(health.interval == 7s);
  CHECK(health.path == "/");
}

TEST_CASE("tcp: server names") {
  const std::string sni = "sni: { WWW.Example.com: db, \"*.example.com\": db }";
  const Config config = good(replaced(kTcp, "pool: db", sni));
  CHECK(config.listeners[0].sni ==
        std::vector<std::pair<std::string, std::string>>{{"www.example.com", "db"}, {"*.example.com", "db"}});
  check("pool: db", "sni: { www.example.com: db, @@WWW.example.com: db }", "www.example.com is here twice");
  check("pool: db", "sni: { @@\"*\": db }", "\"*\" is any host");
  check("pool: db", "sni: { a.example.com: @@dbs }", "there is no pool \"dbs\"; did you mean \"db\"?");
  check("pool: db", "sni: @@{}", "there is no name here");
  check("pool: db", "sni: @@db", "a single value stands where keys are needed");
  const Environment nothing = Environment::none();
  const LoadResult both =
      load_text(replaced(kTcp, "pool: db", "tls: { certificate: x }, " + sni), "weir.yaml", nothing);
  CHECK(all(both.errors).find("TLS ends at this listener") != std::string::npos);
}

TEST_CASE("tcp: listeners that are not in order") {
  check("{ bind: \":3306\", mode: tcp, pool: db }", "@@{ bind: \":3306\", mode: tcp }", "no pool is named");
  check("pool: db", "pool: @@web", "there is no pool \"web\"");
  for (const char* key : {"pool: app", "sni: { a.test: app }", "max_sessions: 3"})
    check_error(replaced(kMinimal, "{ bind: \":8080\" }", fmt::format("{{ bind: \":8080\", @@{} }}", key)),
                "is for a listener of mode: tcp; write mode: tcp, or remove it");
  check("pool: db", "pool: db, @@protocols: [h2]", "protocols are for HTTP");
  check("pool: db", "pool: db, timeout: { @@keep_alive: 3s }", "keep_alive is between two requests");
}

TEST_CASE("tcp: pools that are not in order") {
  const std::string pool = "mode: tcp, backends";
  for (const char* wrong : {"host: keep", "affinity: {}", "protocol: h1"})
    check(pool, std::string("mode: tcp, @@") + wrong + ", backends", "is for HTTP");
  check(pool, "mode: tcp, timeout: { @@response: 3s }, backends", "timeout: response is for HTTP");
  check(pool, "mode: tcp, retry: { @@methods: [GET] }, backends", "methods is for HTTP");
  check(pool, "mode: tcp, health: { @@path: /healthz }, backends", "path is for HTTP");
  check(pool, "mode: tcp, health: { type: @@http }, backends", "write type: tcp");
  check(pool, "mode: tcp, @@balance: { consistent_hash: path }, backends", "path is a key of requests");
  check(pool, "mode: tcp, @@balance: { consistent_hash: { first_of: [client, { cookie: x }] } }, backends",
        "is a key of requests");
  check(pool, "mode: tcp, balance: { consistent_hash: @@snj }, backends", "there is no key \"snj\"");
  check("10.0.0.1:3306", "@@http://10.0.0.1:3306", "carries bytes, not HTTP; write tcp://10.0.0.1:3306");
  check("10.0.0.1:3306", "@@10.0.0.1", "the port is missing");
  check("10.0.0.1:3306", "@@tcp://10.0.0.1:3306/db", "a path can't stand here");
  check("10.0.0.1:3306", "@@3306", "write tcp://127.0.0.1:3306");
  check_error(replaced(kTcp, "db: { mode", "db: @@{ mode") + "defaults: { balance: { consistent_hash: path } }\n",
              "path (of defaults) is a key of requests");
}

TEST_CASE("tcp: the modes of HTTP and TCP don't mix") {
  const std::string http = replaced(kMinimal, "a: \"http://127.0.0.1:9001\"", "a: @@\"tcp://127.0.0.1:9001\"");
  check_error(http, "is for a pool of mode: tcp; write mode: tcp in the pool, or http://127.0.0.1:9001");
  check_error(replaced(kMinimal, "{ backends", "{ @@sessions: { on_eject: close }, backends"),
              "is for a pool of mode: tcp");
  check_error(replaced(kMinimal, "{ backends", "{ @@balance: { consistent_hash: sni }, backends"),
              "sni is a key of mode: tcp");
  check_error(replaced(kMinimal, "{ pool: app }", "{ pool: app, rate_limit: { key: @@sni, rate: 1/s } }"),
              "sni is a key of mode: tcp");
  const std::string both = R"(listeners: { web: { bind: ":80" }, db: { bind: ":3306", mode: tcp, pool: db } }
pools: { app: { backends: { a: "http://127.0.0.1:1" } }, db: { mode: tcp, backends: { a: 10.0.0.1:3306 } } }
routes: [ { pool: app } ]
)";
  good(both);
  check_error(replaced(both, "{ pool: app }", "{ pool: @@db }"), "pool db is of mode: tcp, which no request leads to");
  check_error(replaced(both, "{ pool: app }", "{ match: { listener: @@db }, pool: app }"),
              "listener db is of mode: tcp, where no requests come in");
  check_error(replaced(both, "pool: db }", "pool: @@app }"), "pool app is of mode: http");
  check_error(replaced(both, "routes: [ { pool: app } ]", "@@routes: []"), "there are no routes");
}

TEST_CASE("tcp: what stands for something else says what to write") {
  check("pool: db", "sni: { @@10.0.0.9: db }", "clients that connect to one name no server");
  check("mode: tcp, backends", "mode: tcp, health: { type: @@grpc }, backends",
        "a check of type grpc asks with a request");
  check("pool: db } }", "sni: { @@*.example.com: db } } }", "in quotes");
}
