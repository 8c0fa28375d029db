// The examples of docs/routing.md are true: each YAML block loads, each request of the table behind it takes the route
// it says, and the routes marked dead are the dead ones.
#include <fstream>
#include <sstream>

#include "config/load.hpp"
#include "lb/route/router.hpp"
#include "tests/catch.hpp"
#include "tests/unit/route/reference.hpp"

using namespace weir;
using namespace weir::route;

namespace {

std::string next_code(std::string_view& text) {
  const size_t begin = text.find('`'), end = begin == text.npos ? begin : text.find('`', begin + 1);
  if (end == text.npos) return {};
  std::string code(text.substr(begin + 1, end - begin - 1));
  text.remove_prefix(end + 1);
  return code;
}

/// "| `GET http://host/path?query` with `Name: value`, … at LISTENER | route |"
void check_row(const config::Config& config, std::string_view row) {
  CAPTURE(row);
  const size_t divider = row.find(" | ");
  REQUIRE(divider != row.npos);
  std::string_view left = row.substr(0, divider);
  const auto expected = std::string(row.substr(divider + 3, row.rfind(" |") - divider - 3));

  reference::Request request;
  const std::string line = next_code(left);
  const size_t space = line.find(' '), host = line.find("://") + 3, path = line.find('/', host);
  request.method = line.substr(0, space);
  request.host = line.substr(host, path - host);
  const size_t query = std::min(line.find('?'), line.size());
  request.path = line.substr(path, query - path);
  if (query < line.size()) request.query = line.substr(query + 1);
  for (std::string field = next_code(left); !field.empty(); field = next_code(left)) {
    const size_t colon = field.find(": ");
    request.headers.emplace_back(reference::lower(field.substr(0, colon)), field.substr(colon + 2));
  }
  if (const size_t at = left.find(" at "); at != left.npos) {
    const auto name = left.substr(at + 4);
    while (config.listeners.at(request.listener).name != name) ++request.listener;
  } else {
    while (config.listeners.at(request.listener).name == "internal") ++request.listener;
  }
  const uint32_t route = Router(config).match(request.view());
  CHECK((route == kNoRoute ? "none" : config.routes[route].name) == expected);
}

void check_dead(const config::Config& config, const std::string& yaml) {
  std::vector<std::string> expected, actual;
  std::istringstream lines(yaml);
  for (std::string line; std::getline(lines, line);) {
    const size_t mark = line.find("# dead: "), name = line.find("name: ") + 6;
    if (mark != line.npos)
      expected.push_back(line.substr(name, line.find(',', name) - name) + " by " + line.substr(mark + 8));
  }
  for (const auto& dead : find_dead_routes(config)) {
    std::string by;
    for (const uint32_t earlier : dead.covered_by) by += (by.empty() ? "" : ", ") + config.routes[earlier].name;
    actual.push_back(config.routes[dead.route].name + " by " + by);
  }
  CHECK(actual == expected);
}

}  // namespace

TEST_CASE("the examples of docs/routing.md are true", "[docs]") {
  std::ifstream file("docs/routing.md");
  REQUIRE(file);
  std::optional<config::Config> config;
  size_t blocks = 0, rows = 0;
  std::string yaml;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (inside && line == "```") {
      inside = false;
      auto result = config::load_text(yaml);
      CAPTURE(yaml, result.errors.empty() ? "" : result.errors[0].to_string());
      REQUIRE(result.config);
      config = std::move(result.config);
      check_dead(*config, yaml);
      ++blocks;
    } else if (inside) {
      yaml += line + "\n";
    } else if (line == "```yaml") {
      inside = true;
      yaml.clear();
    } else if (config && line.starts_with("| `") && line.find(" http://") != line.npos) {
      check_row(*config, line);
      ++rows;
    }
  }
  CHECK(blocks == 6);
  CHECK(rows > 25);
}
