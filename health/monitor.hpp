// Decides which backends are usable: active checks, passive ejection, slow start. All of it runs on the control thread;
// the outcome is published through the atomics of BackendState, and `changed` is called so that the pool's table is
// built again.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "lb/base/state.hpp"
#include "lb/net/tls_client.hpp"

namespace boost::asio {
class io_context;
}

namespace weir::health {

struct HandedHealth;

/// A pool to look after. `backends` is parallel to `config->backends`.
struct Target {
  std::shared_ptr<const config::Pool> config;
  std::shared_ptr<PoolState> state;
  std::vector<std::shared_ptr<BackendState>> backends;
  std::shared_ptr<const net::TlsClient> tls = nullptr;  // of backends with https://
};

class Monitor {
 public:
  /// `changed(pool name)` is called on the control thread after a status or a slow-start weight of that pool has
  /// changed.
  Monitor(boost::asio::io_context& control, uint64_t seed, std::function<void(const std::string&)> changed);
  ~Monitor();

  /// At start and at each reload, on the control thread. Backends whose state object and health settings are unchanged
  /// keep their checks and counts; new ones begin (with slow start only if `reload`); the others end.
  void apply(std::vector<Target> targets, bool reload);

  /// Any worker, when a backend's consecutive_failures has just reached its pool's eject.after. Cheap: posts to the
  /// control thread.
  void report_failures(std::shared_ptr<BackendState> backend);

  /// The operator's order, on the control thread. When it returns, requests to come obey it, on every worker; those in
  /// flight go on. `by`: who ordered it, for people. False: it had that order already.
  bool order(const std::shared_ptr<BackendState>& backend, BackendOrder order, const std::string& by);

  /// What is known of each backend, for the process that takes over.
  std::vector<HandedHealth> known() const;
  /// In the process that takes over, before apply(): nothing is published or logged until take_over(). Checks are made
  /// meanwhile, and the first round of them is waited for as ever.
  void hold();
  /// What the process before this one knew, at the last moment; each backend that it had, at the same address, goes on
  /// from there, and what checks have found here counts as checks after that. The others are new, and start slowly.
  /// Nothing known at all: all begin as at a start.
  void take_over(const std::vector<HandedHealth>& known);

  /// While it is true, backends are still to come, and the first round isn't done before.
  void await_more(bool more);

  /// Has every actively checked backend been probed once since the start?
  bool first_round_done() const;

  /// Ends all checks; after it no handler of this object is left in the io_context once it has run.
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace weir::health
