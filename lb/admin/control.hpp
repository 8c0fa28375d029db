// What the admin API can have done. Each runs on the control thread.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/backend_changes.hpp"
#include "config/load.hpp"
#include "lb/base/state.hpp"
#include "lb/net/older_processes.hpp"
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

/// How an attempt to hand over to a new process went.
struct UpgradeOutcome {
  enum class Kind {
    done,     // it serves, and this process finishes what it has
    refused,  // nothing was tried: `reason`
    failed,   // this process goes on as before: `reason`
  };
  Kind kind = Kind::done;
  std::string reason;                         // in one line
  std::vector<std::string> details;           // what the new process says about it: errors of the configuration
  bool bad_configuration = false;             // that is what it failed for
  std::string program, version;               // what was started; what it says that it is, once it is ready
  int64_t pid = 0;                            // of the new process; 0: none was started
  std::chrono::milliseconds ready_after{0};   // its start
  uint64_t connections = 0;                   // that this process finishes
  std::chrono::milliseconds finishes_for{0};  // at most
  std::vector<std::string> forgotten;         // changes of backends that no longer fit, a line each
};

/// Upgrades before this process and by it.
struct UpgradeFacts {
  std::string program;                   // that the next one starts
  std::chrono::milliseconds timeout{0};  // upgrade_timeout
  bool under_way = false;
  std::vector<int64_t> predecessors;  // processes that still finish their connections, the oldest first
};

/// What the API tells about the process beside ProcessState.
struct Facts {
  std::string file;                                            // the configuration
  std::vector<std::pair<std::string, std::string>> listeners;  // name and real address
  uint64_t connections = 0;                                    // of clients, open
  std::shared_ptr<const LastReload> last_reload = {};          // null before the first
  UpgradeFacts upgrade = {};
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
  /// `done` is called once, at once or later, on the control thread; not if the process ends meanwhile.
  std::function<void(std::function<void(const UpgradeOutcome&)> done)> upgrade = {};
  /// False: it had that order already. Older processes of upgrades get it, too. `by`: who ordered it, for people.
  std::function<bool(const std::shared_ptr<BackendState>&, BackendOrder, const std::string& by)> order = {};
  /// What older processes of upgrades still have in flight with a backend.
  std::function<std::vector<net::OlderShare>(const std::string& pool, const std::string& backend)> older = {};
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
