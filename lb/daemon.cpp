#include "lb/daemon.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <functional>
#include <random>
#include <set>
#include <system_error>

#include "config/diff.hpp"
#include "lb/admin/server.hpp"
#include "lb/base/log.hpp"
#include "lb/net/inherited.hpp"
#include "lb/net/service_manager.hpp"
#include "lb/net/socket.hpp"
#include "lb/net/watchdog.hpp"
#include "lb/proxy/host_limits.hpp"
#include "lb/proxy/worker.hpp"
#include "lb/route/check.hpp"

namespace weir {

namespace {

using proxy::NewListener;
using ListenerKey = std::pair<std::string, std::string>;  // name and address as configured
using Clock = std::chrono::steady_clock;

constexpr auto kWatch = std::chrono::milliseconds(250);  // memory
constexpr auto kDrainLook = std::chrono::milliseconds(50);
constexpr auto kIdleGrace = std::chrono::seconds(1);  // clients that are just sending get an answer
constexpr auto kEndSlack = std::chrono::seconds(10);  // after drain_timeout: the last writes to the logs
constexpr uint64_t kOtherDescriptors = 256;           // listeners, logs, health checks, admin

uint64_t random_seed() {
  std::random_device entropy;
  return (uint64_t{entropy()} << 32) | entropy();
}

class Daemon {
 public:
  Daemon(std::string file, config::Config config);
  ~Daemon();
  void run();

 private:
  struct Listening {
    Endpoint configured, address;
    bool inherited = false;
  };
  /// Opens what `config` has and is not open yet. Throws without having changed anything.
  std::vector<std::vector<NewListener>> open_listeners(const config::Config& config,
                                                       std::map<ListenerKey, Listening>& open);
  void apply(std::shared_ptr<const config::Config> config, bool reload);
  static void announce(const ListenerKey& key, const Listening& listener);
  void start_admin();
  void open_access_log(const config::Config& config);
  void reload();
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
  std::string summary() const;

  std::string file_;
  std::shared_ptr<const config::Config> config_;
  net::ServiceManager manager_ = net::ServiceManager::from_environment();
  net::InheritedSockets inherited_ = net::InheritedSockets::from_environment();
  boost::asio::io_context control_{1};
  boost::asio::signal_set signals_{control_};
  boost::asio::steady_timer memory_timer_{control_}, drain_timer_{control_};
  ProcessState process_;
  health::Monitor monitor_;
  proxy::Shared shared_;
  std::shared_ptr<AccessLog> access_log_;
  std::vector<std::shared_ptr<AccessLog>> old_access_logs_;  // workers may still write to them until they end
  proxy::StateRegistry registry_;
  std::shared_ptr<proxy::Runtime> runtime_;
  std::shared_ptr<const admin::Inventory> inventory_ = std::make_shared<const admin::Inventory>();
  std::unique_ptr<admin::Server> admin_;
  std::map<ListenerKey, Listening> listening_;
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
      shared_{process_, monitor_, {}, {}, {}, {}},
      registry_(process_.workers) {
  process_.started_wall_ns = wall_now_ns();
  for (size_t i = 0; i < process_.workers; ++i)
    workers_.push_back(std::make_unique<proxy::Worker>(i, shared_, random_seed()));
  open_access_log(*config_);
  apply(config_, false);
  start_admin();
}

Daemon::~Daemon() {
  monitor_.stop();
  if (admin_) admin_->stop();
}

void Daemon::open_access_log(const config::Config& config) {
  if (config.log.access.empty()) {
    shared_.access_log = nullptr;
  } else {
    AccessLog::Settings settings;
    settings.path = config.log.access;
    settings.format = config.log.format == config::Log::Format::combined ? AccessFormat::combined : AccessFormat::json;
    settings.workers = process_.workers;
    auto log = std::make_shared<AccessLog>(settings);
    shared_.access_log = log.get();
    std::swap(access_log_, log);
    if (log) old_access_logs_.push_back(std::move(log));
  }
}

std::vector<std::vector<NewListener>> Daemon::open_listeners(const config::Config& config,
                                                             std::map<ListenerKey, Listening>& open) {
  std::vector<std::vector<NewListener>> added(workers_.size());
  for (const auto& listener : config.listeners)
    for (const auto& bind : listener.binds) {
      const ListenerKey key{listener.name, bind.to_string()};
      if (const auto old = listening_.find(key); old != listening_.end()) {
        open.insert(*old);
        continue;
      }
      auto passed = inherited_.take(bind, workers_.size());
      auto sockets = passed ? std::move(*passed) : net::open_listener(bind, workers_.size());
      for (size_t i = 0; i < workers_.size(); ++i)
        added[i].push_back({listener.name, bind, sockets.address, std::move(sockets.fds[i]), sockets.inherited});
      open[key] = {bind, sockets.address, sockets.inherited};
    }
  return added;
}

void Daemon::apply(std::shared_ptr<const config::Config> next, bool reload) {
  std::map<ListenerKey, Listening> open;
  auto added = open_listeners(*next, open);
  std::vector<std::pair<std::string, Endpoint>> removed;
  for (const auto& [key, listener] : listening_)
    if (!open.contains(key)) removed.emplace_back(key.first, listener.configured);
  auto runtime = registry_.build(next, process_.generation + 1);
  for (auto& pool : runtime->pools) pool->publish();
  runtime_ = runtime;
  config_ = next;
  monitor_.apply(proxy::StateRegistry::targets(*runtime), reload);
  const uint64_t files = net::raise_descriptor_limit();
  shared_.max_connections = next->limits.connections
                                ? next->limits.connections
                                : static_cast<uint32_t>((files - std::min(files, kOtherDescriptors)) / 2);
  auto inventory = std::make_shared<admin::Inventory>();
  for (const auto& pool : runtime->pools) inventory->pools.push_back({pool->config, pool->state, pool->backends});
  for (const auto& route : runtime->routes) inventory->routes.push_back(route.state);
  inventory->routes.push_back(runtime->unrouted);
  inventory->max_series = next->max_series;
  inventory_ = inventory;
  for (size_t i = 0; i < workers_.size(); ++i) {
    auto mine = std::make_shared<std::vector<NewListener>>(std::move(added[i]));
    workers_[i]->post(
        [worker = workers_[i].get(), runtime, mine, removed] { worker->adopt(runtime, std::move(*mine), removed); });
  }
  if (reload)
    for (const auto& [key, listener] : open)
      if (!listening_.contains(key)) announce(key, listener);
  for (const auto& [name, endpoint] : removed)
    log::info("listener_closed", {{"listener", name}, {"address", endpoint.to_string()}});
  listening_ = std::move(open);
  process_.generation.fetch_add(1);
  process_.loaded_wall_ns = wall_now_ns();
}

void Daemon::announce(const ListenerKey& key, const Listening& listener) {
  if (listener.inherited)
    log::info("listening",
              {{"listener", key.first}, {"address", listener.address.to_string()}, {"socket", "inherited"}});
  else
    log::info("listening", {{"listener", key.first}, {"address", listener.address.to_string()}});
}

void Daemon::start_admin() {
  if (!config_->admin.bind && !config_->admin.metrics) return;
  admin::Sources sources{process_, [this] { return inventory_; },
                         [this] { return access_log_ ? access_log_->lost_lines() : 0; }};
  admin_ = std::make_unique<admin::Server>(control_, std::move(sources));
  if (config_->admin.bind) admin_->listen(*config_->admin.bind, admin::Surface::everything);
  if (config_->admin.metrics) admin_->listen(*config_->admin.metrics, admin::Surface::metrics_only);
}

void Daemon::publish_ready() { process_.ready = !draining_ && monitor_.first_round_done(); }

void Daemon::run() {
  wait_for_signals();
  for (const auto& [key, listener] : listening_)
    announce(key, listener);  // only now: a start that fails announces none
  inherited_.report_unused();
  for (auto& worker : workers_) worker->start();
  publish_ready();
  watch_memory();
  log::info("ready",
            {{"pid", std::to_string(getpid())}, {"workers", std::to_string(workers_.size())}, {"file", file_}});
  manager_.ready(summary());
  watchdog_.start(workers_.size(), manager_.watchdog());
  control_.run();
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
  if (!same(next.admin.bind, config_->admin.bind) || !same(next.admin.metrics, config_->admin.metrics))
    return "admin: addresses can't change at a reload; restart weir for it, or set them back";
  return nullptr;
}

void Daemon::reload() {
  manager_.reloading();
  const auto failed = [this](const std::string& reason) {
    process_.reloads_failed.fetch_add(1);
    manager_.ready("the last reload failed: " + reason + "; " + summary());
    log::error("reload_failed",
               {{"reason", reason}, {"running", fmt::format("generation {}", process_.generation.load())}});
  };
  auto loaded = route::load_checked(file_);
  for (const auto& warning : loaded.warnings) log::warn("config_warning", {{"at", warning.to_string()}});
  for (const auto& error : loaded.errors) log::error("config_error", {{"at", error.to_string()}});
  if (!loaded.config)
    return failed(fmt::format("{} error(s) in the configuration, the old one keeps running", loaded.errors.size()));
  if (const char* reason = refusal(*loaded.config)) return failed(reason);
  try {
    auto next = std::make_shared<const config::Config>(std::move(*loaded.config));
    const auto changes = config::diff(*config_, *next);
    const auto old = config_;
    if (next->log.access != old->log.access || next->log.format != old->log.format) open_access_log(*next);
    apply(next, true);
    for (const auto& change : changes) log::info("config_changed", {{"change", change}});
    process_.reloads_ok.fetch_add(1);
    log::info("reloaded", {{"generation", std::to_string(process_.generation.load())},
                           {"changes", std::to_string(changes.size())}});
    manager_.ready(summary());
  } catch (const std::exception& error) {
    failed(error.what());
  }
}

// ---- memory ----

void Daemon::watch_memory() {
  using proxy::MemoryLevel;
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
  if (signal == SIGHUP) return draining_ ? void() : reload();
  if (signal == SIGUSR1) return access_log_ ? access_log_->reopen() : void();
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
  for (const auto& [key, listener] : listening_)
    if (listener.configured.is_unix() && !listener.inherited && !listener.configured.to_string().starts_with("unix:@"))
      ::unlink(reinterpret_cast<const sockaddr_un*>(listener.configured.address())->sun_path);
  watchdog_.stop();
  memory_timer_.cancel();
  drain_timer_.cancel();
  signals_.cancel();
  control_.stop();
}

}  // namespace

int run_daemon(const DaemonOptions& options) {
  auto loaded = route::load_checked(options.file);
  for (const auto& warning : loaded.warnings) fmt::print(stderr, "weir: warning: {}\n", warning.to_string());
  for (const auto& error : loaded.errors) fmt::print(stderr, "weir: {}\n", error.to_string());
  if (!loaded.config) return loaded.unreadable ? 1 : 2;
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
