#include "lb/route/check.hpp"

#include "tests/catch.hpp"

using namespace weir;

namespace {

config::LoadResult checked(const char* routes) {
  auto result = config::load_text(std::string("listeners: { web: { bind: \"127.0.0.1:0\" } }\n"
                                              "pools: { app: { backends: { a: \"http://127.0.0.1:9001\" } } }\n") +
                                  routes);
  REQUIRE(result.errors.empty());
  route::check_routes(result);
  return result;
}

}  // namespace

TEST_CASE("a configuration whose routes can all match stays as it is") {
  const auto result = checked("routes:\n  - { match: { path: /a }, pool: app }\n  - { pool: app }\n");
  CHECK(result.errors.empty());
  REQUIRE(result.config);
  CHECK(result.config->routes.size() == 2);
}

TEST_CASE(
    "every dead route is an error at its own place, naming the route that covers it, and nothing is left to run") {
  const auto result = checked(
      "routes:\n"
      "  - { name: all, pool: app }\n"
      "  - { name: first, match: { path: /a }, pool: app }\n"
      "  - { name: second, match: { method: GET }, pool: app }\n");
  CHECK_FALSE(result.config);
  REQUIRE(result.errors.size() == 2);
  CHECK(result.errors[0].at.line == 5);
  CHECK(result.errors[1].at.line == 6);
  CHECK(result.errors[0].to_string().find("weir.yaml:5:") == 0);
  CHECK(result.errors[0].message.find("route first can never match: route all (line 4)") == 0);
  CHECK(result.errors[1].message.find("route second can never match") == 0);
}

TEST_CASE("routes that cover another together are all named, or how many more there are") {
  std::string text = "routes:\n", list;
  for (int i = 1; i <= 6; ++i) {
    const std::string host = "h" + std::to_string(i);
    text += "  - { name: " + host + ", match: { host: " + host + " }, pool: app }\n";
    list += (i > 1 ? ", " : "") + host;
  }
  const auto two = checked((text + "  - { name: late, match: { host: [h1, h2] }, pool: app }\n").c_str());
  REQUIRE(two.errors.size() == 1);
  CHECK(
      two.errors[0].message ==
      "route late can never match: routes h1 (line 4) and h2 (line 5) together take all of its requests; put this one "
      "before them, or remove it");
  const auto six = checked((text + "  - { name: late, match: { host: [" + list + "] }, pool: app }\n").c_str());
  REQUIRE(six.errors.size() == 1);
  CHECK(six.errors[0].message.find("routes h1 (line 4), h2 (line 5), h3 (line 6) and 3 more together take all") !=
        std::string::npos);
}

TEST_CASE("what did not load is left alone") {
  auto result = config::load_text("nonsense: 1\n");
  const size_t errors = result.errors.size();
  route::check_routes(result);
  CHECK(errors > 0);
  CHECK(result.errors.size() == errors);
}
