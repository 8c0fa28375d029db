#include "config/diff.hpp"

#include "tests/unit/config/support.hpp"

using namespace weir::config;
using namespace weir::config::test;

namespace {

const std::string kBase = R"(workers: auto
limits: { memory: 1GiB }
listeners: { web: { bind: ":8080", timeout: { keep_alive: 75s } } }
pools:
  app:
    balance: round_robin
    health: { path: /a }
    retry: { when: [connect] }
    host: keep
    backends:
      a: "http://127.0.0.1:9001"
      b: "http://127.0.0.1:9002"
  other: { backends: { a: "http://127.0.0.1:9003" } }
routes:
  - { name: one, match: { path: /one }, pool: app }
  - { name: two, match: { path: /two }, respond: { body: old } }
  - { pool: other }
)";

std::vector<std::string> changes(const std::string& from, const std::string& to) {
  return diff(good(kBase), good(replaced(kBase, from, to)));
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("other keys in the old file are a change that shows nothing of them") {
  const std::string one(32, 'a'), two(32, 'b');
  const auto with = [](const std::string& keys) {
    World world;
    world.files["/k"] = keys;
    return good("secret: /k\n" + kBase, world.environment());
  };
  CHECK(diff(with(one), with(one)).empty());
  CHECK(diff(with(one), with(two + "\n" + one)) == Lines{"secret: the old keys (1) → new ones (2)"});
  CHECK(diff(good(kBase), with(one)) == Lines{"secret: unset → /k"});
}

TEST_CASE("a new token is a change that shows nothing of it") {
  const auto with = [](const std::string& token) {
    World world;
    world.files["/t"] = token;
    return good("admin: { token_file: /t }\n" + kBase, world.environment());
  };
  CHECK(diff(with("aaaaaaaaaaaaaaaa"), with("aaaaaaaaaaaaaaaa\n")).empty());
  CHECK(diff(with("aaaaaaaaaaaaaaaa"), with("bbbbbbbbbbbbbbbb")) ==
        Lines{"admin.token_file: the old token → a new one"});
  CHECK(diff(good(kBase), with("bbbbbbbbbbbbbbbb")) == Lines{"admin.token_file: unset → /t"});
}

TEST_CASE("nothing changed") {
  CHECK(diff(good(kBase), good(kBase)).empty());
  CHECK(diff(good(kBase), good("\n\n# elsewhere\n" + kBase)).empty());
  CHECK(changes("      a: \"http://127.0.0.1:9001\"\n      b: \"http://127.0.0.1:9002\"\n",
                "      b: \"http://127.0.0.1:9002\"\n      a: \"http://127.0.0.1:9001\"\n")
            .empty());
  CHECK(changes("keep_alive: 75s", "keep_alive: 75000ms").empty());
  CHECK(changes("host: keep", "eject: true").empty());
}

TEST_CASE("each change is one line in words") {
  CHECK(changes("workers: auto", "workers: 4") == Lines{"workers: auto → 4"});
  CHECK(changes("memory: 1GiB", "memory: 2GiB") == Lines{"limits.memory: 1GiB → 2GiB"});
  CHECK(changes("keep_alive: 75s", "keep_alive: 30s") == Lines{"listener web: timeout.keep_alive 75s → 30s"});
  CHECK(changes("\":8080\"", "[\":8080\", \":8081\"]") ==
        Lines{"listener web: bind [::]:8080 → [[::]:8080, [::]:8081]"});
  CHECK(changes("balance: round_robin", "balance: { consistent_hash: client, bound: 200% }") ==
        Lines{"pool app: balance round_robin → consistent_hash by client, bound 200%"});
  CHECK(changes("health: { path: /a }", "health: false") ==
        Lines{"pool app: health.type http → none", "pool app: health.path /a → /"});
  CHECK(changes("when: [connect]", "when: [connect, 503]") == Lines{"pool app: retry.when [connect] → [connect, 503]"});
  CHECK(changes("host: keep", "host: upstream") == Lines{"pool app: host keep → upstream"});
  CHECK(changes("      b: \"http://127.0.0.1:9002\"\n", "") == Lines{"pool app: backend b removed (127.0.0.1:9002)"});
  CHECK(changes("      b: \"http://127.0.0.1:9002\"\n",
                "      b: \"http://127.0.0.1:9002\"\n      c: { url: \"http://127.0.0.1:9005\" }\n") ==
        Lines{"pool app: backend c added (127.0.0.1:9005)"});
  CHECK(changes("b: \"http://127.0.0.1:9002\"", "b: { url: \"http://127.0.0.1:9009\", weight: 2 }") ==
        Lines{"pool app: backend b: url http://127.0.0.1:9002 → http://127.0.0.1:9009",
              "pool app: backend b: weight 1 → 2"});
  CHECK(changes("  other: {", "  new: { backends: { a: \"unix:/a\", b: \"unix:/b\" } }\n  other: {") ==
        Lines{"pool new added (2 backends)"});
}

TEST_CASE("routes are known by their names") {
  CHECK(changes("path: /one }, pool: app", "path: /one }, pool: other") == Lines{"route 1 (one): pool app → other"});
  CHECK(changes("pool: app }", "pool: app, timeout: { total: 5s } }") ==
        Lines{"route 1 (one): timeout.total unset → 5s"});
  CHECK(changes("body: old", "body: new") == Lines{"route 2 (two): respond.body old → new"});
  CHECK(changes("respond: { body: old }", "redirect: { path: /x }") ==
        Lines{"route 2 (two): redirect unset → set", "route 2 (two): respond set → unset"});
  CHECK(changes("  - { name: two, match: { path: /two }, respond: { body: old } }\n", "") ==
        Lines{"route 2 (two) removed"});
  CHECK(changes("  - { pool: other }",
                "  - { match: { host: a.example.com, path: /x }, pool: app }\n  - { pool: other }") ==
        Lines{"route 3 (a.example.com/x) added"});
  CHECK(changes("  - { name: one, match: { path: /one }, pool: app }\n  - { name: two, match: { path: /two }, respond: "
                "{ body: old } }\n",
                "  - { name: two, match: { path: /two }, respond: { body: old } }\n  - { name: one, match: { path: "
                "/one }, pool: app }\n") == Lines{"routes: their order changed"});
  const std::string long_text(100, 'x');
  const Config before = good(replaced(kBase, "body: old", "body: " + long_text + "1")),
               after = good(replaced(kBase, "body: old", "body: " + long_text + "2"));
  CHECK(diff(before, after) == Lines{"route 2 (two): respond.body changed"});
}

TEST_CASE("a changed key and changed error pages") {
  CHECK(diff(good("keys: { k: { header: A } }\n" +
                  replaced(kBase, "balance: round_robin", "balance: { consistent_hash: k }")),
             good("keys: { k: { cookie: A } }\n" +
                  replaced(kBase, "balance: round_robin", "balance: { consistent_hash: k }"))) ==
        Lines{"pool app: balance consistent_hash by header a → consistent_hash by cookie A"});
  Config before = good(kBase), after = before;
  before.error_pages = {{502, "a"}, {503, "b"}};
  after.error_pages = {{503, "c"}, {504, "d"}};
  CHECK(diff(before, after) == Lines{"error_pages: 502 removed", "error_pages: 503 changed", "error_pages: 504 added"});
}
