// The daemon's parts and what they do together; lb/daemon.cpp has its life, lb/daemon_upgrade.cpp how it is passed on.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <semaphore>
#include <string>
#include <vector>

#include "lb/admin/server.hpp"
#include "lb/backend_orders.hpp"
#include "lb/certificate_watch.hpp"
#include "lb/config_watch.hpp"
#include "lb/daemon.hpp"
#include "lb/discover/waiting_orders.hpp"
#include "lb/discovery.hpp"
#include "lb/listeners.hpp"
#include "lb/net/older_processes.hpp"
#include "lb/net/service_manager.hpp"
#include "lb/net/watchdog.hpp"
#include "lb/predecessor.hpp"
#include "lb/proxy/worker.hpp"
#include "lb/telemetry.hpp"
#include "lb/upgrade.hpp"

namespace weir {

/// Control thread only, as what it holds.
class Daemon {
 public:
  /// `predecessor`: null but in an upgrade.
  Daemon(const DaemonOptions& options, config::Environment world, config::Config config, ConfigWatch::Seen seen,
         Predecessor* predecessor);
  ~Daemon();
  void run();

 private:
  void apply(std::shared_ptr<const config::Config> config, bool reload);
  void take_up(std::shared_ptr<proxy::Runtime> runtime, bool slow_start);
  void serve_pools(const std::map<std::string, config::Pool>& changed, bool wait);
  void await_workers(std::counting_semaphore<>& adopted) const;
  admin::ChangeOutcome change_backend(const config::BackendChange& change, bool persist);
  void start_admin();
  void use_access_log(std::shared_ptr<AccessLog> log);
  admin::ReloadOutcome reload(bool dry_run);
  void tell_manager(const admin::ReloadOutcome& outcome);
  static void log_reload(const admin::ReloadOutcome& outcome);
  admin::Control control();
  std::string refusal(const config::Config& next) const;
  void await_names();
  void serve();
  void watch_memory();
  void wait_for_signals();
  void on_signal(int signal);
  // lb/daemon_upgrade.cpp
  void upgrade(std::function<void(const admin::UpgradeOutcome&)> done);
  net::Handover offer() const;
  std::vector<net::HandedOrder> orders() const;
  net::Go go() const;
  void hand_over(admin::UpgradeOutcome& outcome, const std::vector<std::string>& unused);
  void look_at_rest();
  void take_back(const std::string& reason);
  void begin_to_take_over();
  void await_turn();
  void take_over(const net::Go& go);
  void obey_waiting_orders();
  bool order(const std::shared_ptr<BackendState>& backend, BackendOrder order, const std::string& by);
  void obey(const net::HandedOrder& order);
  std::vector<net::Inflight::OfBackend> inflight() const;
  void bound_predecessors();
  admin::UpgradeFacts upgrade_facts() const;

  void begin_drain();
  void close_listeners();
  void look_at_drain();
  void end();
  void on_each_worker(const std::function<void(proxy::Worker&)>& work);
  void publish_ready();
  void warn_of_descriptors() const;
  std::string summary() const;

  const std::string file_;
  const config::Environment world_;  // that the configuration is read in
  const bool watch_wanted_;          // by the command line
  BackendOrders orders_;
  std::shared_ptr<const config::Config> config_;
  net::ServiceManager manager_ = net::ServiceManager::from_environment();
  boost::asio::io_context control_{1};
  boost::asio::signal_set signals_{control_};
  boost::asio::steady_timer memory_timer_{control_}, drain_timer_{control_};
  ProcessState process_;
  health::Monitor monitor_;
  proxy::Shared shared_;
  std::shared_ptr<AccessLog> access_log_;
  std::vector<std::shared_ptr<AccessLog>> old_access_logs_;  // until their writers have ended
  Exporters exporters_{process_};
  Rng rng_;  // of the control thread
  proxy::StateRegistry registry_;
  std::shared_ptr<proxy::Runtime> runtime_;
  std::shared_ptr<const admin::Inventory> inventory_ = std::make_shared<const admin::Inventory>();
  Discovery discovery_;
  discover::WaitingOrders waiting_orders_;
  ConfigWatch watch_{control_, [this](const std::string&) {
                       if (!draining_) reload(false);
                     }};
  proxy::PasswordChecker passwords_;
  std::shared_ptr<const admin::LastReload> last_reload_;
  std::unique_ptr<admin::Server> admin_;
  CertificateWatch certificates_{control_, [this] { return inventory_; }};
  Listeners listeners_;
  std::vector<std::unique_ptr<proxy::Worker>> workers_;
  net::Watchdog watchdog_{control_, [this](size_t i, auto work) { workers_[i]->post(std::move(work)); },
                          [this] { manager_.alive(); }};
  std::chrono::steady_clock::time_point drain_started_{};
  bool draining_ = false;
  Predecessor* const predecessor_;
  net::OlderProcesses predecessors_{control_};  // that still drain
  Upgrade upgrade_;
  bool handed_over_ = false;    // to a new process, while draining_
  bool reload_wanted_ = false;  // by SIGHUP, during an upgrade
};

}  // namespace weir
