#include "config/diff.hpp"

#include "config/tables.hpp"

namespace weir::config {

std::vector<std::string> diff(const Config& before, const Config& after) {
  Changes changes;
  root_section().compare(changes, before, after);
  return std::move(changes.lines);
}

}  // namespace weir::config
