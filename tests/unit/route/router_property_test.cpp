// The router against a matcher that tries every route in turn, over random configurations and requests.
#include "lb/route/router.hpp"

#include "tests/catch.hpp"
#include "tests/unit/route/reference.hpp"

using weir::route::find_dead_routes;
using weir::route::kNoRoute;
using weir::route::Router;

TEST_CASE("the router finds what trying every route finds") {
  reference::Generator generator(20'260'131);
  size_t compared = 0, found = 0;
  for (uint32_t round = 0; round < 250; ++round) {
    const auto config = generator.config(1 + generator.below(round % 4 == 0 ? 200 : 20));
    const Router router(config);
    for (uint32_t i = 0; i < 100; ++i, ++compared) {
      const auto request = generator.request();
      const uint32_t expected = reference::first_match(config, request), actual = router.match(request.view());
      if (actual != expected) {
        CAPTURE(round, i, request.listener, request.method, request.host, request.path, request.query);
        CAPTURE(expected == kNoRoute ? "none" : config.routes[expected].match.path);
        REQUIRE(actual == expected);
      }
      found += expected != kNoRoute;
    }
  }
  CHECK(compared == 25'000);
  CHECK(found > compared / 4);  // the generator is worth something
  CHECK(found < compared);
}

TEST_CASE("why_not agrees with the rules on every single route") {
  reference::Generator generator(7);
  size_t compared = 0;
  for (int round = 0; round < 200; ++round) {
    const auto config = generator.config(20);
    const Router router(config);
    for (int i = 0; i < 10; ++i) {
      const auto request = generator.request();
      for (uint32_t route = 0; route < config.routes.size(); ++route, ++compared) {
        const bool expected = reference::matches(config, config.routes[route].match, request);
        const auto reason = router.why_not(route, request.view());
        if (reason.empty() != expected) {
          CAPTURE(reason, request.host, request.path, config.routes[route].match.path);
          REQUIRE(reason.empty() == expected);
        }
      }
    }
  }
  CHECK(compared == 40'000);
}

TEST_CASE("no request reaches a route that is reported dead") {
  reference::Generator generator(99);
  size_t dead_routes = 0, alive_routes = 0;
  for (int round = 0; round < 150; ++round) {
    const auto config = generator.config(40);
    std::vector<bool> reached(config.routes.size());
    for (int i = 0; i < 500; ++i) {
      const uint32_t route = reference::first_match(config, generator.request());
      if (route != kNoRoute) reached[route] = true;
    }
    for (const auto& dead : find_dead_routes(config)) {
      CAPTURE(round, dead.route, dead.covered_by, config.routes[dead.route].match.path);
      REQUIRE_FALSE(reached[dead.route]);
      REQUIRE(dead.covered_by < dead.route);
      ++dead_routes;
    }
    for (const bool was_reached : reached) alive_routes += was_reached;
  }
  CHECK(dead_routes > 500);
  CHECK(alive_routes > 500);
}

TEST_CASE("a dead route's requests all reach the route that covers it or an earlier one") {
  // Stronger than the above: each request is made to fit the dead route's own conditions.
  reference::Generator generator(5);
  size_t checked = 0;
  for (int round = 0; round < 300; ++round) {
    const auto config = generator.config(30);
    for (const auto& dead : find_dead_routes(config)) {
      for (int i = 0; i < 60; ++i) {
        const auto request = generator.request();
        if (!reference::matches(config, config.routes[dead.route].match, request)) continue;
        ++checked;
        REQUIRE(reference::matches(config, config.routes[dead.covered_by].match, request));
      }
    }
  }
  CHECK(checked > 1'000);
}

TEST_CASE("planted dead routes are found") {
  reference::Generator generator(31);
  for (int round = 0; round < 300; ++round) {
    auto config = generator.config(20);
    // A copy of an earlier route that asks for as much or more is dead wherever it stands.
    const uint32_t original = generator.below(20);
    auto planted = config.routes[original];
    if (generator.chance(50)) planted.match.headers.emplace_back("x-a", "1");
    if (generator.chance(30)) planted.match.query.emplace_back("v", "2");
    if (generator.chance(30) && planted.match.methods.empty()) planted.match.methods = {"GET"};
    if (generator.chance(30) && planted.match.hosts.empty()) planted.match.hosts = {"*.a.com"};
    if (generator.chance(30) && planted.match.listeners.empty()) planted.match.listeners = {"web"};
    if (generator.chance(30) && planted.match.path.ends_with("/*")) {
      planted.match.path.replace(planted.match.path.size() - 1, 1,
                                 generator.pick({"a", "a/b", "{id}", "*", "ab*", "a/*"}));
    }
    config.routes.push_back(planted);
    const auto dead = find_dead_routes(config);
    CAPTURE(round, config.routes[original].match.path, planted.match.path);
    CHECK(std::any_of(dead.begin(), dead.end(), [](const auto& each) { return each.route == 20; }));
  }
}
