// Wrong files: one change of a good file each, and exactly one error, at its place (@@), with what to write instead.
#include "tests/unit/config/support.hpp"

using namespace weir::config;
using namespace weir::config::test;

namespace {

const std::string kBase = R"(workers: 2
keys: { session: { cookie: SID } }
trusted_proxies: [10.0.0.0/8]
limits: { header_count: 100, memory: 1GiB }
http: { expose: false }
log: { access: stdout }
admin: { bind: "127.0.0.1:9901", metrics: { bind: ":9902" } }
drain_timeout: 30s
defaults: { retry: { when: [connect] } }
listeners:
  web: { bind: ":8080", timeout: { header: 10s } }
  two: { bind: ":8081" }
pools:
  app:
    balance: { consistent_hash: session, bound: 150% }
    host: keep
    health: { path: /healthz, interval: 2s, expect: { status: 200-299 } }
    eject: { after: 5, for: 30s, max: 5m }
    limits: { queue_timeout: 1s }
    backends:
      a: { url: "http://127.0.0.1:9001", weight: 1 }
      b: "http://127.0.0.1:9002"
routes:
  - match: { listener: web, host: a.example.com, path: "/a/*", method: GET, header: { X-A: "1" } }
    pool: app
    rewrite: { prefix: [/a, /] }
    request_headers: { set: { X-B: "1" } }
    timeout: { total: 10s }
  - match: { path: /moved }
    redirect: { status: 301, path: /new }
  - match: { path: /fixed }
    respond: { status: 200, body: text }
  - pool: app
)";

struct Mutation {
  const char *from, *to, *words;
};

void check(const std::vector<Mutation>& mutations) {
  for (const auto& mutation : mutations) {
    INFO(mutation.from << " → " << mutation.to);
    check_error(replaced(kBase, mutation.from, mutation.to), mutation.words);
  }
}

}  // namespace

TEST_CASE("the base of the mutations is good") { good(kBase); }

TEST_CASE("keys") {
  check({
      {"drain_timeout:", "@@drain_timeot:", "unknown key \"drain_timeot\"; did you mean \"drain_timeout\"?"},
      {"timeout: { header", "@@timeouts: { header",
       "listener web: unknown key \"timeouts\"; did you mean \"timeout\"?"},
      {"eject: {", "@@zzz: {", "pool app: unknown key \"zzz\"; the keys here are: balance, "},
      {"bound: 150%", "@@boundary: 1", "pool app: balance: unknown key \"boundary\""},
      {"workers: 2\n", "workers: 2\n@@workers: 3\n",
       "\"workers\" is here twice; it stands first in line 1, column 1: keep one"},
      {"  two: {", "  @@web: {", "\"web\" is here twice; it stands first in line 11, column 3"},
      {"drain_timeout: 30s", "@@drain_timeout:", "drain_timeout: it has no value; write one, or remove the line"},
      {"limits: { header_count: 100, memory: 1GiB }", "@@limits:", "limits: it has no value"},
      {"drain_timeout: 30s", "@@[a]: 30s", "a key must be a word"},
      {"drain_timeout: 30s", "@@true: 30s", "unknown key \"true\""},
      {"  two: {", "  @@\"t wo\": {", "\"t wo\" can't be a name; write 1 to 64 of"},
      {"  app:\n", "  @@äpp: { backends: { a: \"unix:/a\" } }\n  app:\n", "can't be a name"},
      {"      b: \"http", "      @@b/: \"http", "pool app: backends: \"b/\" can't be a name"},
      {"  two: { bind", "  two: @@{ mode: http }\n  three: { bind",
       "listener two: bind is missing; write bind: \":8080\""},
  });
}

TEST_CASE("values of the wrong kind") {
  check({
      {"workers: 2", "workers: @@[2]", "workers: a list stands where a single value is needed"},
      {"workers: 2", "workers: @@{ a: 2 }", "workers: a map stands where a single value is needed"},
      {"limits: { header_count: 100, memory: 1GiB }", "limits: @@5",
       "limits: a single value stands where keys are needed; write a map; its keys are: connections, memory, "},
      {"[10.0.0.0/8]", "@@10.0.0.0/8", "a list is needed here; write it in brackets"},
      {"expose: false", "expose: @@yes", "http.expose: yes is neither true nor false; write true or false"},
      {"expose: false", "expose: @@\"true\"", "write true without quotes"},
      {"workers: 2", "workers: @@\"2\"", "write 2 without quotes"},
      {"workers: 2", "workers: @@02", "begins with a zero, which some read as octal; write 2"},
      {"workers: 2", "workers: @@0x2", "0x2 is not a whole number; write 1 to 256, or auto"},
      {"workers: 2", "workers: @@2.5", "2.5 is not a whole number"},
      {"workers: 2", "workers: @@-1", "-1 is negative"},
      {"workers: 2", "workers: @@+1", "+1 is not a number"},
      {"workers: 2", "workers: @@257", "257 is out of range; write 1 to 256, or auto"},
      {"workers: 2", "workers: @@0", "0 is out of range"},
      {"workers: 2", "workers: @@99999999999999999999", "is too large"},
      {"header_count: 100", "header_count: @@300", "limits.header_count: 300 is out of range; write 8 to 256"},
      {"memory: 1GiB", "memory: @@1GB", "1GB has an unknown unit; write 1GiB"},
      {"memory: 1GiB", "memory: @@1073741824", "1073741824 has no unit"},
      {"memory: 1GiB", "memory: @@1MiB", "1MiB is out of range; write 16MiB to 64TiB"},
      {"memory: 1GiB", "memory: @@9007199254740993TiB", "is too large"},
      {"drain_timeout: 30s", "drain_timeout: @@30", "30 has no unit; write 30s or 30ms"},
      {"memory: 1GiB", "memory: @@10M", "10M has an unknown unit; write 10MiB"},
      {"memory: 1GiB", "memory: @@64k", "64k has an unknown unit; write 64KiB"},
      {"memory: 1GiB", "memory: @@512MB", "512MB has an unknown unit; write 512MiB"},
      {"memory: 1GiB", "memory: @@512mb", "512mb has an unknown unit; write 512MiB"},
      {"memory: 1GiB", "memory: @@1x", "1x has an unknown unit; write a size like 512B, 32KiB"},
      {"memory: 1GiB", "memory: @@1.5GiB", "1.5GiB is not a whole number; write 1536MiB"},
      {"memory: 1GiB", "body_min_rate: @@1k", "1k has an unknown unit; write 1KiB/s"},
      {"drain_timeout: 30s", "drain_timeout: @@30 s", "30 s has an unknown unit; write 30s"},
      {"drain_timeout: 30s", "drain_timeout: @@30sec", "30sec has an unknown unit; write 30s"},
      {"drain_timeout: 30s", "drain_timeout: @@5min", "5min has an unknown unit; write 5m"},
      {"drain_timeout: 30s", "drain_timeout: @@30x",
       "30x has an unknown unit; write a duration like 500ms, 2s, 5m, 1h"},
      {"drain_timeout: 30s", "drain_timeout: @@1.5s", "1.5s is not a whole number; write 1500ms"},
      {"drain_timeout: 30s", "drain_timeout: @@1.5", "1.5 is not a whole number; write a smaller unit"},
      {"drain_timeout: 30s", "drain_timeout: @@off", "off is not a number with a unit"},
      {"drain_timeout: 30s", "drain_timeout: @@2d", "2d is out of range; write 0s to 1d"},
      {"header: 10s", "header: @@0s", "listener web: timeout.header: 0s is out of range; write 100ms to 10m"},
      {"bound: 150%", "bound: @@1.5", "pool app: balance.bound: 1.5 is not a whole number; write 150%"},
      {"after: 5", "at_most: @@0.5", "eject.at_most: 0.5 is not a whole number; write 50%"},
      {"after: 5", "at_most: @@0.5%", "eject.at_most: 0.5% is not a whole number; write 0% to 100%"},
      {"weight: 1 }", "weight: @@1.5 }", "weight: 1.5 is not a whole number; write 0 to 1000"},
      {"    host: keep\n", "    timeout: @@30s\n",
       "pool app: timeout: a single value stands where keys are needed; write { response: 30s }"},
      {"timeout: { total: 10s }", "timeout: @@10s",
       "a single value stands where keys are needed; write { total: 30s }"},
      {"timeout: { header: 10s }", "timeout: @@10s", "write { header: 10s }"},
      {"bound: 150%", "bound: @@150", "150 has no unit; write 150%"},
      {"bound: 150%", "bound: @@90%", "90% is out of range; write 100% to 1000%"},
      {"access: stdout", "access: @@logs/x", "write stdout, off, or an absolute path"},
      {"access: stdout", "format: @@jsn", "\"jsn\" is not known here; did you mean \"json\"?"},
  });
}

TEST_CASE("addresses") {
  check({
      {"bind: \":8080\"", "bind: @@8080", "8080 is no address to listen on; write \":8080\""},
      {"bind: \":8080\"", "bind: @@127.0.0.1", "write \"127.0.0.1:80\""},
      {"bind: \":8080\"", "bind: @@[]", "this list is empty"},
      {"bind: \":8080\"", "bind: @@example.com:80", "is no address to listen on"},
      {"\":8081\"", "@@\":8080\"",
       "is taken already by listener web: bind at weir.yaml:11:16; write another address or port"},
      {"\":8081\"", "@@\"127.0.0.1:8080\"", "overlaps"},
      {"\":8081\"", "@@\"0.0.0.0:8080\"", "overlaps"},
      {"\":8081\"", "[\"[::1]:8082\", @@\"[::]:8082\"]", "overlaps"},
      {"\":9902\"", "@@\"127.0.0.1:9901\"", "is taken already by admin.bind"},
      {"bind: \"127.0.0.1:9901\"", "bind: @@\":9901\"",
       "admin.bind: :9901 can be reached from other machines, which needs a token; write token_file: PATH"},
      {"admin: { ", "admin: { socket: @@admin.sock, ", "admin.socket: admin.sock is no path for a socket"},
      {"admin: { ", "admin: { token_file: @@/t, ", "admin.token_file: /t can't be read"},
      {"[10.0.0.0/8]", "[@@10.0.0.0/33]", "is no block of addresses"},
      {"[10.0.0.0/8]", "[10.0.0.0/8, @@10.0.0.0/8]", "is here twice"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\"http://app..internal:9002\"",
       "\"app..internal\" is no name for DNS; write one like app.internal"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\"http://127.0.0.1:9002/x\"",
       "a path can't stand in a backend's URL; use `rewrite: { prefix: [/, /x] }` in the route"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@127.0.0.1:9002", "the scheme is missing; write http://127.0.0.1:9002"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@9002", "9002 is no address; write http://127.0.0.1:9002"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\":9002\"", ":9002 is no address; write http://127.0.0.1:9002"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\"ftp://127.0.0.1:9002\"", "this scheme is not known"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\"http://127.0.0.1:99999\"", "\"99999\" is no port"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\"http://127.0.0.1:0\"", "\"0\" is no port"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\"http://127.0.0.1:\"", "\"\" is no port"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\"http://me@127.0.0.1:9002\"", "a user name in the URL is not supported"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\"http://127.0.0.1:9002?a\"", "a query can't stand here"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\"http://127.0.0.256\"", "127.0.0.256 is no IP address"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\"http://::1\"",
       "an IPv6 address needs brackets; write http://[::1]:8080"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\"http://0.0.0.0:9002\"", "no place to connect to"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@\"unix:\"", "no path of a unix socket"},
      {"b: \"http://127.0.0.1:9002\"", "b: @@{ weight: 2 }",
       "backend b: url is missing; write url: \"http://IP:PORT\""},
      {"weight: 1 }", "weight: @@1001 }", "1001 is out of range; write 0 to 1000"},
  });
}

TEST_CASE("discovery") {
  check({
      {"    host: keep\n", "    discover: @@{}\n", "there is no name; write { dns: app.internal:8080 }"},
      {"    host: keep\n", "    discover: { dns: a.b, @@srv: _a._tcp.b }\n", "dns and srv exclude each other"},
      {"    host: keep\n", "    discover: { dns: @@\"http://app.internal:80\" }\n", "write app.internal:80"},
      {"    host: keep\n", "    discover: { dns: @@10.0.0.1:80 }\n", "10.0.0.1:80 is an address, which needs no DNS"},
      {"    host: keep\n", "    discover: { dns: @@\"app.internal:http\" }\n", "\"http\" is no port"},
      {"    host: keep\n", "    discover: { dns: @@\"a b\" }\n", "\"a b\" is no name for DNS"},
      {"    host: keep\n", "    discover: { srv: @@\"_a._tcp.b:80\" }\n", "SRV records say the port themselves"},
      {"    host: keep\n", "    discover: { dns: a.b, max_backends: @@0 }\n", "write 1 to 1000"},
      {"    host: keep\n", "    discover: { @@dsn: a.b, dns: a.b }\n", "did you mean \"dns\"?"},
      {"drain_timeout: 30s\n", "resolver: { servers: [@@dns.internal] }\n", "is no address of a DNS server"},
      {"drain_timeout: 30s\n", "resolver: { servers: [@@\"0.0.0.0:53\"] }\n", "is no address of a DNS server"},
      {"drain_timeout: 30s\n", "resolver: { resolv_conf: @@resolv.conf }\n", "is no absolute path"},
      {"drain_timeout: 30s\n", "resolver: @@{ min_ttl: 1m, max_ttl: 5s }\n", "min_ttl is longer than max_ttl"},
  });
}

TEST_CASE("pools") {
  check({
      {"consistent_hash: session", "consistent_hash: @@sesion",
       "there is no key \"sesion\"; did you mean \"session\"?"},
      {"consistent_hash: session", "consistent_hash: @@tenant", "name it under `keys:`"},
      {"consistent_hash: session", "consistent_hash: { @@cooky: A }",
       "unknown key \"cooky\"; did you mean \"cookie\"?"},
      {"consistent_hash: session", "consistent_hash: { cookie: @@\"S ID\" }", "can't be the name of a cookie"},
      {"consistent_hash: session", "consistent_hash: @@[session]", "a list stands where keys are needed"},
      {"balance: { consistent_hash: session, bound: 150% }", "balance: @@least_conections",
       "there is no algorithm \"least_conections\"; did you mean \"least_connections\"?"},
      {"balance: { consistent_hash: session, bound: 150% }", "balance: @@magic",
       "write one of: consistent_hash, latency, least_connections, power_of_two, random, round_robin"},
      {"balance: { consistent_hash: session, bound: 150% }", "balance: @@consistent_hash",
       "consistent_hash needs a key"},
      {"balance: { consistent_hash: session, bound: 150% }", "balance: @@{ bound: 150% }",
       "consistent_hash is missing"},
      {"session: {", "@@path: { cookie: X }, session: {", "key path: path is a built-in key; take another name"},
      {"session: { cookie: SID }", "session: @@{ cookie: SID, header: X }", "a key is made of exactly one thing"},
      {"session: { cookie: SID }", "session: { @@cooky: SID }", "unknown key \"cooky\"; did you mean \"cookie\"?"},
      {"session: { cookie: SID }", "session: { cookie: @@\"S ID\" }", "can't be the name of a cookie"},
      {"session: { cookie: SID }", "session: { path: @@/t }", "exactly one segment becomes the key; mark it with {}"},
      {"session: { cookie: SID }", "session: { path: @@\"/t/{id}\" }", "has no name here; write {}"},
      {"session: { cookie: SID }", "session: { first_of: @@[] }", "first_of takes a list of keys"},
      {"session: { cookie: SID }", "session: { first_of: [{ @@first_of: [client] }] }", "unknown key \"first_of\""},
      {"session: { cookie: SID }", "session: { client: @@false }", "write client: true"},
      {"host: keep", "host: @@\"a b\"", "\"a b\" can't be a host"},
      {"host: keep", "host: @@\"*.example.com\"", "no wildcard can stand here"},
      {"host: keep", "host: @@\"a.example.com:http\"", "\"http\" is no port"},
      {"path: /healthz,", "path: @@healthz,", "health.path: \"healthz\" does not begin with /; write /healthz"},
      {"path: /healthz,", "path: @@\"/a b\",", "write it %-encoded"},
      {"path: /healthz, interval", "@@path: /healthz, type: tcp, interval",
       "path is for HTTP checks alone; write type: http, or remove it"},
      {"status: 200-299", "status: @@299-200", "is no status from 100 to 599"},
      {"status: 200-299", "status: @@20", "is no status from 100 to 599"},
      {"health: { path: /healthz, interval: 2s, expect: { status: 200-299 } }", "health: @@{ interval: 2s }",
       "there is no type; write path: /healthz for HTTP checks, or type: tcp"},
      {"health: { path: /healthz, interval: 2s, expect: { status: 200-299 } }", "health: @@true",
       "true does not say how to check"},
      {"health: { path: /healthz, interval: 2s, expect: { status: 200-299 } }", "health: @@/healthz",
       "health: keys are needed here; write { path: /healthz }"},
      {"health: { path: /healthz, interval: 2s, expect: { status: 200-299 } }", "health: @@tcp", "write { type: tcp }"},
      {"health: { path: /healthz, interval: 2s, expect: { status: 200-299 } }", "health: @@off",
       "off is neither true nor false"},
      {"eject: { after: 5, for: 30s, max: 5m }", "eject: @@{ for: 10m, max: 5m }", "max is shorter than for"},
      {"when: [connect]", "when: [@@conect]",
       "\"conect\" is no reason to retry; write connect, reset, timeout, or a status from 400 to 599"},
      {"when: [connect]", "when: [@@200]", "\"200\" is no reason to retry"},
      {"when: [connect]", "methods: [GET, @@POST]", "POST is not idempotent"},
      {"    backends:\n      a: { url: \"http://127.0.0.1:9001\", weight: 1 }\n      b: \"http://127.0.0.1:9002\"",
       "    @@backends:\n      a: { url: \"http://127.0.0.1:9001\", weight: 0 }", "every backend has weight 0"},
  });
}

TEST_CASE("routes") {
  check({
      {"  - pool: app\n", "  - pool: @@ap\n", "route 4: pool: there is no pool \"ap\"; did you mean \"app\"?"},
      {"  - pool: app\n", "  - pool: @@else\n", "the pools are: app"},
      {"listener: web", "listener: @@wep",
       "route 1: match.listener: there is no listener \"wep\"; did you mean \"web\"?"},
      {"  - pool: app\n", "  - @@{}\n", "route 4: nothing says where requests go"},
      {"  - pool: app\n", "  - @@app\n", "a single value stands where keys are needed"},
      {"    rewrite: {", "    @@respond: { status: 200 }\n    rewrite: {", "only one of pool, redirect and respond"},
      {"host: a.example.com", "host: @@a.example.com:80",
       "a host is matched without its port; write \"a.example.com\""},
      {"host: a.example.com", "host: @@\"*\"", "is any host, and so is no host at all"},
      {"host: a.example.com", "host: @@\"a.*.com\"", "write *.example.com"},
      {"host: a.example.com", "host: @@a..com", "has an empty label"},
      {"host: a.example.com", "host: @@bücher.example", "punycode"},
      {"path: \"/a/*\"", "path: @@a", "does not begin with /; write /a"},
      {"path: \"/a/*\"", "path: @@\"*\"", "write /* for every path"},
      {"path: \"/a/*\"", "path: @@\"~ ^/a\"",
       "regular expressions are not supported; write a prefix like /a/*, or {name} for one segment"},
      {"path: \"/a/*\"", "path: @@\"/[a-z]*\"", "regular expressions are not supported"},
      {"path: \"/a/*\"", "path: @@\"/a*/b\"", "a * can only stand at the end of a path"},
      {"path: \"/a/*\"", "path: @@\"/a/{}\"", "needs a name of letters, digits and _"},
      {"path: \"/a/*\"", "path: @@\"/a/{x}y\"", "must be a whole segment"},
      {"path: \"/a/*\"", "path: @@\"/a/{x}/{x}\"", "is here twice; give each segment a name of its own"},
      {"path: \"/a/*\"", "path: @@\"/a?b=1\"", "the query is not part of the path"},
      {"path: \"/a/*\"", "path: @@\"/a//b\"", "write a single /"},
      {"path: \"/a/*\"", "path: @@\"/a/../b\"", "with . and .. resolved"},
      {"path: \"/a/*\"", "path: @@\"/a%2fb\"", "arrives in upper case; write %2F"},
      {"path: \"/a/*\"", "path: @@\"/%61\"", "arrives decoded and would never match; write a"},
      {"path: \"/a/*\"", "path: @@\"/100%\"", "write %25 for a percent sign"},
      {"path: \"/a/*\"", "path: @@\"/a;b\"", "what stands behind a ; is not matched"},
      {"path: \"/a/*\"", "path: @@/ä", "a path outside ASCII"},
      {"path: \"/a/*\"", "path: @@\"/a b\"", "can't stand in a path"},
      {"method: GET", "method: @@get", "methods are case-sensitive, and \"get\" is none; write GET"},
      {"method: GET", "method: [GET, @@TRACE]", "is always answered with 405"},
      {"method: GET", "method: [GET, @@GET]", "GET is here twice"},
      {"method: GET", "method: @@\"G T\"", "can't be a method"},
      {"header: { X-A: \"1\" }", "header: { @@\"X A\": \"1\" }", "can't be the name of a header"},
      {"header: { X-A: \"1\" }", "header: { X-A: \"1\", @@x-a: \"2\" }", "x-a is here twice in different spellings"},
      {"header: { X-A: \"1\" }", "header: { X-A: @@[\"1\"] }", "a list stands where a single value is needed"},
      {"set: { X-B: \"1\" }", "set: { X-B: \"1\", @@x-b: \"2\" }", "x-b is here twice in different spellings"},
      {"set: { X-B: \"1\" }", "set: { @@Host: x }", "write `host: NAME` in the pool"},
      {"set: { X-B: \"1\" }", "set: { @@Connection: close }", "Connection belongs to one connection"},
      {"set: { X-B: \"1\" }", "remove: [@@Transfer-Encoding]", "Transfer-Encoding belongs to one connection"},
      {"set: { X-B: \"1\" }", "set: { X-B: @@\"a\\r\\nb: c\" }", "can't hold a line break"},
      {"set: { X-B: \"1\" }", "set: { X-B: @@\"a\\0b\" }", "control character"},
      {"prefix: [/a, /]", "prefix: @@/a", "write [/api, /]"},
      {"prefix: [/a, /]", "prefix: [@@a, /]", "does not begin with /"},
      {"prefix: [/a, /]", "prefix: @@[/a, /a]", "nothing is rewritten"},
      {"status: 301,", "status: @@300,", "300 is no status of a redirect; write 301, 302, 303, 307 or 308"},
      {"{ status: 301, path: /new }", "@@{ status: 301 }", "redirects a request to itself"},
      {"path: /new }", "path: @@//evil.example }", "is taken for a host"},
      {"path: /new }", "scheme: @@ftp }", "goes to http or https"},
      {"{ status: 200, body: text }", "{ status: 204, @@body: text }", "a 204 has no body"},
      {"{ status: 200, body: text }", "{ status: @@100 }", "out of range; write 200 to 599"},
      {"total: 10s", "total: @@10", "route 1: timeout.total: 10 has no unit"},
      {"  - match: { path: /fixed }\n", "  - name: @@\"a b\"\n    match: { path: /fixed }\n", "can't be a name"},
  });
}

TEST_CASE("log and tracing") {
  check({
      {"access: stdout", "access: stdout, fields: [@@user-agent]",
       "there is no field \"user-agent\"; did you mean \"user_agent\"?"},
      {"access: stdout", "access: stdout, fields: [time, @@request_header]", "docs/logging.md lists them"},
      {"access: stdout", "access: stdout, fields: [@@response_header-x]", "write response_header.NAME"},
      {"access: stdout", "access: stdout, fields: [@@\"request_header.a b\"]", "can't be the name of a header"},
      {"access: stdout", "access: stdout, fields: [time, @@time]", "time is here twice"},
      {"access: stdout", "access: stdout, fields: [request_header.A, @@request_header.a]", "is here twice"},
      {"access: stdout", "access: stdout, @@fields: []", "this list is empty"},
      {"access: stdout", "access: stdout, format: combined, @@fields: [time]", "write format: json"},
      {"access: stdout", "access: stdout, level: @@debug", "\"debug\" is not known here"},
  });
  const auto tracing = [](const std::string& keys) { return "tracing: { " + keys + " }\n" + kMinimal; };
  check_error("tracing: @@{ sample: 1% }\n" + kMinimal, "otlp is missing; write otlp: http://127.0.0.1:4318");
  check_error(tracing("otlp: @@https://otel.example.com"), "https:// towards a collector is not supported");
  check_error(tracing("otlp: @@\"http://otel.example.com:4318\""), "write an IP address");
  check_error(tracing("otlp: @@\"http://127.0.0.1:4318/v1/traces?x=1\""), "a query can't stand here");
  check_error(tracing("otlp: @@127.0.0.1:4318"), "the scheme is missing; write http://127.0.0.1:4318");
  const std::string otlp = "otlp: \"http://127.0.0.1:4318\", ";
  check_error(tracing(otlp + "sample: @@1"), "1 has no unit; write 1%");
  check_error(tracing(otlp + "sample: @@101%"), "is no share from 0% to 100%");
  check_error(tracing(otlp + "sample: @@0.00001%"), "at most 4 decimals");
  check_error(tracing(otlp + "trust: @@nobody"), "\"nobody\" is not known here");
  check_error(tracing(otlp + "queue: @@1"), "write 64 to");
}

TEST_CASE("a listener with proxy_protocol needs somebody to trust") {
  const std::string listeners = "listeners: { lb: { bind: \":80\", proxy_protocol: true } }\n";
  const std::string rest =
      "pools: { a: { proxy_protocol: v1, backends: { a: \"http://127.0.0.1:9001\" } } }\nroutes: [ { pool: a } ]\n";
  check_error("listeners: { @@lb: { bind: \":80\", proxy_protocol: true } }\n" + rest,
              "listener lb has proxy_protocol, and nobody is trusted to send it; write trusted_proxies");
  check_error(listeners + replaced(rest, "proxy_protocol: v1", "proxy_protocol: @@v3") + "trusted_proxies: [unix]\n",
              "did you mean \"v1\"?");
}

TEST_CASE("compression") {
  const auto route = [](const std::string& compress) {
    return "listeners: { web: { bind: \":80\" } }\npools: { app: { backends: { a: \"http://127.0.0.1:1\" } } }\n"
           "routes: [ { pool: app, compress: " +
           compress + " } ]\n";
  };
  check_error(route("@@yes"), "yes is neither true nor false");
  check_error(route("{ types: @@json }"), "json is no media type; write one like application/json, text/* or *+json");
  check_error(route("{ types: [text/*, @@\"*/*\"] }"), "*/* is no media type");
  check_error(route("{ types: [@@\"text/html; charset=utf-8\"] }"), "is no media type");
  check_error(route("{ types: [@@application/grpc] }"), "gRPC compresses its messages itself");
  check_error(route("{ types: @@[] }"), "this list is empty; name at least one, or remove the key");
  check_error(route("{ algorithms: [@@zstd] }"), "\"zstd\" is not known here");
  check_error(route("{ algorithms: [gzip, @@gzip] }"), "gzip is here twice");
  check_error(route("{ level: @@7 }"), "write 1 to 6");
  check_error(route("{ min_size: @@1024 }"), "1024 has no unit");
  check_error(route("{ @@minsize: 1KiB }"), "min_size");
  check_error("compress: { cpu: @@0% }\n" + std::string(kMinimal), "write 1% to 100%");
  check_error("compress: { memory: @@1MiB }\n" + std::string(kMinimal), "write 4MiB to");
  check_error("compress: @@true\n" + std::string(kMinimal), "write { cpu: 25% }");
}

TEST_CASE("what later releases bring is refused as such") {
  for (const char* key : {"cache: {}", "jobs: {}"})
    check_error("@@" + std::string(key) + "\n" + kMinimal, "is not supported yet");
  check({
      {"admin: { ", "admin: { @@tls: {}, ", "admin: tls is not supported yet"},
      {"expose: false", "expose: false, @@trailers: [X-Sum]", "http: trailers is not supported yet"},
      {"weight: 1 }", "weight: 1, @@database: db }", "backend a: database is not supported yet"},
      {"    host: keep\n", "    protocol: @@h3\n", "\"h3\" is not known here"},
  });
  for (const char* key : {"split", "partition", "shards"})
    check_error(replaced(kBase, "    host: keep\n", fmt::format("    @@{}: x\n", key)),
                fmt::format("pool app: {} is not supported yet", key));
  for (const char* key : {"cache", "canary", "mirror", "async", "scatter"})
    check_error(replaced(kBase, "  - pool: app\n", fmt::format("  - pool: app\n    @@{}: x\n", key)),
                fmt::format("route 4: {} is not supported yet", key));
}

TEST_CASE("what a configuration can't do without") {
  check_error("@@pools: { a: { backends: { a: \"unix:/a\" } } }\nroutes: [ { pool: a } ]\n", "there are no listeners");
  check_error("listeners: { web: { bind: \":80\" } }\n@@routes: []\n", "there are no routes");
  check_error(replaced(kMinimal, "{ backends: { a: \"http://127.0.0.1:9001\", b: \"http://127.0.0.1:9002\" } }",
                       "@@{ host: keep }"),
              "backends is missing");
  check_error(
      replaced(kMinimal, "backends: { a: \"http://127.0.0.1:9001\", b: \"http://127.0.0.1:9002\" }", "@@backends: {}"),
      "a pool without backends answers nothing");
  const LoadResult empty = load_text("# nothing\n");
  CHECK(all(empty.errors) ==
        "weir.yaml:1:1: there are no listeners; write listeners: { web: { bind: \":8080\" } }\n"
        "weir.yaml:1:1: there are no routes; write routes: [ { pool: NAME } ]\n");
}

TEST_CASE("all errors come at once, by place") {
  const LoadResult result = load_text(R"(routes:
  - { pool: ap }
workers: many
pools:
  app: { panic: 5, backends: { a: "ftp://x" } }
listeners: { web: { bind: 80, tls: {} } }
)");
  CHECK_FALSE(result.config);
  CHECK(all(result.errors) == R"(weir.yaml:2:13: route 1: pool: there is no pool "ap"; did you mean "app"?
weir.yaml:3:10: workers: many is not a number; write 1 to 256, or auto
weir.yaml:5:17: pool app: panic: 5 has no unit; write 5%
weir.yaml:5:35: pool app: backend a: this scheme is not known; write http://10.0.0.1:8080, https://[fd00::1]:8443 or unix:/run/app.sock
weir.yaml:6:27: listener web: bind: 80 is no address to listen on; write ":80"
weir.yaml:6:36: listener web: tls: certificate is missing; write certificate: PATH, or try it by weir run --dev
)");
}

TEST_CASE("a forgotten quote is named, though YAML stumbles later") {
  check_error(
      "listeners:\n  web: { bind: \":8080 }   # it's\npools:\n  app: { backends: { a: \"@@http://127.0.0.1:9001\" } "
      "}\n",
      "or is it the quote in line 2, column 16 that is never closed?");
  check_error("listeners:\n  web: { bind: @@\":8080 }\n", "a quote is opened and never closed; close it");
}

TEST_CASE("routes as a map") {
  check_error(replaced(kMinimal, "[ { pool: app } ]", "@@{ pool: app }"),
              "routes: a list is needed here, for routes have an order; write [ { pool: app } ]");
}

TEST_CASE("names of routes are not used twice") {
  check_error(
      replaced(kMinimal, "{ pool: app } ]", "{ name: a, match: { path: /x }, pool: app }, { name: @@a, pool: app } ]"),
      "a is also the name of another route (weir.yaml:3:22); rename one");
}

TEST_CASE("warnings leave the configuration usable") {
  const auto warnings = [](const std::string& text) {
    const LoadResult result = load_text(text);
    INFO(all(result.errors));
    CHECK(result.config);
    return all(result.warnings);
  };
  CHECK(warnings(kBase).empty());
  CHECK(warnings(replaced(kMinimal, "} } }\nroutes", "} }, idle: { backends: { a: \"unix:/a\" } } }\nroutes")) ==
        "weir.yaml:2:93: no route leads to pool idle; remove it, or write a route\n");
  CHECK(warnings("keys: { t: { header: X } }\n" + kMinimal) == "weir.yaml:1:9: nothing uses the key t; remove it\n");
  CHECK(warnings(replaced(kMinimal, "{ backends", "{ timeout: { total: 1s, per_try: 2s }, backends"))
            .find("timeout.per_try is longer than timeout.total") != std::string::npos);
  CHECK(warnings(replaced(kMinimal, "{ pool: app }", "{ pool: app, timeout: { total: 1s, per_try: 2s } }"))
            .find("route 1: timeout.per_try (2000 ms)") != std::string::npos);
  CHECK(warnings(replaced(kMinimal, "{ backends", "{ health: { path: /, interval: 1s, timeout: 2s }, backends"))
            .find("longer than the interval") != std::string::npos);
  const auto loop = [&](const std::string& bind, const std::string& backend) {
    return warnings(replaced(replaced(kMinimal, "\":8080\"", bind), "\"http://127.0.0.1:9001\"", backend));
  };
  CHECK(loop("\":8080\"", "\"http://127.0.0.1:8080\"") ==
        "weir.yaml:2:33: pool app: backend a: 127.0.0.1:8080 is where listener web listens, so that requests would go "
        "round in circles; write another address or port\n");
  CHECK_FALSE(loop("\"10.0.0.1:80\"", "\"http://10.0.0.1\"").empty());
  CHECK_FALSE(loop("\"unix:/a\"", "\"unix:/a\"").empty());
  CHECK(loop("\":8080\"", "\"http://10.0.0.1:8080\"").empty());
  // One listener before the other: what comes in by it goes elsewhere.
  CHECK(warnings("listeners: { web: { bind: \":8080\" }, app: { bind: \":8081\" } }\n"
                 "pools: { a: { backends: { x: \"http://127.0.0.1:8081\" } }, b: { backends: { y: "
                 "\"http://127.0.0.1:9001\" } } }\n"
                 "routes: [ { match: { listener: web }, pool: a }, { pool: b } ]\n")
            .empty());
  CHECK(loop("\"10.0.0.2:8080\"", "\"http://127.0.0.1:8080\"").empty());
  CHECK(loop("\"unix:/a\"", "\"unix:/b\"").empty());
  CHECK(warnings(replaced(kBase, "prefix: [/a, /]", "prefix: [/b, /]"))
            .find("no path that matches /a/* begins with /b") != std::string::npos);
  CHECK(warnings(replaced(kBase, "    respond:", "    timeout: { total: 1s }\n    respond:"))
            .find("timeout has no effect in a route without a pool") != std::string::npos);
}
