// docs/causes.md and lb/base/cause.hpp list the same causes with the same facts.
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "lb/base/cause.hpp"
#include "tests/catch.hpp"

using namespace weir;

namespace {

/// The rows of the tables, by cause: status, Proxy-Status type, meaning, what to do.
std::map<std::string, std::vector<std::string>> documented() {
  std::map<std::string, std::vector<std::string>> rows;
  std::ifstream in("docs/causes.md");
  REQUIRE(in);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("| `")) continue;
    std::vector<std::string> cells;
    std::istringstream row(line.substr(1));
    for (std::string cell; std::getline(row, cell, '|');) {
      const size_t first = cell.find_first_not_of(" `"), last = cell.find_last_not_of(" `");
      cells.push_back(first == cell.npos ? "" : cell.substr(first, last - first + 1));
    }
    REQUIRE(cells.size() == 5);
    const std::string name = cells[0];
    cells.erase(cells.begin());
    INFO(name << " stands once");
    CHECK(rows.emplace(name, cells).second);
  }
  return rows;
}

}  // namespace

TEST_CASE("docs/causes.md explains every cause", "[docs]") {
  auto rows = documented();
  for (const auto& cause : kCauses) {
    INFO(cause.name);
    const auto found = rows.find(std::string(cause.name));
    REQUIRE(found != rows.end());
    CHECK(found->second[0] == (cause.status == 0 ? "–" : std::to_string(cause.status)));
    CHECK(found->second[1] == (cause.proxy_status.empty() ? "–" : std::string(cause.proxy_status)));
    CHECK(found->second[2] == cause.help);
    CHECK(found->second[3].size() > 10);
    rows.erase(found);
  }
  for (const auto& [name, cells] : rows) FAIL_CHECK(name << " is documented but doesn't exist");
}
