#include "lb/daemon.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>
#include <ctime>
#include <random>
#include <semaphore>
#include <system_error>

#include "config/diff.hpp"
#include "lb/base/log.hpp"
#include "lb/cli_check.hpp"
#include "lb/connection_room.hpp"
#include "lb/daemon_class.hpp"
#include "lb/dev_certificate.hpp"
#include "lb/find_recent.hpp"
#include "lb/inventory_of.hpp"
#include "lb/net/socket.hpp"
#include "lb/proxy/host_limits.hpp"
#include "lb/proxy/tls.hpp"
#include "lb/route/check.hpp"

namespace weir {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kWatch = std::chrono::milliseconds(250);  // memory
constexpr auto kDrainLook = std::chrono::milliseconds(50);
constexpr auto kIdleGrace = std::chrono::seconds(1);  // clients that are just sending get an answer
constexpr auto kEndSlack = std::chrono::seconds(10);  // after drain_timeout: the last writes to the logs
constexpr auto kAdoption = std::chrono::seconds(1);   // a reload waits so long for the workers to take it up

uint64_t random_seed() {
  std::random_device entropy;
  return (uint64_t{entropy()} << 32) | entropy();
}

std::vector<std::string> lines_of(const config::LoadResult& loaded) {
  std::vector<std::string> lines;
  for (const auto& error : loaded.errors) lines.push_back(error.to_string());
  return lines;
}

}  // namespace

Daemon::Daemon(const DaemonOptions& options, config::Environment world, config::Config config, ConfigWatch::Seen seen,
               Predecessor* predecessor)
    : file_(options.file),
      world_(std::move(world)),
      watch_wanted_(options.watch),
      orders_(std::move(config), predecessor ? predecessor->handover().changes : net::Lines()),
      config_(orders_.running()),
      process_(config_->workers ? config_->workers : proxy::default_workers()),
      monitor_(control_, random_seed(),
               [this](const std::string& pool) {
                 if (auto* changed = runtime_ ? runtime_->find_pool(pool) : nullptr) changed->publish();
                 publish_ready();
               }),
      shared_{process_, monitor_, {}, {}, {}, {}, &passwords_},
      rng_(random_seed()),
      registry_(process_.workers, predecessor ? predecessor->handover().ticket_secret : ""),
      discovery_(control_, random_seed(), process_, [this] { serve_pools(discovery_.changes(*runtime_), false); }),
      listeners_(process_.workers,
                 predecessor ? std::move(predecessor->passed) : net::InheritedSockets::from_environment(),
                 predecessor ? &predecessor->sockets : nullptr),
      predecessor_(predecessor),
      upgrade_(control_, options.arguments,
               {[this] { return offer(); }, [this](bool copied) { shared_.descriptors_copied = copied; },
                [this] { return go(); }, [this](auto& outcome, const auto& unused) { hand_over(outcome, unused); },
                [this](const auto& reason) { take_back(reason); }, [this](const auto& order) { obey(order); },
                [this] { return inflight(); }}) {
  process_.started_wall_ns = wall_now_ns();
  for (size_t i = 0; i < process_.workers; ++i)
    workers_.push_back(std::make_unique<proxy::Worker>(i, shared_, random_seed()));
  log::set_level(config_->log.level);
  if (const auto settings = access_log_settings(*config_, process_.workers))
    use_access_log(std::make_shared<AccessLog>(*settings));
  monitor_.await_more(true);
  if (predecessor_) begin_to_take_over();
  apply(config_, false);
  watch_.start_from(std::move(seen));
  start_admin();
}

Daemon::~Daemon() {
  monitor_.stop();
  if (admin_) admin_->stop();
  if (predecessor_) predecessor_->leave();
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
  discovery_.configure(next);
  auto runtime = registry_.build(next, process_.generation + 1,
                                 [this](const config::Pool& pool) { return discovery_.serving(pool, runtime_.get()); });
  runtime->tracer = exporters_.tracer(*next);
  config_ = next;
  take_up(runtime, reload);
  shared_.max_connections = connections;
  if (std::any_of(next->routes.begin(), next->routes.end(),
                  [](const auto& route) { return route.auth && route.auth->users; }))
    passwords_.start();
  const auto adopted = std::make_shared<std::counting_semaphore<>>(0);
  for (size_t i = 0; i < workers_.size(); ++i) {
    auto mine = std::make_shared<std::vector<proxy::NewListener>>(std::move(listeners.added[i]));
    workers_[i]->post([worker = workers_[i].get(), runtime, mine, removed = listeners.removed, adopted] {
      worker->adopt(runtime, std::move(*mine), removed);
      adopted->release();
    });
  }
  if (reload) await_workers(*adopted);
  listeners_.commit(std::move(listeners));
  process_.generation.fetch_add(1);
  process_.loaded_wall_ns = wall_now_ns();
}

/// Who is told that it is done may count on it: the next request goes by the new configuration.
void Daemon::await_workers(std::counting_semaphore<>& adopted) const {
  const auto patience = Clock::now() + kAdoption;
  for (size_t i = 0; i < workers_.size() && adopted.try_acquire_until(patience); ++i) {
  }
}

/// For the control thread's part: health, and what the admin API shows. The pools are in the order of config_.
void Daemon::take_up(std::shared_ptr<proxy::Runtime> runtime, bool slow_start) {
  for (size_t i = 0; i < runtime->pools.size(); ++i)
    if (!runtime_ || i >= runtime_->pools.size() || runtime_->pools[i] != runtime->pools[i])
      runtime->pools[i]->publish();
  runtime_ = runtime;
  monitor_.apply(proxy::StateRegistry::targets(*runtime), slow_start);
  inventory_ = inventory_of(*runtime, *config_, discovery_);
  obey_waiting_orders();
}

/// The same configuration goes on with other backends in these pools.
void Daemon::serve_pools(const std::map<std::string, config::Pool>& changed, bool wait) {
  if (changed.empty()) return;
  const auto runtime = registry_.with_pools(*runtime_, changed);
  take_up(runtime, monitor_.first_round_done());
  const auto adopted = std::make_shared<std::counting_semaphore<>>(0);
  on_each_worker([runtime, adopted](proxy::Worker& worker) {
    worker.adopt(runtime, {}, {});
    adopted->release();
  });
  if (wait) await_workers(*adopted);
}

admin::ChangeOutcome Daemon::change_backend(const config::BackendChange& change, bool persist) {
  if (upgrade_.under_way())
    return {409, "an upgrade is under way, and has what was changed before; try again after it"};
  auto outcome = orders_.take(change, persist);
  if (!outcome.problem.empty()) return outcome;
  config_ = orders_.running();
  discovery_.configure(config_);
  serve_pools({{change.pool, discovery_.serving(*config_->find_pool(change.pool), runtime_.get())}}, true);
  return outcome;
}

void Daemon::start_admin() {
  const auto& wanted = config_->admin;
  if (!wanted.bind && !wanted.metrics && wanted.socket.empty()) return;
  admin::Sources sources{process_, [this] { return inventory_; },
                         [this] { return access_log_ ? access_log_->lost_lines() : 0; }, control()};
  admin_ = std::make_unique<admin::Server>(control_, std::move(sources));
  if (predecessor_) admin_->take_over(predecessor_->sockets);
  if (wanted.bind) admin_->listen(*wanted.bind, admin::Surface::everything);
  if (wanted.metrics) admin_->listen(*wanted.metrics, admin::Surface::metrics_only);
  if (!wanted.socket.empty()) admin_->listen_on_socket(wanted.socket);
}

admin::Control Daemon::control() {
  return {.reload = [this](bool dry_run) { return reload(dry_run); },
          .upgrade = [this](auto done) { upgrade(std::move(done)); },
          .order = [this](const auto& backend, auto what, const auto& by) { return order(backend, what, by); },
          .older = [this](const std::string& pool,
                          const std::string& backend) { return predecessors_.shares(pool, backend); },
          .change = [this](const auto& change, bool persist) { return change_backend(change, persist); },
          .facts =
              [this] {
                admin::Facts facts{file_, {}, shared_.connections.value.load(), last_reload_, upgrade_facts()};
                for (const auto& [key, listener] : listeners_.open())
                  facts.listeners.emplace_back(listener.name, listener.address.to_string());
                return facts;
              },
          .explain = [this](const proxy::Question& question) { return proxy::explain(*runtime_, question, rng_); },
          .recent = [this](std::string prefix, size_t limit,
                           auto done) { find_recent(control_, workers_, std::move(prefix), limit, std::move(done)); },
          .reopen =
              [this](auto done) {
                predecessors_.signal(SIGUSR1);
                reopen_access_log(control_, access_log_, std::move(done));
              }};
}

void Daemon::publish_ready() {
  process_.ready = !draining_ && monitor_.first_round_done();
  if (predecessor_ && monitor_.first_round_done()) predecessor_->ready(orders_.forgotten());
}

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
  predecessor_ ? await_turn() : serve();
  control_.run();
  // It is ending in order: one more SIGTERM, when nobody handles it any longer, must not make a bad end of that.
  sigset_t late;
  ::sigemptyset(&late);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) ::sigaddset(&late, number);
  ::pthread_sigmask(SIG_BLOCK, &late, nullptr);
  passwords_.stop();
  for (auto& worker : workers_) worker->join();
  log::info("ended");
}

void Daemon::await_names() {
  discovery_.wait_for_first_round();
  monitor_.await_more(false);
}

void Daemon::serve() {
  listeners_.announce();  // only now: a start that fails announces none
  if (admin_) {
    admin_->announce();
    admin_->accept();
  }
  warn_of_descriptors();
  if (!predecessor_) await_names();  // clients wait in the listeners' queues
  for (auto& worker : workers_) worker->start();
  publish_ready();
  watch_memory();
  certificates_.start();
  watch_.switch_on(watch_wanted_ || config_->watch);
  log::info("ready",
            {{"pid", std::to_string(getpid())}, {"workers", std::to_string(workers_.size())}, {"file", file_}});
  if (predecessor_)
    manager_.ready_in_place_of_another(summary());
  else
    manager_.ready(summary());
  watchdog_.start(workers_.size(), manager_.watchdog());
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

std::string Daemon::refusal(const config::Config& next) const {
  std::string what;
  if ((next.workers ? next.workers : proxy::default_workers()) != process_.workers) what = "workers";
  const auto same = [](const std::optional<Endpoint>& a, const std::optional<Endpoint>& b) {
    return a.has_value() == b.has_value() && (!a || *a == *b);
  };
  if (!same(next.admin.bind, config_->admin.bind) || !same(next.admin.metrics, config_->admin.metrics) ||
      next.admin.socket != config_->admin.socket)
    what += what.empty() ? "the addresses of admin" : " and the addresses of admin";
  return what.empty() ? what : what + " can't change at a reload; run weir upgrade for it, or set the file back";
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
  if (upgrade_.under_way())
    return ended_as(Kind::refused, "an upgrade is under way: the new process reads the configuration");
  if (!dry_run) manager_.reloading();
  auto loaded = route::load_checked(file_, dry_run ? world_ : watch_.recording(world_));
  proxy::check_tls(loaded, std::time(nullptr));
  if (!dry_run) watch_.loaded(loaded.config.has_value());
  outcome.warnings = std::move(loaded.warnings);
  outcome.errors = std::move(loaded.errors);
  if (loaded.unreadable)
    return ended_as(Kind::bad_configuration, "the file can't be read, the old configuration keeps running");
  if (!loaded.config)
    return ended_as(Kind::bad_configuration, fmt::format("{} error{} in the configuration, the old one keeps running",
                                                         outcome.errors.size(), outcome.errors.size() == 1 ? "" : "s"));
  std::vector<std::string> forgotten;
  auto with_orders = orders_.preview(*loaded.config, forgotten);
  outcome.changes = config::diff(*config_, with_orders);
  outcome.changes.insert(outcome.changes.end(), forgotten.begin(), forgotten.end());
  if (auto reason = refusal(with_orders); !reason.empty()) return ended_as(Kind::refused, std::move(reason));
  if (dry_run) return ended_as(Kind::would_apply, {});
  try {
    auto next = std::make_shared<const config::Config>(std::move(with_orders));
    const auto old = config_;
    const auto log_settings = access_log_settings(*next, process_.workers);
    const bool other_log = log_settings != access_log_settings(*old, process_.workers);
    auto log = other_log && log_settings ? std::make_shared<AccessLog>(*log_settings) : nullptr;
    apply(next, true);
    orders_.adopt(std::move(*loaded.config));
    watch_.switch_on(watch_wanted_ || next->watch);
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
  bound_predecessors();
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
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) signals_.add(signal);
  signals_.async_wait([this](boost::system::error_code error, int signal) {
    if (error) return;
    wait_for_signals();
    on_signal(signal);
  });
}

void Daemon::on_signal(int signal) {
  if (signal == SIGHUP && upgrade_.under_way()) {
    reload_wanted_ = true;
    return;
  }
  if (signal == SIGHUP) return draining_ ? void() : void(reload(false));
  if (signal == SIGUSR2) return upgrade([](const admin::UpgradeOutcome&) {});
  if (signal == SIGUSR1) {
    if (!handed_over_) predecessors_.signal(SIGUSR1);  // else the new one tells them
    return access_log_ ? void(access_log_->reopen()) : void();
  }
  if (predecessor_ && !predecessor_->told_to_go()) return end();  // nothing is ours yet
  if (draining_) {
    log::warn("ending_now",
              {{"reason", "second signal"}, {"connections", std::to_string(shared_.connections.value.load())}});
    return end();
  }
  begin_drain();
}

void Daemon::begin_drain() {
  upgrade_.cancel();
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
  discovery_.stop();
  watch_.stop();
  if (admin_) admin_->stop();
  on_each_worker([](proxy::Worker& worker) { worker.finish(); });
  if (!handed_over_) predecessors_.end();
  if (!handed_over_ && (!predecessor_ || predecessor_->told_to_go())) listeners_.remove_unix_files();
  watchdog_.stop();
  memory_timer_.cancel();
  certificates_.stop();
  drain_timer_.cancel();
  signals_.cancel();
  control_.stop();
}

int run_daemon(const DaemonOptions& options) {
  const auto predecessor = Predecessor::from_environment();
  ConfigWatch::Seen seen = std::make_shared<config::SeenFiles>();
  try {
    auto world = config::Environment::real();
    if (options.dev) use_dev_certificate(world);
    auto loaded = route::load_checked(options.file, config::recording(world, seen));
    proxy::check_tls(loaded, std::time(nullptr));
    if (const int code = cli::report_problems(options.file, loaded, cli::Reader::perhaps_gone)) {
      if (predecessor) predecessor->failed(code, "the configuration is bad, or can't be read", lines_of(loaded));
      return code;
    }
    Daemon daemon(options, std::move(world), std::move(*loaded.config), std::move(seen), predecessor.get());
    daemon.run();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "weir: {}\n", error.what());
    if (predecessor) predecessor->failed(1, error.what(), {});
    return 1;
  }
}

}  // namespace weir
