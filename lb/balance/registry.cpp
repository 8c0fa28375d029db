// Every algorithm, by the name that the configuration uses. A new one is declared in algorithms.hpp and has its line
// here.
#include <algorithm>

#include "lb/balance/algorithms.hpp"

namespace weir::balance {

std::span<const Algorithm> algorithms() {
  static const Algorithm all[] = {
      consistent_hash(), latency(), least_connections(), power_of_two(), random(), round_robin(),
  };
  return all;
}

const Algorithm* find_algorithm(std::string_view name) {
  const auto all = algorithms();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Algorithm& each) { return each.name == name; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace weir::balance
