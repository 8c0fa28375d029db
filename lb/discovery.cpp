#include "lb/discovery.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lb/base/log.hpp"
#include "lb/discover/handed.hpp"

namespace weir {

namespace {

using discover::State;

constexpr size_t kMaxQuestions = 256;                         // under way at once; the others wait
constexpr auto kChangeGap = std::chrono::milliseconds(100);   // between two changes of the tables
constexpr auto kFirstRound = std::chrono::milliseconds(500);  // the start waits for DNS so long at most
constexpr size_t kListed = 20;                                // backends named in an event

net::ResolverSettings settings_of(const config::Resolver& from) {
  return {from.servers, from.resolv_conf, from.port, from.timeout, from.tries};
}

std::string list(const std::vector<std::string>& names) {
  const auto end = names.begin() + static_cast<ptrdiff_t>(std::min(names.size(), kListed));
  return fmt::format("{}{}", fmt::join(names.begin(), end, ", "),
                     names.size() > kListed ? fmt::format(" and {} more", names.size() - kListed) : "");
}

std::string age(TimePoint then, TimePoint now) {
  if (then == TimePoint{}) return "never";
  return fmt::format("{}s", std::chrono::duration_cast<std::chrono::seconds>(now - then).count());
}

void log_difference(const config::Pool& pool, const discover::Difference& difference) {
  log::info("backends_changed", {{"pool", pool.name},
                                 {"backends", std::to_string(pool.backends.size())},
                                 {"added", list(difference.added)},
                                 {"removed", list(difference.removed)},
                                 {"moved", list(difference.moved)}});
}

}  // namespace

Discovery::Discovery(boost::asio::io_context& control, uint64_t seed, ProcessState& process,
                     std::function<void()> changed)
    : control_(control),
      ask_timer_(control),
      change_timer_(control),
      process_(process),
      changed_(std::move(changed)),
      names_(seed) {}

void Discovery::offer(net::Handover& handover, const proxy::Runtime& running) const {
  std::vector<const config::Pool*> pools;
  for (const auto& pool : running.pools) pools.push_back(pool->config.get());
  auto names = discover::lines_of(names_.entries()), serving = discover::lines_of(pools);
  net::warn_of_gap("names", names.left_out, "they are too many");
  net::warn_of_gap("backends", serving.left_out, "they are too many");
  handover.names = std::move(names.lines);
  handover.serving = std::move(serving.lines);
}

void Discovery::recall(const net::Handover& handover) {
  auto names = discover::handed_names(handover.names, monotonic_now());
  auto serving = discover::handed_pools(handover.serving);
  net::warn_of_gap("names", names.wrong, names.first_why);
  net::warn_of_gap("backends", serving.wrong, serving.first_why);
  names_.recall(std::move(names.known));
  handed_ = std::move(serving.known);
}

void Discovery::configure(std::shared_ptr<const config::Config> config) {
  config_ = std::move(config);
  auto questions = discover::questions_of(*config_);
  const bool needed = !questions.empty();
  names_.configure(config_->resolver, std::move(questions), monotonic_now());
  std::erase_if(waiting_, [this](const auto& question) { return !names_.entries().contains(question); });
  std::erase_if(told_, [this](const auto& told) {
    const auto& entries = names_.entries();
    return std::none_of(entries.begin(), entries.end(),
                        [&](const auto& entry) { return entry.first.name == told.first; });
  });
  tell_nothing_new();
  if (resolver_)
    resolver_->configure(settings_of(config_->resolver));
  else if (needed)
    resolver_ = std::make_unique<net::Resolver>(control_, settings_of(config_->resolver));
  if (resolver_) ask();
}

void Discovery::ask() {
  if (stopped_) return;
  for (auto& question : names_.due(monotonic_now())) waiting_.push_back(std::move(question));
  size_t taken = 0;
  while (taken < waiting_.size() && asking_ < kMaxQuestions) {
    const auto question = waiting_[taken++];
    ++asking_;
    resolver_->ask(question.name, question.type,
                   [this, question](net::DnsOutcome outcome) { on_answer(question, std::move(outcome)); });
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(taken));
  arm();
}

void Discovery::on_answer(const discover::Question& question, net::DnsOutcome outcome) {
  using Kind = discover::Answer::Kind;
  --asking_;
  discover::Answer answer{Kind::failed, std::move(outcome.reason), std::move(outcome.answer)};
  if (outcome.kind == net::DnsOutcome::Kind::found) answer.kind = Kind::found;
  if (outcome.kind == net::DnsOutcome::Kind::missing) answer.kind = Kind::missing;
  process_.dns_answers[static_cast<size_t>(answer.kind)].fetch_add(1, std::memory_order_relaxed);
  const bool changed = names_.take(question, std::move(answer), monotonic_now());
  tell(question.name, question.type == net::DnsType::srv);
  if (changed) note_change();
  ask();
}

/// An event when a name begins to fail, is gone, or is there again.
void Discovery::tell(const std::string& name, bool services) {
  const auto view = services ? names_.services(name) : names_.host(name);
  if (view.state == State::pending) return;
  State& told = told_[name];
  if (std::exchange(told, view.state) == view.state) return;
  if (view.state == State::ok)
    return log::info("name_resolved", {{"name", name}, {"addresses", std::to_string(view.addresses.size())}});
  const TimePoint now = monotonic_now();
  log::warn(view.state == State::missing ? "name_missing" : "name_failing",
            {{"name", name},
             {"reason", view.reason},
             {"last_answer", age(view.good_at, now)},
             {"kept", view.good_at == TimePoint{}    ? "nothing"
                      : view.state == State::failing ? "the last addresses, until DNS answers"
                      : config_->resolver.keep_missing.count() == 0
                          ? "nothing"
                          : fmt::format("the last addresses, for {} s at most",
                                        config_->resolver.keep_missing.count() / 1000.0)}});
}

/// The state that a name has already was told by the process that handed it over.
void Discovery::tell_nothing_new() {
  for (const auto& [question, entry] : names_.entries()) {
    const bool services = question.type == net::DnsType::srv;
    const State state = services ? names_.services(question.name).state : names_.host(question.name).state;
    if (state != State::pending) told_.try_emplace(question.name, state);
  }
}

void Discovery::note_change() {
  if (std::exchange(change_pending_, true)) return;
  // Answers come in bunches, and each change is a new table.
  change_timer_.expires_at(std::max<TimePoint>(change_timer_.expiry() + kChangeGap, monotonic_now()));
  change_timer_.async_wait([this](boost::system::error_code error) {
    if (!error && std::exchange(change_pending_, false)) changed_();
  });
}

void Discovery::arm() {
  const TimePoint next = names_.next();
  if (next == TimePoint::max()) return void(ask_timer_.cancel());
  ask_timer_.expires_at(next);
  ask_timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    if (names_.expire(monotonic_now())) note_change();
    ask();
  });
}

void Discovery::wait_for_first_round() {
  const auto until = std::chrono::steady_clock::now() + kFirstRound;
  while (!names_.first_round_done() && !control_.stopped() && std::chrono::steady_clock::now() < until)
    control_.run_one_until(until);
  if (std::exchange(change_pending_, false)) changed_();
  handed_.clear();
}

void Discovery::stop() {
  stopped_ = true;
  if (resolver_) resolver_->stop();
  ask_timer_.cancel();
  change_timer_.cancel();
}

// ---- pools ----

config::Pool Discovery::serving(const config::Pool& configured, const proxy::Runtime* before) {
  if (!discover::has_names(configured)) return configured;
  const config::Pool* old = nullptr;
  if (before)
    for (const auto& pool : before->pools)
      if (pool->config->name == configured.name) old = pool->config.get();
  if (const auto handed = handed_.find(configured.name); !before && handed != handed_.end()) old = &handed->second;
  auto expanded = discover::expand(configured, names_, old);
  warn_of_limit(configured.name, expanded.left_out);
  return std::move(expanded.pool);
}

std::map<std::string, config::Pool> Discovery::changes(const proxy::Runtime& running) {
  std::map<std::string, config::Pool> changed;
  for (size_t i = 0; i < running.pools.size(); ++i) {
    const auto& pool = running.pools[i];
    const auto& configured = config_->pools[i];
    if (!discover::has_names(configured)) continue;
    auto expanded = discover::expand(configured, names_, pool->config.get());
    warn_of_limit(configured.name, expanded.left_out);
    const auto difference = discover::difference(*pool->config, expanded.pool);
    if (difference.empty() && expanded.pool.unresolved == pool->config->unresolved) continue;
    if (!difference.empty()) {
      log_difference(expanded.pool, difference);
      process_.backend_changes.fetch_add(1, std::memory_order_relaxed);
    }
    changed.emplace(configured.name, std::move(expanded.pool));
  }
  return changed;
}

bool Discovery::awaits(const std::string& pool) const {
  const auto* configured = config_->find_pool(pool);
  return configured && discover::awaits(*configured, names_);
}

void Discovery::warn_of_limit(const std::string& pool, size_t left_out) {
  if (std::exchange(left_out_[pool], left_out) == left_out || left_out == 0) return;
  log::warn("backends_left_out",
            {{"pool", pool},
             {"left_out", std::to_string(left_out)},
             {"help", "DNS says more than discover.max_backends allows; raise it if that is meant so"}});
}

std::vector<admin::NameStatus> Discovery::names_of(const config::Pool& serving) const {
  std::vector<admin::NameStatus> out;
  const auto* configured = config_ ? config_->find_pool(serving.name) : nullptr;
  if (!configured) return out;
  const TimePoint now = monotonic_now();
  for (auto& name : discover::names_of(*configured, serving, names_)) {
    static constexpr const char* kStates[]{"pending", "ok", "missing", "failing"};
    admin::NameStatus status;
    status.name = std::move(name.name);
    status.backend = std::move(name.backend);
    status.state = kStates[static_cast<size_t>(name.view.state)];
    status.reason = std::move(name.view.reason);
    if (name.view.good_at != TimePoint{}) status.age = now - name.view.good_at;
    status.backends = name.backends;
    out.push_back(std::move(status));
  }
  return out;
}

}  // namespace weir
