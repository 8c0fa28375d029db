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

TEST_CASE("what did not load is left alone") {
  auto result = config::load_text("nonsense: 1\n");
  const size_t errors = result.errors.size();
  route::check_routes(result);
  CHECK(errors > 0);
  CHECK(result.errors.size() == errors);
}
