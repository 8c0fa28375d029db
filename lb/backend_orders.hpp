// Backends added, weighted and removed while the daemon runs, and the file that keeps what is to last.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "config/backend_changes.hpp"
#include "lb/admin/control.hpp"
#include "lb/net/handover.hpp"

namespace weir {

class BackendOrders {
 public:
  /// Reads the state file, if `written` names one: what is wrong with it is an event, and nothing of it holds.
  /// `handed`: unpersisted() of the process before this one, laid over that.
  explicit BackendOrders(config::Config written, const net::Lines& handed = {});

  /// What the file says with the changes laid over it.
  std::shared_ptr<const config::Config> running() const { return running_; }
  /// The same for a file that isn't in use yet. `notes`: what the change makes forgotten, a line each.
  config::Config preview(const config::Config& written, std::vector<std::string>& notes) const;
  /// It is in use now.
  void adopt(config::Config written);
  /// What the start, or the last adopt(), made forgotten, a line each.
  const std::vector<std::string>& forgotten() const { return forgotten_; }
  /// What the state file doesn't have, for the process that takes over: a line a change.
  net::Lines unpersisted() const;

  /// Takes the order and, with `persist`, writes it down; afterwards running() has it. An empty problem: done.
  admin::ChangeOutcome take(const config::BackendChange& change, bool persist);

 private:
  void load();
  void lay_over(const net::Lines& handed);
  void forget_stored();
  std::string save(const config::BackendChanges::Map& stored) const;

  config::Config written_;
  std::shared_ptr<const config::Config> running_;
  config::BackendChanges changes_;
  config::BackendChanges::Map stored_;  // of changes_, what the state file has
  std::vector<std::string> forgotten_;
  std::string unreadable_;  // why the state file can't be used; it is not written over then
};

/// The state file's text. Throws std::runtime_error with what is wrong.
config::BackendChanges::Map parse_state(const std::string& text);
std::string format_state(const config::BackendChanges::Map& changes);

}  // namespace weir
