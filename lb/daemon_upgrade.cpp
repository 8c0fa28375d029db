// How the daemon passes itself on to a new process, and how it takes over from an old one.
#include <fmt/format.h>
#include <signal.h>

#include <boost/asio/post.hpp>
#include <exception>

#include "health/handed.hpp"
#include "lb/base/log.hpp"
#include "lb/daemon_class.hpp"

namespace weir {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kLook = std::chrono::milliseconds(50);
constexpr auto kFirstLook = std::chrono::milliseconds(200);  // whoever ordered the upgrade gets the answer
constexpr auto kWatchNew = std::chrono::seconds(5);          // so long, at least, we could take back

}  // namespace

// ---- the old process ----

void Daemon::upgrade(std::function<void(const admin::UpgradeOutcome&)> done) {
  const bool serving = !predecessor_ || predecessor_->told_to_go();
  if (!serving || (draining_ && !handed_over_)) {
    admin::UpgradeOutcome refused;
    refused.kind = admin::UpgradeOutcome::Kind::refused;
    refused.reason = serving ? "weir is ending" : "weir is just starting";
    refused.program = upgrade_.program();
    log::warn("upgrade_refused", {{"reason", refused.reason}});
    return done(refused);
  }
  upgrade_.begin(config_->upgrade_timeout, [this, done = std::move(done)](const admin::UpgradeOutcome& outcome) {
    using Kind = admin::UpgradeOutcome::Kind;
    if (outcome.kind == Kind::failed) process_.upgrades_failed.fetch_add(1);
    done(outcome);
    if (outcome.kind == Kind::refused || !std::exchange(reload_wanted_, false)) return;
    // It may have read the file before SIGHUP was meant.
    outcome.kind == Kind::done ? void(::kill(static_cast<pid_t>(outcome.pid), SIGHUP)) : void(reload(false));
  });
}

net::Handover Daemon::offer() const {
  net::Handover handover;
  handover.upgrades_ok = process_.upgrades_ok.load();
  handover.upgrades_failed = process_.upgrades_failed.load();
  listeners_.offer(handover);
  if (admin_) admin_->offer(handover);
  handover.processes = predecessors_.offer();
  discovery_.offer(handover, *runtime_);
  handover.ticket_secret = registry_.ticket_secret();
  handover.changes = orders_.unpersisted();
  return handover;
}

std::vector<net::HandedOrder> Daemon::orders() const {
  auto orders = waiting_orders_.all();
  for (const auto& pool : inventory_->pools)
    for (const auto& backend : pool.backends) {
      const BackendOrder order = backend->order.load();
      if (order == BackendOrder::serve) continue;
      const std::lock_guard lock(backend->reason_mutex);
      orders.push_back({backend->pool, backend->name, order == BackendOrder::drain ? "drain" : "disable",
                        backend->ordered_by, backend->ordered_at_ns.load()});
    }
  return orders;
}

/// Health, too, goes at the last moment: until then we serve, eject backends and check them.
net::Go Daemon::go() const {
  auto health = health::lines_of(monitor_.known());
  net::warn_of_gap("health of backends", health.left_out, "they are too many");
  return {orders(), std::move(health.lines)};
}

void Daemon::hand_over(admin::UpgradeOutcome& outcome, const std::vector<std::string>& unused) {
  draining_ = handed_over_ = true;
  process_.draining = true;
  process_.ready = false;
  predecessors_.pause();
  outcome.connections = shared_.connections.value.load();
  outcome.finishes_for = config_->drain_timeout;
  log::info("handed_over", {{"to", std::to_string(outcome.pid)},
                            {"version", outcome.version},
                            {"connections", std::to_string(outcome.connections)},
                            {"drain_timeout", fmt::format("{}ms", config_->drain_timeout.count())}});
  watchdog_.stop();  // the new process gives the signs of life
  watch_.switch_on(false);
  manager_ = {};
  on_each_worker([unused](proxy::Worker& worker) { worker.hand_over(unused); });
  listeners_.close(unused);
  if (admin_) admin_->hand_over(unused);
  drain_started_ = Clock::now();
  drain_timer_.expires_after(kFirstLook);
  drain_timer_.async_wait([this](boost::system::error_code error) {
    if (!error) look_at_rest();
  });
}

/// A connection that is idle may be just about to bring a request; it costs nothing to leave it open until it has.
void Daemon::look_at_rest() {
  const auto since = Clock::now() - drain_started_;
  const uint32_t connections = shared_.connections.value.load();
  if (connections == 0 && since >= kWatchNew) return end();
  if (since >= config_->drain_timeout) {
    if (connections) log::warn("drain_timeout", {{"connections", std::to_string(connections)}});
    return end();
  }
  drain_timer_.expires_after(kLook);
  drain_timer_.async_wait([this](boost::system::error_code error) {
    if (!error) look_at_rest();
  });
}

void Daemon::take_back(const std::string& reason) {
  log::error("upgrade_taken_back", {{"reason", reason}, {"running", fmt::format("pid {}", ::getpid())}});
  process_.upgrades_failed.fetch_add(1);
  drain_timer_.cancel();
  draining_ = handed_over_ = false;
  process_.draining = false;
  predecessors_.resume();
  on_each_worker([](proxy::Worker& worker) { worker.take_back(); });
  if (admin_) admin_->accept();
  try {
    if (listeners_.closing()) apply(config_, true);  // the new process had no use for some
  } catch (const std::exception& error) {
    log::error("listeners_not_taken_back", {{"reason", error.what()}});
  }
  watch_.switch_on(watch_wanted_ || config_->watch);
  publish_ready();
  manager_ = net::ServiceManager::from_environment();
  manager_.ready_in_place_of_another("the last upgrade failed: " + reason + "; " + summary());
  watchdog_.start(workers_.size(), manager_.watchdog());
}

// ---- the new process ----

void Daemon::begin_to_take_over() {
  discovery_.recall(predecessor_->handover());
  monitor_.hold();  // what is known of health comes last
}

void Daemon::await_turn() {
  await_names();
  const auto& handover = predecessor_->handover();
  predecessors_.hold(std::move(predecessor_->processes));
  process_.upgrades_ok = handover.upgrades_ok + 1;
  process_.upgrades_failed = handover.upgrades_failed;
  predecessor_->attend(
      control_, [this](const auto& go) { take_over(go); },
      [this] {
        log::error("upgrade_abandoned", {{"reason", "the old process has ended, or has given it up"}});
        end();
      });
  // Backends that are never probed to an end must not keep us from the rest.
  drain_timer_.expires_after(config_->upgrade_timeout / 2);
  drain_timer_.async_wait([this](boost::system::error_code error) {
    if (!error) predecessor_->ready(orders_.forgotten());
  });
  publish_ready();
}

void Daemon::take_over(const net::Go& go) {
  drain_timer_.cancel();
  const auto health = health::handed_health(go.health, monotonic_now());
  net::warn_of_gap("health of backends", health.wrong, health.first_why);
  monitor_.take_over(health.known);
  waiting_orders_.add(go.orders);
  obey_waiting_orders();
  predecessor_->sockets.close_unused();
  const auto pids = predecessors_.pids();
  predecessors_.begin(predecessor_->release(), predecessor_->handover().takes_orders);
  log::info("upgraded", {{"from", pids.empty() ? "" : std::to_string(pids.back())},
                         {"from_version", predecessor_->handover().version},
                         {"version", WEIR_VERSION},
                         {"upgrade", std::to_string(process_.upgrades_ok.load())}});
  serve();
  // The old one stops accepting when each worker does.
  const std::shared_ptr<void> all_came_by(
      nullptr, [this](void*) { boost::asio::post(control_, [this] { predecessors_.serves(); }); });
  on_each_worker([all_came_by](proxy::Worker&) {});
}

/// Those for backends that are there now. The others wait for DNS, if that may still name them.
void Daemon::obey_waiting_orders() {
  if (waiting_orders_.empty()) return;
  for (const auto& pool : inventory_->pools)
    for (const auto& backend : pool.backends)
      if (const auto order = waiting_orders_.take(backend->pool, backend->name)) {
        monitor_.order(backend, order->order == "drain" ? BackendOrder::drain : BackendOrder::disable, order->by);
        backend->ordered_at_ns = order->at_ns;
      }
  for (const auto& order : waiting_orders_.forget([this](const auto& pool) { return discovery_.awaits(pool); }))
    log::warn("order_forgotten", {{"pool", order.pool},
                                  {"backend", order.backend},
                                  {"order", order.order},
                                  {"reason", "there is no such backend any more"}});
}

// ---- orders to all of them ----

/// What older processes still have obeys it, too.
bool Daemon::order(const std::shared_ptr<BackendState>& backend, BackendOrder order, const std::string& by) {
  const bool changed = monitor_.order(backend, order, by);
  constexpr const char* kWords[]{"serve", "drain", "disable"};
  const int64_t at = changed ? monotonic_now().time_since_epoch().count() : backend->ordered_at_ns.load();
  predecessors_.pass_on({backend->pool, backend->name, kWords[static_cast<size_t>(order)], by, at});
  return changed;
}

/// From the process that serves now. Of a backend that we don't have, we have nothing in flight.
void Daemon::obey(const net::HandedOrder& order) {
  for (const auto& pool : inventory_->pools)
    for (const auto& backend : pool.backends) {
      if (backend->pool != order.pool || backend->name != order.backend) continue;
      monitor_.order(backend,
                     order.order == "drain"     ? BackendOrder::drain
                     : order.order == "disable" ? BackendOrder::disable
                                                : BackendOrder::serve,
                     order.by);
      backend->ordered_at_ns = order.at_ns;
    }
}

std::vector<net::Inflight::OfBackend> Daemon::inflight() const {
  std::vector<net::Inflight::OfBackend> all;
  for (const auto& pool : inventory_->pools)
    for (const auto& backend : pool.backends)
      if (const uint64_t n = backend->inflight.value.load()) all.push_back({backend->pool, backend->name, n});
  return all;
}

void Daemon::bound_predecessors() {
  predecessors_.prune();
  while (const auto* oldest = predecessors_.one_too_many()) {
    log::warn(
        "predecessor_ended",
        {{"pid", std::to_string(oldest->pid())},
         {"reason", fmt::format("more than {} older processes still have connections", net::OlderProcesses::kMost)}});
    oldest->signal(SIGTERM);  // its second: it drains already
    predecessors_.forget_oldest();
  }
  process_.predecessors = predecessors_.pids().size();
}

admin::UpgradeFacts Daemon::upgrade_facts() const {
  return {upgrade_.program(), config_->upgrade_timeout, upgrade_.under_way(), predecessors_.pids()};
}

}  // namespace weir
