// The inside of Monitor: which backends are watched, when they are probed, and what is published. Control thread alone.
#pragma once
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <deque>
#include <map>
#include <unordered_map>

#include "health/backend_health.hpp"
#include "health/monitor.hpp"
#include "health/probe.hpp"

namespace weir::health {

/// Probes under way at once, over all pools: enough for 1,000 dead backends that each cost a time-out of 1 s every 2 s.
/// Beyond it they wait in the order in which they came due; the time-out of a probe counts from its own start, so
/// waiting never makes a backend look slow.
inline constexpr size_t kMaxProbes = 512;
/// How precisely ejections end, error rates are judged and slow start proceeds.
inline constexpr Duration kTick = std::chrono::milliseconds(100);

struct PoolWatch;

/// One backend under watch.
struct Watch {
  Watch(boost::asio::io_context& io, std::shared_ptr<BackendState> where, BackendHealth start)
      : state(std::move(where)), health(std::move(start)), timer(io) {}
  const std::shared_ptr<BackendState> state;
  BackendHealth health;
  PoolWatch* pool = nullptr;              // null: no longer watched
  std::shared_ptr<const ProbeSpec> spec;  // null: not actively checked
  boost::asio::steady_timer timer;
  std::shared_ptr<Probe> probe;  // under way
  uint64_t schedule = 0;         // what an older timer still says is void
  uint64_t probes = 0;           // started under this schedule
  TimePoint next_probe{};
  bool judged = false;  // a probe has ended since it is watched
  struct Found {        // by the last probes before take_over()
    bool ok = false;
    uint32_t in_a_row = 0;
    std::string reason;
  } found;
};

struct PoolWatch {
  std::shared_ptr<const config::Pool> config;
  std::shared_ptr<PoolState> state;
  std::vector<std::shared_ptr<Watch>> watches;
  bool unavailable = false;
  bool changed = false;  // to be told at the next flush
  TimePoint next_refusal_log{};

  // Of those with a weight that the operator lets serve:
  size_t usable() const;
  size_t weighted() const;
  size_t ejected() const;
};

struct Monitor::Impl : std::enable_shared_from_this<Impl> {
  Impl(boost::asio::io_context& control, uint64_t seed, std::function<void(const std::string&)> changed)
      : io(control), rng(seed), on_changed(std::move(changed)), tick_timer(control) {}

  void apply(std::vector<Target> targets, bool reload);
  void stop();
  std::vector<HandedHealth> known() const;
  void take_over(const std::vector<HandedHealth>& handed);
  void on_failures(const std::shared_ptr<BackendState>& backend);

  // Membership.
  std::shared_ptr<Watch> adopt(const Target& target, size_t index, std::shared_ptr<Watch> known, bool reload,
                               TimePoint now);
  void retire(Watch& watch);
  void stop_probing(Watch& watch);
  void start_probing(const std::shared_ptr<Watch>& watch, size_t count, TimePoint now);

  // Active checks.
  void arm(const std::shared_ptr<Watch>& watch, TimePoint when);
  void on_due(const std::shared_ptr<Watch>& watch);
  void probe(const std::shared_ptr<Watch>& watch);
  void on_result(const std::shared_ptr<Watch>& watch, const ProbeResult& result);
  void start_waiting();
  void note_round();
  void note_found(Watch& watch, bool ok, const std::string& reason);

  // Taking over (monitor_handover.cpp).
  void recall(Watch& watch, const HandedHealth& handed, bool same_checks, TimePoint now);

  // Passive ejection and slow start.
  void arm_tick();
  void on_tick(TimePoint now);
  void log_refusal(const Watch& watch, uint32_t cap, const std::string& why, TimePoint now);
  void judge_failures(Watch& watch, TimePoint now);
  void try_eject(Watch& watch, const std::string& why, TimePoint now);

  // Publication (monitor_publish.cpp).
  void publish(Watch& watch, TimePoint now);
  BackendStatus show(Watch& watch, TimePoint now);
  bool obey(BackendState& state, BackendOrder order, const std::string& by);
  void check_availability(PoolWatch& pool);
  void mark_changed(PoolWatch& pool);
  void flush();

  boost::asio::io_context& io;
  Rng rng;
  std::function<void(const std::string&)> on_changed;
  boost::asio::steady_timer tick_timer;
  bool ticking = false, stopped = false, flush_posted = false, more_to_come = false;
  bool holding = false;  // until take_over()
  std::map<std::string, PoolWatch> pools;
  std::unordered_map<const BackendState*, std::shared_ptr<Watch>> watches;
  std::deque<std::shared_ptr<Watch>> waiting;  // due, but kMaxProbes are under way
  size_t running = 0;
  uint64_t schedules = 0;
  TimePoint next_shortage_log{};
  std::atomic<bool> round_done{false};
};

}  // namespace weir::health
