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
  CHECK(found[0].covered_by == std::vector<uint32_t>{0});
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

TEST_CASE("several that share out what is below a path") {
  config::Config config;
  config.listeners.emplace_back().name = "web";
  const auto last = [&](std::vector<const char*> patterns) {
    config.routes.clear();
    for (const char* pattern : patterns) config.routes.emplace_back().match = path(pattern);
    const auto found = find_dead_routes(config);
    return found.empty() || found.back().route + 1 != config.routes.size() ? std::vector<uint32_t>()
                                                                           : found.back().covered_by;
  };
  using Routes = std::vector<uint32_t>;
  CHECK(last({"/", "/{x}/*", "/*"}) == Routes{0, 1});
  CHECK(last({"/a", "/a/", "/a/{x}/*", "/a/*"}) == Routes{0, 1, 2});
  CHECK(last({"/a", "/a/{x}/*", "/a/*"}).empty());  // "/a/" is left
  CHECK(last({"/a", "/a/", "/a/{x}", "/a/{x}/", "/a/{y}/{z}/*", "/a/*"}) == Routes{0, 1, 2, 3, 4});
  CHECK(last({"/a", "/a/", "/a/{x}", "/a/{y}/{z}/*", "/a/*"}).empty());  // "/a/b/" is
  CHECK(last({"/a*", "/{x}/", "/{x}/{y}/*", "/a/*"}) == Routes{0});
  CHECK(last({"/", "/{x}", "/{x}/", "/{x}/{y}/b", "/*"}).empty());
  CHECK(last({"/", "/{x}/*", ""}).empty());  // the "*" of OPTIONS
}

TEST_CASE("the earliest route that covers is named, and paths like /a* are not shared out") {
  config::Config config;
  for (const char* pattern : {"/b", "/a*", "/a/*", "/a/x"}) config.routes.emplace_back().match = path(pattern);
  const auto found = find_dead_routes(config);
  REQUIRE(found.size() == 2);
  CHECK(found[0].route == 2);
  CHECK(found[0].covered_by == std::vector<uint32_t>{1});
  CHECK(found[1].route == 3);
  CHECK(found[1].covered_by == std::vector<uint32_t>{1});
}

TEST_CASE("several that share out hosts, methods and listeners") {
  config::Config config;
  for (const char* name : {"web", "admin", "db"}) config.listeners.emplace_back().name = name;
  config.listeners.back().mode = config::Mode::tcp;  // no requests come in there
  const auto add = [&](std::vector<std::string> listeners, std::vector<std::string> names,
                       std::vector<std::string> methods, std::string path = "") {
    Match match;
    match.listeners = std::move(listeners);
    match.hosts = std::move(names);
    match.methods = std::move(methods);
    match.path = std::move(path);
    config.routes.emplace_back().match = match;
  };
  const auto last = [&]() -> std::vector<uint32_t> {
    const auto found = find_dead_routes(config);
    return found.empty() || found.back().route + 1 != config.routes.size() ? std::vector<uint32_t>()
                                                                           : found.back().covered_by;
  };
  using Routes = std::vector<uint32_t>;
  SECTION("hosts") {
    add({}, {"a.com"}, {});
    add({}, {"*.b.com"}, {});
    add({}, {"x.b.com", "a.com"}, {}, "/x");
    CHECK(last() == Routes{0, 1});
    add({}, {"a.com", "b.com"}, {});
    CHECK(last().empty());
  }
  SECTION("methods") {
    add({}, {}, {"GET"}, "/a/*");
    add({}, {}, {"POST", "PUT"}, "/a*");
    add({}, {}, {"GET", "POST"}, "/a/b");
    CHECK(last() == Routes{0, 1});
    add({}, {}, {}, "/a/b");
    CHECK(last().empty());
  }
  SECTION("listeners") {
    add({"web"}, {}, {});
    add({"admin"}, {}, {});
    add({}, {}, {});
    CHECK(last() == Routes{0, 1});
  }
  SECTION("all three, and each is needed") {
    add({"web"}, {"a.com"}, {});
    add({"admin"}, {"a.com"}, {"GET"});
    add({"admin"}, {"a.com"}, {"PUT"});
    add({}, {"b.com"}, {"GET", "PUT"});
    add({}, {"a.com", "b.com"}, {"GET", "PUT"});
    CHECK(last() == Routes{0, 1, 2, 3});
    for (uint32_t i = 0; i < 4; ++i) {
      const auto all = config.routes;
      config.routes.erase(config.routes.begin() + i);
      CHECK(last().empty());
      config.routes = all;
    }
  }
  SECTION("what they ask for beside") {
    add({}, {"a.com"}, {});
    add({}, {"b.com"}, {});
    config.routes[1].match.headers = {{"x", "1"}};
    add({}, {"a.com", "b.com"}, {});
    CHECK(last().empty());
    config.routes[2].match.headers = {{"x", "1"}};
    CHECK(last() == Routes{0, 1});
  }
  SECTION("more than is looked for") {
    std::vector<std::string> names;
    for (int i = 0; i < 2000; ++i) names.push_back("h" + std::to_string(i));
    for (int i = 0; i < 20; ++i) add({}, {names.begin() + i * 100, names.begin() + (i + 1) * 100}, {});
    add({}, names, {});
    CHECK(last().empty());
    config.routes.back().match.hosts.resize(500);
    CHECK(last() == Routes{0, 1, 2, 3, 4});
  }
}
