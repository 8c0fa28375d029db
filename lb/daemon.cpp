#include "lb/daemon.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <ctime>
#include <functional>
#include <random>
#include <semaphore>
#include <system_error>

#include "config/diff.hpp"
#include "lb/admin/server.hpp"
#include "lb/base/log.hpp"
#include "lb/certificate_watch.hpp"
#include "lb/cli_check.hpp"
#include "lb/listeners.hpp"
#include "lb/net/service_manager.hpp"
#include "lb/net/socket.hpp"
#include "lb/net/watchdog.hpp"
#include "lb/proxy/host_limits.hpp"
#include "lb/proxy/tls.hpp"
#include "lb/proxy/worker.hpp"
#include "lb/route/check.hpp"
#include "lb/telemetry.hpp"

namespace weir {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kWatch = std::chrono::milliseconds(250);  // memory
constexpr auto kDrainLook = std::chrono::milliseconds(50);
constexpr auto kIdleGrace = std::chrono::seconds(1);  // clients that are just sending get an answer
constexpr auto kEndSlack = std::chrono::seconds(10);  // after drain_timeout: the last writes to the logs
constexpr auto kAdoption = std::chrono::seconds(1);   // a reload waits so long for the workers to take it up
constexpr uint64_t kOtherDescriptors = 256;           // listeners, logs, health checks, admin
constexpr uint64_t kFewestConnections = 64;           // with room for fewer it does not start

uint64_t random_seed() {
  std::random_device entropy;
  return (uint64_t{entropy()} << 32) | entropy();
}

/// How many connections the limit of open files has room for: one descriptor on each side.
uint64_t room_for_connections(uint64_t files) { return (files - std::min(files, kOtherDescriptors)) / 2; }

/// limits.connections, or as many as there is room for. Throws if that is too little to be of use.
uint32_t most_connections(const config::Config& config) {
  const uint64_t files = net::raise_descriptor_limit(), room = room_for_connections(files);
  const uint64_t wanted = config.limits.connections;
  const uint64_t least = wanted ? std::min(wanted, kFewestConnections) : kFewestConnections;
  if (room < least)
    throw std::runtime_error(
        fmt::format("the limit of {} open files has room for {} connections; raise it to {} or more (LimitNOFILE= in "
                    "systemd, ulimit -n in a shell)",
                    files, room, kOtherDescriptors + 2 * least));
  return static_cast<uint32_t>(std::min<uint64_t>(wanted ? wanted : room, UINT32_MAX));
}

class Daemon {
 public:
  Daemon(std::string file, config::Config config);
  ~Daemon();
  void run();

 private:
  void apply(std::shared_ptr<const config::Config> config, bool reload);
  void start_admin();
  void use_access_log(std::shared_ptr<AccessLog> log);
  admin::ReloadOutcome reload(bool dry_run);
  void tell_manager(const admin::ReloadOutcome& outcome);
  static void log_reload(const admin::ReloadOutcome& outcome);
  admin::Control control();
  void find_recent(std::string prefix, size_t limit, std::function<void(admin::Control::Recent)> done);
  const char* refusal(const config::Config& next) const;
  void watch_memory();
  void wait_for_signals();
  void on_signal(int signal);
  void begin_drain();
  void close_listeners();
  void look_at_drain();
  void end();
  void on_each_worker(const std::function<void(proxy::Worker&)>& work);
  void publish_ready();
  void warn_of_descriptors() const;
  std::string summary() const;

  std::string file_;
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
  Rng rng_{random_seed()};  // of the control thread
  proxy::StateRegistry registry_;
  std::shared_ptr<proxy::Runtime> runtime_;
  std::shared_ptr<const admin::Inventory> inventory_ = std::make_shared<const admin::Inventory>();
  proxy::PasswordChecker passwords_;
  std::shared_ptr<const admin::LastReload> last_reload_;
  std::unique_ptr<admin::Server> admin_;
  CertificateWatch certificates_{control_, [this] { return inventory_; }};
  Listeners listeners_;
  std::vector<std::unique_ptr<proxy::Worker>> workers_;
  net::Watchdog watchdog_{control_, [this](size_t i, auto work) { workers_[i]->post(std::move(work)); },
                          [this] { manager_.alive(); }};
  Clock::time_point drain_started_{};
  bool draining_ = false;
};

Daemon::Daemon(std::string file, config::Config config)
    : file_(std::move(file)),
      config_(std::make_shared<const config::Config>(std::move(config))),
      process_(config_->workers ? config_->workers : proxy::default_workers()),
      monitor_(control_, random_seed(),
               [this](const std::string& pool) {
                 if (auto* changed = runtime_ ? runtime_->find_pool(pool) : nullptr) changed->publish();
                 publish_ready();
               }),
      shared_{process_, monitor_, {}, {}, {}, {}, &passwords_},
      registry_(process_.workers),
      listeners_(process_.workers, net::InheritedSockets::from_environment()) {
  process_.started_wall_ns = wall_now_ns();
  for (size_t i = 0; i < process_.workers; ++i)
    workers_.push_back(std::make_unique<proxy::Worker>(i, shared_, random_seed()));
  log::set_level(config_->log.level);
  if (const auto settings = access_log_settings(*config_, process_.workers))
    use_access_log(std::make_shared<AccessLog>(*settings));
  apply(config_, false);
  start_admin();
}

Daemon::~Daemon() {
  monitor_.stop();
  if (admin_) admin_->stop();
}

void Daemon::use_access_log(std::shared_ptr<AccessLog> log) {
  shared_.access_log = log.get();
  const auto old = std::exchange(access_log_, std::move(log));
  if (!old) return;
  old_access_logs_.push_back(old);
  // A worker may be writing to it: its writer is told to end when each of them has come by.
  const std::shared_ptr<void> all_came_by(
      nullptr, [this, old](void*) { boost::asio::post(control_, [old] { old->begin_ending(); }); });
  on_each_worker([all_came_by](proxy::Worker&) {});
}

void Daemon::apply(std::shared_ptr<const config::Config> next, bool reload) {
  const uint32_t connections = most_connections(*next);
  auto listeners = listeners_.prepare(*next);
  auto runtime = registry_.build(next, process_.generation + 1);
  for (auto& pool : runtime->pools) pool->publish();
  runtime->tracer = exporters_.tracer(*next);
  runtime_ = runtime;
  config_ = next;
  monitor_.apply(proxy::StateRegistry::targets(*runtime), reload);
  shared_.max_connections = connections;
  if (std::any_of(next->routes.begin(), next->routes.end(),
                  [](const auto& route) { return route.auth && route.auth->users; }))
    passwords_.start();
  auto inventory = std::make_shared<admin::Inventory>();
  for (const auto& pool : runtime->pools) inventory->pools.push_back({pool->config, pool->state, pool->backends});
  for (const auto& route : runtime->routes) inventory->routes.push_back(route.state);
  inventory->routes.push_back(runtime->unrouted);
  for (size_t i = 0; i < runtime->tls.size(); ++i)
    if (runtime->tls[i]) inventory->tls.push_back({next->listeners[i].name, runtime->tls[i]});
  inventory->max_series = next->max_series;
  inventory->token = next->admin.token;
  inventory_ = inventory;
  const auto adopted = std::make_shared<std::counting_semaphore<>>(0);
  for (size_t i = 0; i < workers_.size(); ++i) {
    auto mine = std::make_shared<std::vector<proxy::NewListener>>(std::move(listeners.added[i]));
    workers_[i]->post([worker = workers_[i].get(), runtime, mine, removed = listeners.removed, adopted] {
      worker->adopt(runtime, std::move(*mine), removed);
      adopted->release();
    });
  }
  // Who is told "reloaded" may count on it: the next request goes by the new configuration.
  const auto patience = std::chrono::steady_clock::now() + kAdoption;
  for (size_t i = 0; reload && i < workers_.size() && adopted->try_acquire_until(patience); ++i) {
  }
  listeners_.commit(std::move(listeners));
  process_.generation.fetch_add(1);
  process_.loaded_wall_ns = wall_now_ns();
}

void Daemon::start_admin() {
  const auto& wanted = config_->admin;
  if (!wanted.bind && !wanted.metrics && wanted.socket.empty()) return;
  admin::Sources sources{process_, [this] { return inventory_; },
                         [this] { return access_log_ ? access_log_->lost_lines() : 0; }, control()};
  admin_ = std::make_unique<admin::Server>(control_, std::move(sources));
  if (wanted.bind) admin_->listen(*wanted.bind, admin::Surface::everything);
  if (wanted.metrics) admin_->listen(*wanted.metrics, admin::Surface::metrics_only);
  if (!wanted.socket.empty()) admin_->listen_on_socket(wanted.socket);
}

admin::Control Daemon::control() {
  return {.reload = [this](bool dry_run) { return reload(dry_run); },
          .order = [this](const auto& backend, BackendOrder order,
                          const std::string& by) { return monitor_.order(backend, order, by); },
          .facts =
              [this] {
                admin::Facts facts{file_, {}, shared_.connections.value.load(), last_reload_};
                for (const auto& [key, listener] : listeners_.open())
                  facts.listeners.emplace_back(listener.name, listener.address.to_string());
                return facts;
              },
          .explain = [this](const proxy::Question& question) { return proxy::explain(*runtime_, question, rng_); },
          .recent = [this](std::string prefix, size_t limit,
                           auto done) { find_recent(std::move(prefix), limit, std::move(done)); },
          .reopen = [this](auto done) { reopen_access_log(control_, access_log_, std::move(done)); }};
}

/// Each worker looks through its own memory, and the last one to answer has the whole told.
void Daemon::find_recent(std::string prefix, size_t limit, std::function<void(admin::Control::Recent)> done) {
  struct Search {
    std::string prefix;
    std::function<void(admin::Control::Recent)> done;
    size_t waiting;
    admin::Control::Recent found;
  };
  const auto search = std::make_shared<Search>(Search{std::move(prefix), std::move(done), workers_.size(), {}});
  const auto gather = [search, limit](const admin::Control::Recent& part) {
    auto& found = search->found;
    found.insert(found.end(), part.begin(), part.end());
    if (--search->waiting) return;
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.wall_ns > b.wall_ns; });
    found.resize(std::min(found.size(), limit));
    search->done(std::move(found));
  };
  for (auto& worker : workers_)
    worker->post([this, search, limit, gather, w = worker.get()] {
      boost::asio::post(control_, [gather, part = w->recent.find(search->prefix, limit)] { gather(part); });
    });
}

void Daemon::publish_ready() { process_.ready = !draining_ && monitor_.first_round_done(); }

void Daemon::warn_of_descriptors() const {
  const uint64_t files = net::raise_descriptor_limit(), room = room_for_connections(files);
  if (const uint64_t wanted = config_->limits.connections; wanted > room)
    log::warn("descriptors_short", {{"limits.connections", std::to_string(wanted)},
                                    {"room_for", std::to_string(room)},
                                    {"open_files", std::to_string(files)},
                                    {"help", "raise the limit of open files, LimitNOFILE= in systemd"}});
}

void Daemon::run() {
  wait_for_signals();
  listeners_.announce();  // only now: a start that fails announces none
  if (admin_) admin_->announce();
  warn_of_descriptors();
  for (auto& worker : workers_) worker->start();
  publish_ready();
  watch_memory();
  certificates_.start();
  log::info("ready",
            {{"pid", std::to_string(getpid())}, {"workers", std::to_string(workers_.size())}, {"file", file_}});
  manager_.ready(summary());
  watchdog_.start(workers_.size(), manager_.watchdog());
  control_.run();
  passwords_.stop();
  for (auto& worker : workers_) worker->join();
  log::info("ended");
}

std::string Daemon::summary() const {
  size_t backends = 0;
  for (const auto& pool : config_->pools) backends += pool.backends.size();
  return fmt::format("serving; generation {}: listeners {}, pools {}, backends {}, routes {}",
                     process_.generation.load(), config_->listeners.size(), config_->pools.size(), backends,
                     config_->routes.size());
}

void Daemon::on_each_worker(const std::function<void(proxy::Worker&)>& work) {
  for (auto& worker : workers_) worker->post([w = worker.get(), work] { work(*w); });
}

// ---- reload ----

const char* Daemon::refusal(const config::Config& next) const {
  const size_t workers = next.workers ? next.workers : proxy::default_workers();
  if (workers != process_.workers) return "workers: can't change at a reload; restart weir for it, or set it back";
  const auto same = [](const std::optional<Endpoint>& a, const std::optional<Endpoint>& b) {
    return a.has_value() == b.has_value() && (!a || *a == *b);
  };
  if (!same(next.admin.bind, config_->admin.bind) || !same(next.admin.metrics, config_->admin.metrics) ||
      next.admin.socket != config_->admin.socket)
    return "admin: addresses can't change at a reload; restart weir for it, or set them back";
  return nullptr;
}

admin::ReloadOutcome Daemon::reload(bool dry_run) {
  using Kind = admin::ReloadOutcome::Kind;
  admin::ReloadOutcome outcome;
  const auto ended_as = [&](Kind kind, std::string reason) {
    outcome.kind = kind;
    outcome.reason = std::move(reason);
    outcome.generation = process_.generation.load();
    if (!dry_run) {
      (kind == Kind::applied ? process_.reloads_ok : process_.reloads_failed).fetch_add(1);
      log_reload(outcome);
      const auto changes = kind == Kind::applied ? outcome.changes
                           : last_reload_        ? last_reload_->changes
                                                 : std::vector<std::string>();
      last_reload_ = std::make_shared<const admin::LastReload>(admin::LastReload{wall_now_ns(), outcome, changes});
      if (!draining_) tell_manager(outcome);
    }
    return std::move(outcome);
  };
  if (draining_) return ended_as(Kind::refused, "weir is ending");  // which the service manager knows
  if (!dry_run) manager_.reloading();
  auto loaded = route::load_checked(file_);
  proxy::check_tls(loaded, std::time(nullptr));
  outcome.warnings = std::move(loaded.warnings);
  outcome.errors = std::move(loaded.errors);
  if (loaded.unreadable)
    return ended_as(Kind::bad_configuration, "the file can't be read, the old configuration keeps running");
  if (!loaded.config)
    return ended_as(Kind::bad_configuration, fmt::format("{} error{} in the configuration, the old one keeps running",
                                                         outcome.errors.size(), outcome.errors.size() == 1 ? "" : "s"));
  outcome.changes = config::diff(*config_, *loaded.config);
  if (const char* reason = refusal(*loaded.config)) return ended_as(Kind::refused, reason);
  if (dry_run) return ended_as(Kind::would_apply, {});
  try {
    auto next = std::make_shared<const config::Config>(std::move(*loaded.config));
    const auto old = config_;
    const auto log_settings = access_log_settings(*next, process_.workers);
    const bool other_log = log_settings != access_log_settings(*old, process_.workers);
    auto log = other_log && log_settings ? std::make_shared<AccessLog>(*log_settings) : nullptr;
    apply(next, true);
    if (other_log) use_access_log(std::move(log));
    log::set_level(next->log.level);
    if (next->limits.connections != old->limits.connections) warn_of_descriptors();
    return ended_as(Kind::applied, {});
  } catch (const std::exception& error) {
    return ended_as(Kind::failed, error.what());
  }
}

void Daemon::tell_manager(const admin::ReloadOutcome& outcome) {
  const bool applied = outcome.kind == admin::ReloadOutcome::Kind::applied;
  manager_.ready(applied ? summary() : "the last reload failed: " + outcome.reason + "; " + summary());
}

void Daemon::log_reload(const admin::ReloadOutcome& outcome) {
  const std::string generation = std::to_string(outcome.generation);
  for (const auto& warning : outcome.warnings) log::warn("config_warning", {{"at", warning.to_string()}});
  for (const auto& error : outcome.errors) log::error("config_error", {{"at", error.to_string()}});
  if (outcome.kind != admin::ReloadOutcome::Kind::applied)
    return log::error("reload_failed", {{"reason", outcome.reason}, {"running", "generation " + generation}});
  for (const auto& change : outcome.changes) log::info("config_changed", {{"change", change}});
  log::info("reloaded", {{"generation", generation}, {"changes", std::to_string(outcome.changes.size())}});
}

// ---- memory ----

void Daemon::watch_memory() {
  using proxy::MemoryLevel;
  std::erase_if(old_access_logs_, [](const auto& log) { return log->ended(); });
  exporters_.sweep();
  const double share =
      static_cast<double>(proxy::resident_bytes()) / static_cast<double>(std::max<uint64_t>(1, config_->limits.memory));
  const auto level = share >= 0.98   ? MemoryLevel::stop_accepting
                     : share >= 0.95 ? MemoryLevel::refuse_requests
                     : share >= 0.85 ? MemoryLevel::shed_keep_alive
                                     : MemoryLevel::normal;
  if (const auto before = shared_.memory.exchange(level); before != level)
    log::warn("memory_pressure", {{"used", fmt::format("{:.0f}%", share * 100)},
                                  {"action", level == MemoryLevel::stop_accepting    ? "stops accepting"
                                             : level == MemoryLevel::refuse_requests ? "answers 503"
                                             : level == MemoryLevel::shed_keep_alive ? "ends keep-alive connections"
                                                                                     : "none"}});
  memory_timer_.expires_after(kWatch);
  memory_timer_.async_wait([this](boost::system::error_code error) {
    if (!error) watch_memory();
  });
}

// ---- the end ----

void Daemon::wait_for_signals() {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) signals_.add(signal);
  signals_.async_wait([this](boost::system::error_code error, int signal) {
    if (error) return;
    wait_for_signals();
    on_signal(signal);
  });
}

void Daemon::on_signal(int signal) {
  if (signal == SIGHUP) return draining_ ? void() : void(reload(false));
  if (signal == SIGUSR1) return access_log_ ? void(access_log_->reopen()) : void();
  if (draining_) {
    log::warn("ending_now",
              {{"reason", "second signal"}, {"connections", std::to_string(shared_.connections.value.load())}});
    return end();
  }
  begin_drain();
}

void Daemon::begin_drain() {
  draining_ = true;
  process_.draining = true;
  process_.ready = false;
  drain_started_ = Clock::now();
  log::info("draining", {{"connections", std::to_string(shared_.connections.value.load())},
                         {"drain_delay", fmt::format("{}ms", config_->drain_delay.count())},
                         {"drain_timeout", fmt::format("{}ms", config_->drain_timeout.count())}});
  manager_.stopping(fmt::format("draining; connections {} at its beginning", shared_.connections.value.load()),
                    config_->drain_delay + config_->drain_timeout + kEndSlack);
  drain_timer_.expires_after(config_->drain_delay);
  drain_timer_.async_wait([this](boost::system::error_code error) {
    if (!error) close_listeners();
  });
}

void Daemon::close_listeners() {
  on_each_worker([](proxy::Worker& worker) { worker.begin_draining(); });
  drain_started_ = Clock::now();
  look_at_drain();
}

void Daemon::look_at_drain() {
  if (listeners_.all_closed() && shared_.connections.value.load() == 0) return end();
  const auto since = Clock::now() - drain_started_;
  if (since >= config_->drain_timeout) {
    log::warn("drain_timeout", {{"connections", std::to_string(shared_.connections.value.load())}});
    return end();
  }
  if (since >= kIdleGrace) {
    if (shared_.connections.value.load() == 0) return end();
    on_each_worker([](proxy::Worker& worker) { worker.close_idle_connections(); });
  }
  drain_timer_.expires_after(kDrainLook);
  drain_timer_.async_wait([this](boost::system::error_code error) {
    if (!error) look_at_drain();
  });
}

void Daemon::end() {
  monitor_.stop();
  if (admin_) admin_->stop();
  on_each_worker([](proxy::Worker& worker) { worker.finish(); });
  listeners_.remove_unix_files();
  watchdog_.stop();
  memory_timer_.cancel();
  certificates_.stop();
  drain_timer_.cancel();
  signals_.cancel();
  control_.stop();
}

}  // namespace

int run_daemon(const DaemonOptions& options) {
  auto loaded = route::load_checked(options.file);
  proxy::check_tls(loaded, std::time(nullptr));
  if (const int code = cli::report_problems(options.file, loaded)) return code;
  try {
    Daemon daemon(options.file, std::move(*loaded.config));
    daemon.run();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "weir: {}\n", error.what());
    return 1;
  }
}

}  // namespace weir
