#include "lb/route/pattern.hpp"
#include "lb/route/router.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace weir::route;
using config::Match;

namespace {

/// Is the second of two routes dead?
bool dead(const Match& first, const Match& second) {
  config::Config config;
  config.listeners.emplace_back().name = "web";
  config.listeners.emplace_back().name = "admin";
  config.routes.emplace_back().match = first;
  config.routes.emplace_back().match = second;
  const auto found = find_dead_routes(config);
  if (found.empty()) return false;
  CHECK(found.size() == 1);
  CHECK(found[0].route == 1);
  CHECK(found[0].covered_by == 0);
  return true;
}
Match path(std::string text) {
  Match match;
  match.path = std::move(text);
  return match;
}
Match hosts(std::vector<std::string> names) {
  Match match;
  match.hosts = std::move(names);
  return match;
}

}  // namespace

TEST_CASE("coverage of paths") {
  struct Row {
    const char *first, *second;
    bool dead;
  };
  const Row row = GENERATE(values<Row>({
      {"/a", "/a", true},
      {"/a", "/b", false},
      {"", "/a", true},
      {"", "", true},
      {"/*", "", false},
      {"/*", "/", true},
      {"/*", "/a*", true},
      {"/a/*", "/a", true},
      {"/a/*", "/a/", true},
      {"/a/*", "/a/b/{x}", true},
      {"/a/*", "/a/b*", true},
      {"/a/*", "/ab", false},
      {"/a/*", "/a*", false},
      {"/a", "/a/*", false},
      {"/a*", "/a", true},
      {"/a*", "/a/*", true},
      {"/a*", "/ab*", true},
      {"/a*", "/ab/c", true},
      {"/a*", "/{x}", false},
      {"/ab*", "/a*", false},
      {"/a/b*", "/a/*", false},
      {"/{x}", "/a", true},
      {"/{x}", "/{y}", true},
      {"/{x}", "/", false},
      {"/a", "/{x}", false},
      {"/{x}/*", "/a*", true},
      {"/{x}/*", "/a/b*", true},
      {"/{x}", "/a*", false},
      {"/{x}/{y}/*", "/a*", false},
      {"/{x}/b", "/a/b", true},
      {"/{x}/b", "/a/c", false},
      {"/a/{x}/*", "/a/b/c", true},
      {"/a/{x}/*", "/a//c", false},
      {"/~a", "/%7ea", true},
  }));
  CAPTURE(row.first, row.second);
  CHECK(dead(path(row.first), path(row.second)) == row.dead);
  CHECK(PathPattern(row.second).matches(PathPattern(row.second).example()));
}

TEST_CASE("coverage of hosts") {
  CHECK(dead(hosts({"a.com"}), hosts({"A.com."})));
  CHECK(dead(hosts({}), hosts({"a.com"})));
  CHECK(dead(hosts({"*"}), hosts({})));
  CHECK(dead(hosts({"*.com"}), hosts({"a.com"})));
  CHECK(dead(hosts({"*.com"}), hosts({"*.a.com"})));
  CHECK(dead(hosts({"*.com"}), hosts({"*.com"})));
  CHECK(dead(hosts({"a.com", "*.b.com"}), hosts({"x.b.com", "a.com"})));
  CHECK_FALSE(dead(hosts({"a.com"}), hosts({})));
  CHECK_FALSE(dead(hosts({"a.com"}), hosts({"a.com", "b.com"})));
  CHECK_FALSE(dead(hosts({"*.a.com"}), hosts({"a.com"})));
  CHECK_FALSE(dead(hosts({"*.a.com"}), hosts({"*.com"})));
  CHECK_FALSE(dead(hosts({"x.a.com"}), hosts({"*.a.com"})));
}

TEST_CASE("coverage of listeners, methods, headers and query") {
  Match first, second;
  SECTION("all listeners named is as good as none") {
    first.listeners = {"admin", "web"};
    CHECK(dead(first, second));
    first.listeners = {"web"};
    CHECK_FALSE(dead(first, second));
    second.listeners = {"web"};
    CHECK(dead(first, second));
    second.listeners = {"web", "admin"};
    CHECK_FALSE(dead(first, second));
  }
  SECTION("methods") {
    first.methods = {"GET", "HEAD"};
    CHECK_FALSE(dead(first, second));
    second.methods = {"HEAD"};
    CHECK(dead(first, second));
    second.methods = {"HEAD", "PUT"};
    CHECK_FALSE(dead(first, second));
  }
  SECTION("headers and query: the earlier may ask for no more") {
    first.headers = {{"x", "1"}};
    CHECK_FALSE(dead(first, second));
    second.headers = {{"x", "2"}};
    CHECK_FALSE(dead(first, second));
    second.headers = {{"y", "1"}, {"x", "1"}};
    CHECK(dead(first, second));
    first.query = {{"v", "*"}};
    CHECK_FALSE(dead(first, second));
    second.query = {{"v", "2"}};
    CHECK(dead(first, second));
    first.query = {{"v", "2"}};
    second.query = {{"v", "*"}};
    CHECK_FALSE(dead(first, second));
  }
}

TEST_CASE("the earliest route that covers is named, and coverage by two together is not looked for") {
  config::Config config;
  for (const char* pattern : {"/b", "/a*", "/a/*", "/a/x"}) config.routes.emplace_back().match = path(pattern);
  const auto found = find_dead_routes(config);
  REQUIRE(found.size() == 2);
  CHECK(found[0].route == 2);
  CHECK(found[0].covered_by == 1);
  CHECK(found[1].route == 3);
  CHECK(found[1].covered_by == 1);

  config::Config split;
  split.listeners.emplace_back().name = "web";
  split.listeners.emplace_back().name = "admin";
  for (const char* listener : {"web", "admin"}) split.routes.emplace_back().match.listeners = {listener};
  split.routes.emplace_back();
  CHECK(find_dead_routes(split).empty());
}
