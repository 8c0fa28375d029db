// Nanoseconds a match for 3 to 3,000 routes, of several shapes. The requests rotate over all routes, so that the larger
// tables pay for their cache misses. Each figure is the best of 60 runs of 4,096.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "lb/base/clock.hpp"
#include "lb/base/rng.hpp"
#include "lb/route/router.hpp"

namespace {

using weir::config::Config;
using weir::config::Match;
using weir::route::Request;
using weir::route::Router;

struct Target {
  std::string host, path;
};
struct Shape {
  const char* name;
  Match (*route)(uint32_t);
  Target (*request)(uint32_t);
};

std::string number(uint32_t i) { return std::to_string(10'000 + i); }
Match with_path(std::string path) {
  Match match;
  match.path = std::move(path);
  return match;
}
Match with_host(std::string host, std::string path) {
  Match match = with_path(std::move(path));
  match.hosts = {std::move(host)};
  return match;
}

const Shape kShapes[] = {
    {"paths /svc-N/*", [](uint32_t i) { return with_path("/svc-" + number(i) + "/*"); },
     [](uint32_t i) {
       return Target{"www.example.com", "/svc-" + number(i) + "/items/42"};
     }},
    {"paths /api/v1/N/{id}", [](uint32_t i) { return with_path("/api/v1/" + number(i) + "/{id}"); },
     [](uint32_t i) {
       return Target{"www.example.com", "/api/v1/" + number(i) + "/42"};
     }},
    {"exact paths", [](uint32_t i) { return with_path("/shop/page-" + number(i)); },
     [](uint32_t i) {
       return Target{"www.example.com", "/shop/page-" + number(i)};
     }},
    {"byte prefixes /svc-N*", [](uint32_t i) { return with_path("/svc-" + number(i) + "*"); },
     [](uint32_t i) {
       return Target{"www.example.com", "/svc-" + number(i) + "-x/items/42"};
     }},
    {"hosts", [](uint32_t i) { return with_host("app-" + number(i) + ".example.com", "/*"); },
     [](uint32_t i) {
       return Target{"app-" + number(i) + ".example.com", "/items/42"};
     }},
    {"wildcard hosts", [](uint32_t i) { return with_host("*.app-" + number(i) + ".example.com", ""); },
     [](uint32_t i) {
       return Target{"www.app-" + number(i) + ".example.com", "/items/42"};
     }},
    {"hosts and paths",
     [](uint32_t i) { return with_host("app-" + number(i % 50) + ".example.com", "/svc-" + number(i) + "/*"); },
     [](uint32_t i) {
       return Target{"app-" + number(i % 50) + ".example.com", "/svc-" + number(i) + "/items"};
     }},
    {"no match", [](uint32_t i) { return with_path("/svc-" + number(i) + "/*"); },
     [](uint32_t i) {
       return Target{"www.example.com", "/other-" + number(i) + "/items"};
     }},
};

double nanoseconds_a_match(const Shape& shape, uint32_t routes, uint32_t& matched) {
  Config config;
  std::vector<Target> targets;
  for (uint32_t i = 0; i < routes; ++i) {
    config.routes.emplace_back().match = shape.route(i);
    targets.push_back(shape.request(i));
  }
  const Router router(config);
  weir::Rng rng(1);
  std::vector<Request> requests;  // 4,096 of them, in random order
  for (int i = 0; i < 4096; ++i) {
    const auto& target = targets[rng.below(routes)];
    requests.push_back({0, "GET", target.host, target.path, {}});
  }
  double best = 1e18;
  for (int run = 0; run < 60; ++run) {
    const auto begin = weir::monotonic_now();
    for (const auto& request : requests) matched += router.match(request) != weir::route::kNoRoute;
    const auto taken = weir::monotonic_now() - begin;
    best = std::min(best, static_cast<double>(taken.count()) / 4096);
  }
  return best;
}

}  // namespace

int main() {
  constexpr uint32_t kCounts[] = {3, 10, 100, 1'000, 3'000};
  std::printf("ns a match%14s", "");
  for (const uint32_t count : kCounts) std::printf("%8u", count);
  std::printf("   3000/3\n");
  uint32_t matched = 0;
  for (const auto& shape : kShapes) {
    std::printf("%-24s", shape.name);
    double first = 0, last = 0;
    for (const uint32_t count : kCounts) {
      last = nanoseconds_a_match(shape, count, matched);
      if (first == 0) first = last;
      std::printf("%8.1f", last);
    }
    std::printf("%9.2f\n", last / first);
  }
  return matched > 0 ? 0 : 1;
}
