// From a pool as it is configured to the one that serves: names are replaced by what DNS says.
#pragma once
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lb/discover/names.hpp"

namespace weir::discover {

/// Do the pool's backends, or some of them, come from DNS?
bool has_names(const config::Pool& pool);

/// May DNS still name backends of the pool that it hasn't named so far? Not when all its names have been answered.
bool awaits(const config::Pool& configured, const Names& names);

/// The questions that the configuration's names are.
std::set<Question> questions_of(const config::Config& config);

struct Expanded {
  config::Pool pool;
  size_t left_out = 0;  // backends that are more than discover.max_backends
};

/// `before`: the pool as it served so far, null if it didn't. A name that has not been answered yet leaves what was
/// there; an address that is still among a name's is kept.
Expanded expand(const config::Pool& configured, const Names& names, const config::Pool* before);

/// One name of a pool, for people.
struct NameStatus {
  std::string name;     // "app.internal", "_http._tcp.app.internal"
  std::string backend;  // the one that has it in its URL; empty: discover
  View view;
  size_t backends = 0;  // that serve by it
};
/// `serving`: the expanded one.
std::vector<NameStatus> names_of(const config::Pool& configured, const config::Pool& serving, const Names& names);

/// What has changed from one to the other: "10.0.0.1:8080", "b 10.0.0.1:8080 → 10.0.0.2:8080".
struct Difference {
  std::vector<std::string> added, removed, moved;
  bool weights = false;  // or another detail
  bool empty() const { return added.empty() && removed.empty() && moved.empty() && !weights; }
};
Difference difference(const config::Pool& before, const config::Pool& after);

}  // namespace weir::discover
