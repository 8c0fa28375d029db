// Route patterns. The first line is a request, "host path?query"; each other line is a route, "host path?name=value",
// "-" for no host. The index must find what asking every route in turn finds, and no request may reach a route that is
// reported dead.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "lb/route/router.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace weir;

namespace {

struct Line {
  std::string_view host, path, query;
};

Line split(std::string_view line) {
  Line parts;
  const size_t space = std::min(line.find(' '), line.size());
  parts.host = line.substr(0, space);
  line.remove_prefix(std::min(space + 1, line.size()));
  const size_t mark = std::min(line.find('?'), line.size());
  parts.path = line.substr(0, mark);
  parts.query = line.substr(std::min(mark + 1, line.size()));
  return parts;
}

config::Match match_of(const Line& line) {
  config::Match match;
  if (line.host != "-") match.hosts.emplace_back(line.host);
  match.path = line.path;
  if (line.query.empty()) return match;
  const size_t equals = std::min(line.query.find('='), line.query.size());
  match.query.emplace_back(line.query.substr(0, equals), line.query.substr(std::min(equals + 1, line.query.size())));
  return match;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto next_line = [&text] {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    return split(line);
  };
  const Line first = next_line();
  route::Request request;
  request.method = "GET";
  request.host = first.host;
  request.path = first.path;
  request.query = first.query;
  config::Config config;
  config.listeners.emplace_back().name = "web";
  while (!text.empty() && config.routes.size() < 64) config.routes.emplace_back().match = match_of(next_line());

  const route::Router router(config);
  uint32_t expected = 0;
  while (expected < config.routes.size() && !router.why_not(expected, request).empty()) ++expected;
  if (expected == config.routes.size()) expected = route::kNoRoute;
  if (router.match(request) != expected) fuzz::require("the index and the routes one by one disagree");
  for (const auto& dead : route::find_dead_routes(config)) {
    if (router.why_not(dead.route, request).empty() &&
        std::none_of(dead.covered_by.begin(), dead.covered_by.end(),
                     [&](uint32_t earlier) { return router.why_not(earlier, request).empty(); }))
      fuzz::require("a request reaches a route that is reported dead");
  }
  return 0;
}
