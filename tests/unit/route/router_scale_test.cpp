// Three thousand routes of the unkind sort: the right one is found, and the others are not even asked. A route's header
// condition counts how often it is asked, so that this shows without a clock.
#include "lb/route/router.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace weir::route;

namespace {

constexpr uint32_t kRoutes = 3'000;

config::Config make(config::Match (*match)(uint32_t)) {
  config::Config config;
  for (uint32_t i = 0; i < kRoutes; ++i) {
    auto& route = config.routes.emplace_back();
    route.match = match(i);
    route.match.headers = {{"x", "*"}};
  }
  return config;
}
config::Match match_of(std::string host, std::string path) {
  config::Match match;
  if (!host.empty()) match.hosts = {std::move(host)};
  match.path = std::move(path);
  return match;
}

/// Matches with all conditions on headers fulfilled, or none; `asked` counts them.
uint32_t match(const Router& router, std::string_view host, std::string_view path, uint32_t& asked,
               bool fulfilled = true) {
  struct Count {
    uint32_t asked = 0;
    bool fulfilled;
  } count{0, fulfilled};
  Request request;
  request.method = "GET";
  request.host = host;
  request.path = path;
  request.fields = &count;
  request.has_field = [](const void* fields, std::string_view, std::string_view) {
    auto& all = *static_cast<Count*>(const_cast<void*>(fields));
    ++all.asked;
    return all.fulfilled;
  };
  const uint32_t route = router.match(request);
  asked = count.asked;
  return route;
}

std::string number(uint32_t i) { return std::to_string(i); }

}  // namespace

TEST_CASE("3,000 routes below the same prefix") {
  const Router router(make([](uint32_t i) { return match_of("", "/a/very/long/common/prefix/" + number(i) + "/*"); }));
  uint32_t asked = 0;
  for (uint32_t i = 0; i < kRoutes; i += 7) {
    REQUIRE(match(router, "h", "/a/very/long/common/prefix/" + number(i) + "/x", asked) == i);
    REQUIRE(asked == 1);
  }
  CHECK(match(router, "h", "/a/very/long/common/prefix/x", asked) == kNoRoute);
  CHECK(asked == 0);
}

TEST_CASE("3,000 byte prefixes, one beside the other") {
  const Router router(make([](uint32_t i) { return match_of("", "/svc-" + number(10'000 + i) + "*"); }));
  uint32_t asked = 0;
  for (uint32_t i = 0; i < kRoutes; i += 7) {
    REQUIRE(match(router, "h", "/svc-" + number(10'000 + i) + "x/y", asked) == i);
    REQUIRE(asked == 1);
  }
  CHECK(match(router, "h", "/svc-1000", asked) == kNoRoute);
}

TEST_CASE("3,000 byte prefixes, each within the next") {
  const Router shortest_first(make([](uint32_t i) { return match_of("", "/" + std::string(i + 1, 'a') + "*"); }));
  const Router longest_first(make([](uint32_t i) { return match_of("", "/" + std::string(kRoutes - i, 'a') + "*"); }));
  uint32_t asked = 0;
  const std::string path = "/" + std::string(1'000, 'a') + "b";
  CHECK(match(shortest_first, "h", path, asked) == 0);
  CHECK(asked == 1);
  CHECK(match(longest_first, "h", path, asked) == kRoutes - 1'000);
}

TEST_CASE("3,000 wildcard hosts and as many exact ones") {
  const Router wild(make([](uint32_t i) { return match_of("*.h" + number(i) + ".example.com", "/*"); }));
  const Router exact(make([](uint32_t i) { return match_of("h" + number(i) + ".example.com", "/*"); }));
  uint32_t asked = 0;
  for (uint32_t i = 0; i < kRoutes; i += 7) {
    REQUIRE(match(wild, "a.b.H" + number(i) + ".example.com", "/x", asked) == i);
    REQUIRE(asked == 1);
    REQUIRE(match(exact, "H" + number(i) + ".example.com", "/x", asked) == i);
    REQUIRE(asked == 1);
  }
  CHECK(match(wild, "h1.example.com", "/x", asked) == kNoRoute);
  std::string dots;
  for (int i = 0; i < 127; ++i) dots += "a.";
  CHECK(match(wild, dots + "a", "/x", asked) == kNoRoute);
}

TEST_CASE("names beside literals at every depth") {
  // All 2^11 mixtures of {x} and "a" in eleven segments: each matches the path of all a's.
  const Router router(make([](uint32_t i) {
    std::string path;
    for (int bit = 0; bit < 11; ++bit) path += (i >> bit & 1) != 0 ? "/a" : "/{x}";
    return match_of("", path + "/" + number(i));
  }));
  std::string path;
  for (int bit = 0; bit < 11; ++bit) path += "/a";
  uint32_t asked = 0;
  CHECK(match(router, "h", path + "/1234", asked) == 1234);
  CHECK(asked == 1);
  CHECK(match(router, "h", path + "/none", asked) == kNoRoute);
  CHECK(asked == 0);
}

TEST_CASE("paths of 8 KiB") {
  const Router router(make([](uint32_t i) { return match_of("", "/a/" + number(i) + "/{x}/*"); }));
  uint32_t asked = 0;
  std::string deep;
  for (int i = 0; i < 4'096; ++i) deep += "/a";
  CHECK(match(router, "h", std::string(8'192, '/'), asked) == kNoRoute);
  CHECK(match(router, "h", deep, asked) == kNoRoute);
  CHECK(match(router, "h", "/a/7/x" + deep, asked) == 7);
  CHECK(match(router, "h", "/" + std::string(8'191, 'a'), asked) == kNoRoute);

  config::Config config;
  config.routes.emplace_back().match = match_of("", deep + "/*");
  std::string names;
  for (int i = 0; i < 2'000; ++i) names += "/{x}";
  config.routes.emplace_back().match = match_of("", names);
  CHECK(match(Router(config), "h", deep + deep, asked) == 0);
  CHECK(match(Router(config), "h", std::string(deep, 0, 4'000), asked) == 1);
}

TEST_CASE("routes that differ in headers alone are asked one after the other") {
  // No index can help here: each has to be asked. Up to the first that matches.
  const Router router(make([](uint32_t) { return match_of("", "/a"); }));
  uint32_t asked = 0;
  CHECK(match(router, "h", "/a", asked) == 0);
  CHECK(asked == 1);
  CHECK(match(router, "h", "/a", asked, false) == kNoRoute);
  CHECK(asked == kRoutes);
}

TEST_CASE("the index of 3,000 routes is built and searched for dead routes in reasonable time") {
  // What is quadratic in the common case would show as a hang under the sanitizers.
  const auto config =
      make([](uint32_t i) { return match_of("h" + number(i % 50) + ".example.com", "/svc-" + number(i) + "/*"); });
  CHECK(find_dead_routes(config).empty());
}
