// What the admin API can have done. Each runs on the control thread.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/backend_changes.hpp"
#include "config/load.hpp"
#include "lb/base/state.hpp"
#include "lb/proxy/explain.hpp"
#include "lb/proxy/recent.hpp"

namespace weir::admin {

struct ReloadOutcome {
  enum class Kind {
    applied,
    would_apply,        // a dry run
    bad_configuration,  // `errors` has everything that is wrong
    refused,            // good, but not for a running daemon: `reason`
    failed,             // it could not be put to work (a port in use, say): `reason`
  };
  Kind kind = Kind::applied;
  uint64_t generation = 0;           // that runs now
  std::vector<std::string> changes;  // config::diff
  std::vector<config::Problem> errors, warnings;
  std::string reason;  // why not, in one line; empty when it was, or would be, applied
};

/// The last attempt to change the configuration, dry runs excepted.
struct LastReload {
  int64_t wall_ns = 0;
  ReloadOutcome outcome;
  std::vector<std::string> changes;  // that made the generation that runs now
};

/// What the API tells about the process beside ProcessState.
struct Facts {
  std::string file;                                            // the configuration
  std::vector<std::pair<std::string, std::string>> listeners;  // name and real address
  uint64_t connections = 0;                                    // of clients, open
  std::shared_ptr<const LastReload> last_reload = {};          // null before the first
};

/// What became of a change of a pool's backends.
struct ChangeOutcome {
  uint16_t status = 200;     // of the answer
  std::string problem = {};  // why not; empty: done
};

/// The access log opened anew. No path: there is none.
struct Reopened {
  std::string path = {};
  bool fixed = false;      // standard output: nothing to open
  std::string error = {};  // why not; the old file stays in use
};

struct Control {
  std::function<ReloadOutcome(bool dry_run)> reload = {};
  /// False: it had that order already. `by`: who ordered it, for people.
  std::function<bool(const std::shared_ptr<BackendState>&, BackendOrder, const std::string& by)> order = {};
  /// When it returns, requests to come obey it.
  std::function<ChangeOutcome(const config::BackendChange&, bool persist)> change = {};
  std::function<Facts()> facts = {};
  std::function<proxy::Explanation(const proxy::Question&)> explain = {};
  /// Asks the workers for the requests that they remember (RecentRequests::find over all of them); `done` is called
  /// later, on the control thread, or never if the process ends.
  using Recent = std::vector<proxy::RequestRecord>;
  std::function<void(std::string prefix, size_t limit, std::function<void(Recent)> done)> recent = {};
  /// `done` is called once nothing more will be written to the old file, on the control thread.
  std::function<void(std::function<void(Reopened)> done)> reopen = {};
};

}  // namespace weir::admin
