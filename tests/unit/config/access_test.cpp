// `rate_limit`, `allow`, `deny`, `auth`: what they take, and what is said of what they don't.
#include "config/diff.hpp"
#include "config/user_file.hpp"
#include "tests/unit/config/support.hpp"

using namespace weir;
using namespace weir::config;
using namespace weir::config::test;

namespace {

const std::string kBcrypt = "$2y$05$" + std::string(53, 'a');
const std::string kSha512 = "$6$saltsalt$" + std::string(86, 'b');
const std::string kSha256 = "$5$rounds=5000$saltsalt$" + std::string(43, 'c');

std::string with(const std::string& keys) {
  return replaced(kMinimal, "[ { pool: app } ]", "\n  - pool: app\n    " + keys + "\n");
}

Route route(const std::string& keys, const World& world = {}) {
  return good(with(keys), world.environment()).routes[0];
}

World users(const std::string& text) {
  World world;
  world.files["users"] = text;
  return world;
}

}  // namespace

TEST_CASE("rate_limit") {
  const auto limit = *route("rate_limit: { key: client, rate: 100/s, burst: 200 }").rate_limit;
  CHECK(limit.key.kind == KeySpec::Kind::client);
  CHECK(limit.rate == Rate{100, 1s});
  CHECK(limit.bucket() == 200);
  CHECK(limit.max_keys == 100'000);
  CHECK(route("rate_limit: { key: path, rate: 5/m }").rate_limit->rate.period == 1min);
  CHECK(route("rate_limit: { key: path, rate: 5/h }").rate_limit->rate.period == 1h);
  CHECK(route("rate_limit: { key: path, rate: 5/h }").rate_limit->bucket() == 5);
  const auto inline_key = route("rate_limit: { key: { first_of: [{ header: X-Key }, client] }, rate: 1/s }").rate_limit;
  CHECK(inline_key->key.first_of.size() == 2);
  const auto named = good("keys: { tenant: { header: X-Tenant } }\n" + with("rate_limit: { key: tenant, rate: 1/s }"));
  CHECK(named.routes[0].rate_limit->key.name == "x-tenant");
}

TEST_CASE("rate_limit that won't do") {
  const auto wrong = [](const std::string& keys, const char* words) { check_error(with(keys), words); };
  wrong("rate_limit: { key: client, rate: @@100 }", "rate_limit.rate: 100 has no unit; write 100/s, 100/m or 100/h");
  wrong("rate_limit: { key: client, rate: @@100/d }", "100/d has an unknown unit; write a rate like 100/s");
  wrong("rate_limit: { key: client, rate: @@fast }", "fast is no rate");
  wrong("rate_limit: { key: client, rate: @@0/s }", "0/s is out of range; write 1/h to 1000000/s");
  wrong("rate_limit: { key: client, rate: @@99999999999/s }", "out of range");
  wrong("rate_limit: @@{ key: client }", "rate is missing; write rate: 100/s");
  wrong("rate_limit: @@{ rate: 1/s }", "key is missing; write key: client, or another key");
  wrong("rate_limit: { key: @@clint, rate: 1/s }", "there is no key \"clint\"; did you mean \"client\"?");
  wrong("rate_limit: { key: { @@heder: X }, rate: 1/s }", "unknown key \"heder\"; did you mean \"header\"?");
  wrong("rate_limit: { key: client, rate: 1/s, burst: @@0 }", "0 is out of range");
  wrong("rate_limit: { key: client, rate: 1/s, max_keys: @@0 }", "0 is out of range");
  wrong("rate_limit: { key: client, rate: 1/s, @@brust: 2 }", "did you mean \"burst\"?");
  wrong("rate_limit: @@100/s", "write { key: client, rate: 100/s, burst: 200 }");
}

TEST_CASE("allow and deny") {
  const Route both = route("allow: [10.0.0.0/8, \"::1\"]\n    deny: 10.1.0.0/16");
  CHECK(both.allow.size() == 2);
  REQUIRE(both.deny.size() == 1);
  CHECK(both.deny[0].to_string() == "10.1.0.0/16");
}

TEST_CASE("allow and deny that won't do") {
  check_error(with("allow: @@office"), "route 1: allow: office is no block of addresses");
  check_error(with("deny: [10.0.0.0/8, @@10.0.0.0/33]"), "route 1: deny: 10.0.0.0/33 is no block of addresses");
  check_error(with("allow: @@[]"), "this list is empty");
}

TEST_CASE("a file of users") {
  UserFile file;
  const auto problems =
      parse_users("# the staff\r\nbob:" + kSha512 + "\r\n\nann:" + kBcrypt + "\ncy d:" + kSha256, file);
  CHECK(problems.empty());
  REQUIRE(file.users.size() == 3);
  CHECK(file.users[0] == std::pair<std::string, std::string>("ann", kBcrypt));
  REQUIRE(file.find("bob"));
  CHECK(file.find("bob")->second == kSha512);
  CHECK(file.find("cy d"));
  CHECK_FALSE(file.find("bo"));
  CHECK_FALSE(file.find(""));
}

TEST_CASE("what is no file of users, each line by itself") {
  struct Case {
    std::string line;
    int column;
    const char* words;
  };
  const std::vector<Case> cases{
      {"ann", 1, "no colon"},
      {":" + kBcrypt, 1, "name is empty"},
      {std::string(256, 'a') + ":" + kBcrypt, 1, "255 bytes"},
      {"a\tb:" + kBcrypt, 1, "control"},
      {" ann:" + kBcrypt, 1, "blank"},
      {"bob:" + kBcrypt, 1, "line 1 already"},
      {"ann:", 5, "no hash"},
      {"ann:secret", 5, "no hash that is taken"},
      {"ann:ab01FAX.bQRSU", 5, "no hash that is taken"},
      {"ann:$apr1$x$y", 5, "MD5 and SHA-1"},
      {"ann:{SHA}x=", 5, "MD5 and SHA-1"},
      {"ann:$y$j9T$x$y", 5, "not known here"},
      {"ann:$2y$05$short", 5, "cut short"},
      {"ann:" + kBcrypt + "x", 5, "cut short"},
      {"ann:" + kBcrypt + ":more", 5, "cut short"},
      {"ann:$2y$15$" + std::string(53, 'a'), 5, "cost of 15"},
      {"ann:$2y$03$" + std::string(53, 'a'), 5, "cost of 3"},
      {"ann:$6$salt$short", 5, "cut short"},
      {"ann:$6$" + std::string(17, 'a') + "$" + std::string(86, 'b'), 5, "cut short"},
      {"ann:$6$rounds=3000000$salt$" + std::string(86, 'b'), 5, "3000000 rounds"},
      {"ann:$6$rounds=x$salt$" + std::string(86, 'b'), 5, "cut short"},
  };
  for (const auto& one : cases) {
    INFO(one.line);
    UserFile file;
    const auto problems = parse_users("bob:" + kBcrypt + "\n" + one.line + "\n", file);
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].line == 2);
    CHECK(problems[0].column == one.column);
    CHECK(problems[0].message.find(one.words) != std::string::npos);
    CHECK(problems[0].message.find("$2y") == std::string::npos);
  }
}

TEST_CASE("auth: the users come with the configuration") {
  const auto auth = *route("auth: { basic: users }", users("ann:" + kBcrypt + "\n")).auth;
  REQUIRE(auth.users);
  CHECK(auth.users->path == "users");
  CHECK(auth.users->find("ann"));
  CHECK(auth.realm == "Restricted");
}

TEST_CASE("auth: a wrong file is named with its line, once") {
  const World world = users("ann:" + kBcrypt + "\nbob:hunter2\n");
  const std::string text = replaced(kMinimal, "[ { pool: app } ]",
                                    "\n  - { match: { path: /a }, pool: app, auth: { basic: users } }\n"
                                    "  - { pool: app, auth: { basic: users } }\n");
  const auto result = load_text(text, "weir.yaml", world.environment());
  INFO(all(result.errors));
  REQUIRE(result.errors.size() == 1);
  CHECK(result.errors[0].to_string().starts_with("users:2:5: route 1: auth.basic: this is no hash that is taken"));
  CHECK(result.errors[0].message.find("hunter2") == std::string::npos);
}

TEST_CASE("auth by a service") {
  const auto auth = *route("auth: { forward: { pool: app, response_headers: X-User } }").auth;
  CHECK_FALSE(auth.users);
  REQUIRE(auth.forward);
  CHECK(auth.forward->pool == "app");
  CHECK(auth.forward->path == "/");
  CHECK(auth.forward->response_headers == std::vector<std::string>{"X-User"});
  CHECK(auth.forward->timeout == 5s);
  // Only the guard uses it.
  const std::string text = replaced(with("auth: { forward: { pool: sso } }"), "pools:     { ",
                                    "pools:     { sso: { backends: { s: \"unix:/s\" } }, ");
  CHECK(load_text(text).warnings.empty());
}

TEST_CASE("auth by a service that won't do") {
  check_error(with("auth: { forward: { pool: @@ap } }"),
              "route 1: auth.forward.pool: there is no pool \"ap\"; did you mean \"app\"?");
  check_error(with("auth: { forward: @@{ path: /verify } }"), "pool is missing; write pool: NAME");
  check_error(with("auth: { forward: { pool: app, path: @@verify } }"), "does not begin with /");
  check_error(with("auth: { forward: { pool: app, response_headers: [@@Connection] } }"), "belongs to one connection");
  check_error(with("auth: { forward: { pool: app, response_headers: [@@Host] } }"), "write `host: NAME` in the pool");
  check_error(with("auth: { forward: { pool: app, timeout: @@0s } }"), "out of range");
  check_error(with("auth: { forward: @@app }"), "write { pool: sso, path: /verify }");
  check_error(with("auth: { forward: { pool: app }, @@realm: x }"), "realm belongs to basic");
  const World world = users("ann:" + kBcrypt);
  check_error(with("auth: { basic: users, @@forward: { pool: app } }"), "only one of basic and forward",
              world.environment());
}

TEST_CASE("auth that won't do") {
  check_error(with("auth: { basic: @@nowhere }"), "nowhere can't be read (there are no files here)");
  check_error(with("auth: @@{ realm: x }"), "nothing says how clients prove who they are");
  check_error(with("auth: @@users"), "write { basic: /etc/weir/users }, or { forward:");
  const World world = users("ann:" + kBcrypt);
  check_error(with("auth: { basic: users, realm: @@'a\"b' }"), "a realm holds no \"", world.environment());
  check_error(with("auth: { basic: users, realm: @@ä }"), "only ASCII", world.environment());
}

TEST_CASE("a change of the users shows in the diff, without a hash") {
  const auto before = good(with("auth: { basic: users }"), users("ann:" + kBcrypt).environment());
  const auto after = good(with("auth: { basic: users }"), users("ann:" + kSha512).environment());
  const auto changes = diff(before, after);
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].find("the users in users changed") != std::string::npos);
  CHECK(changes[0].find('$') == std::string::npos);
  CHECK(diff(before, before).empty());
}
