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
      const uint32_t route = reference::first_match(config, generator.real_request());
      if (route != kNoRoute) reached[route] = true;
    }
    for (const auto& dead : find_dead_routes(config)) {
      CAPTURE(round, dead.route, dead.covered_by.front(), config.routes[dead.route].match.path);
      REQUIRE_FALSE(reached[dead.route]);
      REQUIRE(dead.covered_by.back() < dead.route);
      ++dead_routes;
    }
    for (const bool was_reached : reached) alive_routes += was_reached;
  }
  CHECK(dead_routes > 500);
  CHECK(alive_routes > 500);
}

TEST_CASE("a dead route's requests all reach one of the routes that cover it or an earlier one") {
  // Stronger than the above: each request is made to fit the dead route's own conditions.
  reference::Generator generator(5);
  size_t checked = 0;
  for (int round = 0; round < 300; ++round) {
    const auto config = generator.config(30);
    for (const auto& dead : find_dead_routes(config)) {
      for (int i = 0; i < 60; ++i) {
        const auto request = generator.real_request();
        if (!reference::matches(config, config.routes[dead.route].match, request)) continue;
        ++checked;
        REQUIRE(std::any_of(dead.covered_by.begin(), dead.covered_by.end(), [&](uint32_t earlier) {
          return reference::matches(config, config.routes[earlier].match, request);
        }));
      }
    }
  }
  CHECK(checked > 1'000);
}

namespace {

/// Requests that ask for no more than the route does: where it leaves something open, they have what no pattern names.
std::vector<reference::Request> barest_requests(const weir::config::Config& config, const weir::config::Match& match) {
  const std::string fresh = "fresh";
  const auto filled = [&](std::string path) {
    for (const std::string wild : {"{id}", "{x}"})
      for (size_t at; (at = path.find(wild)) != path.npos;) path.replace(at, wild.size(), fresh);
    return path;
  };
  std::vector<std::string> hosts, methods = match.methods, paths;
  for (const auto& host : match.hosts) hosts.push_back(host.starts_with("*.") ? fresh + host.substr(1) : host);
  if (hosts.empty()) hosts = {"fresh.fresh", ""};
  if (methods.empty()) methods = {"FRESH"};
  std::vector<std::string> more;
  for (std::string begin; begin.size() < 40; begin += "/" + fresh)
    for (const std::string end : {"", "/"}) more.push_back(begin + end);
  const std::string path = filled(match.path);
  if (path.empty())
    paths = {"*", "/", "/fresh/fresh/fresh/fresh"};
  else if (path.ends_with("/*"))
    for (const auto& end : more)
      paths.push_back(path.size() == 2 && end.empty() ? "/" : path.substr(0, path.size() - 2) + end);
  else if (path.ends_with('*'))
    for (const std::string begin : {"", "fresh"})
      for (const auto& end : more) paths.push_back(path.substr(0, path.size() - 1) + begin + end);
  else
    paths = {path};
  std::vector<reference::Request> requests;
  for (const auto& host : hosts)
    for (const auto& method : methods)
      for (const auto& each : paths)
        for (uint32_t listener = 0; listener < config.listeners.size(); ++listener) {
          reference::Request request{listener, method, host, each, "", {}};
          for (const auto& [name, value] : match.headers)
            request.headers.emplace_back(name, value == "*" ? fresh : value);
          for (const auto& [name, value] : match.query)
            request.query += (request.query.empty() ? "" : "&") + name + "=" + (value == "*" ? fresh : value);
          requests.push_back(std::move(request));
        }
  return requests;
}

}  // namespace

TEST_CASE("a route that is not reported dead is reached by a request that asks for no more than it does") {
  // So nothing is missed: since a header, a parameter or a host below "*." may always have a value that no pattern
  // names, several routes can't share those out.
  reference::Generator generator(53);
  size_t alive = 0;
  for (int round = 0; round < 600; ++round) {
    auto config = generator.config(1 + generator.below(60));
    std::vector<bool> dead(config.routes.size());
    for (const auto& each : find_dead_routes(config)) dead[each.route] = true;
    for (uint32_t i = 0; i < config.routes.size(); ++i) {
      if (dead[i]) continue;
      const auto requests = barest_requests(config, config.routes[i].match);
      CAPTURE(round, i, config.routes[i].match.path);
      REQUIRE(std::any_of(requests.begin(), requests.end(),
                          [&](const auto& request) { return reference::first_match(config, request) == i; }));
      ++alive;
    }
  }
  CHECK(alive > 5'000);
}

TEST_CASE("no request made for a dead route reaches it") {
  reference::Generator generator(59);
  size_t tried = 0;
  for (int round = 0; round < 400; ++round) {
    const auto config = generator.config(30);
    const Router router(config);
    for (const auto& dead : find_dead_routes(config)) {
      auto requests = barest_requests(config, config.routes[dead.route].match);
      for (size_t i = requests.size(); i > 0; --i) {  // with what other routes ask for, too
        auto more = generator.real_request();
        more.path = requests[i - 1].path;
        more.headers.insert(more.headers.end(), requests[0].headers.begin(), requests[0].headers.end());
        more.query = requests[0].query + "&" + more.query;
        requests.push_back(std::move(more));
      }
      for (const auto& request : requests) REQUIRE(router.match(request.view()) != dead.route);
      tried += requests.size();
    }
  }
  CHECK(tried > 50'000);
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

TEST_CASE("planted routes that several earlier ones cover together are found") {
  reference::Generator generator(37);
  size_t together = 0;
  for (int round = 0; round < 500; ++round) {
    auto config = generator.config(10);
    weir::config::Match whole;
    whole.path = generator.pick({"", "/a", "/a/*", "/ab*", "/{id}/x", "/{id}/*"});
    whole.hosts =
        generator.chance(60) ? std::vector<std::string>{"a.com", "*.b.com", "c.org"} : std::vector<std::string>();
    whole.methods = generator.chance(60) ? std::vector<std::string>{"GET", "POST", "PUT"} : std::vector<std::string>();
    if (generator.chance(40)) whole.headers.emplace_back("x-a", "1");
    // Taken apart along random lines until the parts are small enough, in any order among the others.
    std::vector<weir::config::Match> parts{whole};
    for (uint32_t cut = 0; cut < 6; ++cut) {
      parts.reserve(parts.size() + 2);  // `part` stays where it is
      auto& part = parts[generator.below(static_cast<uint32_t>(parts.size()))];
      auto other = part;
      const auto halve = [](std::vector<std::string>& a, std::vector<std::string>& b) {
        if (a.size() < 2) return false;
        b.assign(a.begin() + 1, a.end());
        a.resize(1);
        return true;
      };
      bool done = false;
      switch (generator.below(4)) {
        case 2:
          if (!part.path.ends_with("/*")) break;
          other.path = part.path.substr(0, part.path.size() - 1);
          parts.push_back(other);
          other.path = part.path.substr(0, part.path.size() - 1) + "{any}/*";
          part.path.resize(part.path.size() - 2);
          done = true;
          break;
        case 0: done = halve(part.hosts, other.hosts); break;
        case 1: done = halve(part.methods, other.methods); break;
        default:
          if (part.listeners.empty()) {
            for (const auto& listener : config.listeners) part.listeners.push_back(listener.name);
            other.listeners = part.listeners;
          }
          done = halve(part.listeners, other.listeners);
      }
      if (done) parts.push_back(other);
    }
    for (auto& part : parts) {
      if (generator.chance(30)) part.headers.clear();
      const auto at = config.routes.begin() + generator.below(static_cast<uint32_t>(config.routes.size() + 1));
      config.routes.insert(at, weir::config::Route())->match = part;
    }
    const auto planted = static_cast<uint32_t>(config.routes.size());
    config.routes.emplace_back().match = whole;
    const auto dead = find_dead_routes(config);
    CAPTURE(round, whole.path, parts.size());
    REQUIRE_FALSE(dead.empty());
    REQUIRE(dead.back().route == planted);
    together += dead.back().covered_by.size() > 1;
    for (int i = 0; i < 30; ++i) REQUIRE(reference::first_match(config, generator.real_request()) != planted);
    // Without one of the parts it may live, but what is said of it stays true.
    config.routes.erase(config.routes.begin() + generator.below(planted));
    for (const auto& each : find_dead_routes(config))
      for (int i = 0; i < 30; ++i) REQUIRE(reference::first_match(config, generator.real_request()) != each.route);
  }
  CHECK(together > 200);
}
