// One worker: a thread, an Asio event loop, its listening sockets, connections, upstream pools, timers and counters.
// Nothing of it is touched by another thread but post() and grant().
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "health/monitor.hpp"
#include "lb/base/access_log.hpp"
#include "lb/base/rng.hpp"
#include "lb/base/state.hpp"
#include "lb/base/timer_wheel.hpp"
#include "lb/base/unique_fd.hpp"
#include "lb/net/buffer.hpp"
#include "lb/net/http1.hpp"
#include "lb/net/poller.hpp"
#include "lb/proxy/credentials.hpp"
#include "lb/proxy/logged_fields.hpp"
#include "lb/proxy/password_checker.hpp"
#include "lb/proxy/recent.hpp"
#include "lb/proxy/runtime.hpp"
#include "lb/proxy/tcp_worker.hpp"
#include "lb/proxy/tls.hpp"

namespace weir::proxy {

class Acceptor;
class Compressor;
class DownstreamConnection;
class Exchange;
class Http2UpstreamConnection;
class UpstreamConnection;
struct Http2Worker;
struct ListenerInfo;
struct UpstreamSet;

/// How near the process is to limits.memory (security-rules D).
enum class MemoryLevel : uint8_t { normal, shed_keep_alive, refuse_requests, stop_accepting };

/// What all workers share.
struct Shared {
  ProcessState& process;
  health::Monitor& monitor;
  std::atomic<AccessLog*> access_log{nullptr};
  std::atomic<MemoryLevel> memory{MemoryLevel::normal};
  SharedGauge connections;  // downstream, open
  std::atomic<uint32_t> max_connections{0};
  PasswordChecker* passwords = nullptr;  // outlives the requests of routes with auth
  /// Another process just has copies of all descriptors (net::spawn): closed ones still raise events.
  std::atomic<bool> descriptors_copied{false};
};

/// A pool as one worker sees it.
struct WorkerPool {
  Pool* pool = nullptr;
  PoolCells* cells = nullptr;
  std::unique_ptr<balance::Picker> picker;
  uint64_t version = 0;
  std::shared_ptr<const balance::Table> table;
  bool panic = false;
  std::shared_ptr<const std::vector<bool>> takes_requests;  // of the table, if the pool has affinity
  std::vector<UpstreamSet*> upstreams;                      // parallel to pool->backends
  Duration median_latency{};  // of response heads, an estimate; how long a failure counts as load

  /// Moves the estimate by a small step towards the sample: it settles where half of the samples are above.
  void note_latency(uint64_t microseconds) {
    const Duration sample = std::chrono::microseconds(microseconds);
    const Duration step = median_latency / 64 + std::chrono::microseconds(1);
    median_latency += sample > median_latency ? step : -step;
  }
};

/// A runtime as one worker sees it; requests in flight pin it.
struct WorkerRuntime {
  std::shared_ptr<Runtime> shared;
  std::vector<WorkerPool> pools;
  uint32_t pins = 0;
  const config::Config& config() const { return *shared->config; }
};

/// What stays when a configuration is replaced: the address, whatever the listener is called. Port 0 is another one in
/// each listener.
std::string listener_key(const std::string& name, const Endpoint& bind);

/// A listening socket of this worker: new, or one that it was closing.
struct NewListener {
  std::string key;
  Endpoint address;
  std::shared_ptr<const UniqueFd> fd;  // the control thread watches it
  bool inherited = false;              // lb/net/inherited.hpp
};

class Worker {
 public:
  static constexpr size_t kReceiveScratch = 256 << 10, kSendScratch = 256 << 10;
  static constexpr size_t kExchangesKept = 256;  // free ones, for the next burst

  Worker(size_t index, Shared& shared, uint64_t seed);
  ~Worker();

  // Any thread.
  void start();
  void join();
  void post(std::function<void()> work);
  void grant(Grant grant);
  void answer(const PasswordChecker::Answer& answer);

  // On the worker's own thread.
  /// `removed`: keys of listeners.
  void adopt(std::shared_ptr<Runtime> next, std::vector<NewListener> added, const std::vector<std::string>& removed);
  /// SIGTERM, step by step (lb/daemon.cpp). No new connections, and each answer ends its connection.
  void begin_draining();
  /// Another process accepts in our place, but on the listeners with these keys, which close. Each answer ends its
  /// connection.
  void hand_over(const std::vector<std::string>& closing);
  /// It is gone: we accept again.
  void take_back();
  /// How many.
  size_t close_idle_connections();
  /// Closes whatever is left and ends the loop.
  void finish();
  /// Closes one idle connection, an old one, if there is any: to make room.
  bool shed_idle_connection();
  /// The same for an idle connection to a backend.
  bool shed_idle_upstream();

  Exchange* take_exchange();
  void recycle(Exchange* exchange);
  /// Frees what a burst of requests has left: the exchanges that were free all the time since the last call, but for
  /// kExchangesKept.
  void give_back_exchanges();
  size_t exchanges() const { return all_exchanges_.size(); }
  void add(DownstreamConnection& connection);
  void remove(DownstreamConnection& connection);
  /// Has a connection watched by the poller at the next tick, unless it is forgotten before. `place` is kept for it: 0
  /// if it isn't waiting.
  void watch_later(DownstreamConnection& connection, uint32_t& place);
  void forget_unwatched(uint32_t& place);
  /// Deletes it after the current batch of events.
  void retire(DownstreamConnection* connection);
  void retire(UpstreamConnection* connection);
  void retire(Http2UpstreamConnection* connection);
  /// Has it send what it has to send, once, after the current batch of events.
  void flush_later(Http2UpstreamConnection& connection) { unflushed_.push_back(&connection); }
  void pin(WorkerRuntime& pinned) { ++pinned.pins; }
  void unpin(WorkerRuntime& pinned);
  /// The table of a pool, fetched anew when it has changed.
  void refresh(WorkerPool& pool);
  UpstreamSet& upstream_set(const std::shared_ptr<BackendState>& backend);
  template <class Function>
  void for_each_upstream(Function&& function) {
    for (auto& [state, set] : upstreams_) function(*set);
  }
  /// Holds one more unit of load against a backend for a while (techniques §3: a backend that fails fast attracts
  /// requests).
  void add_phantom(std::shared_ptr<BackendState> backend, Duration how_long);
  /// Made when it is needed first.
  Compressor& compressor();
  /// Likewise.
  Http2Worker& http2();
  TimePoint refresh_clock() { return now = monotonic_now(); }
  /// "Mon, 31 Jan 2026 12:00:00 GMT", made once a second.
  std::string_view http_date();

  const size_t index;
  Shared& shared;
  WorkerCells& cells;
  struct Loop;  // Asio's io_context and the tick's timer
  const std::unique_ptr<Loop> loop;
  net::Poller poller;
  TimerWheel wheel;
  net::BufferPool buffers;
  TlsWorker tls{buffers};
  TcpWorker tcp{*this};
  EventBound proxy_failures, http2_failures;
  Rng rng;
  TimePoint now;
  bool draining = false;
  WorkerRuntime* runtime = nullptr;  // current
  // Per-thread scratch: what is being received, and what is being put together to be sent. Valid only within one event.
  std::unique_ptr<char[]> receive_scratch = std::make_unique<char[]>(kReceiveScratch);
  std::unique_ptr<char[]> send_scratch = std::make_unique<char[]>(kSendScratch);
  http1::ResponseHead response_head;
  RecentRequests recent{shared.process.workers};
  CredentialCache credentials;  // of users that came in
  LogHeaders log_headers;

 private:
  struct Phantom {
    TimePoint until;
    std::shared_ptr<BackendState> backend;
  };
  void run();
  void tick();
  void watch_all();
  void schedule_tick();
  void after_batch();
  void flush_http2();
  void flush_upstreams();
  void delete_retired();
  void update_listeners(std::vector<NewListener> added, const std::vector<std::string>& removed);
  void drain_connections();
  void begin_closing(const std::vector<std::string>& removed);
  void open_listener(NewListener added);
  void close_drained_listeners();
  void forget_unused();

  std::thread thread_;
  std::vector<std::unique_ptr<Acceptor>> acceptors_, closing_acceptors_, handed_acceptors_;
  std::unordered_map<std::string, std::shared_ptr<ListenerInfo>> listeners_;  // by key
  std::vector<std::unique_ptr<WorkerRuntime>> runtimes_;
  std::unordered_map<BackendState*, std::unique_ptr<UpstreamSet>> upstreams_;
  DownstreamConnection* downstream_ = nullptr;  // intrusive list of all, the newest first
  DownstreamConnection* oldest_downstream_ = nullptr;
  std::vector<DownstreamConnection*> unwatched_, watching_;  // null where forgotten; the second: those of this tick
  std::vector<DownstreamConnection*> retired_downstream_;
  std::vector<UpstreamConnection*> retired_upstream_;
  std::vector<Http2UpstreamConnection*> retired_http2_, unflushed_, flushing_;
  std::vector<std::unique_ptr<Exchange>> all_exchanges_;
  std::vector<Exchange*> free_exchanges_;
  std::unique_ptr<Compressor> compressor_;
  std::unique_ptr<Http2Worker> http2_;
  size_t fewest_free_ = 0;                  // since the last give_back_exchanges()
  std::atomic<uint32_t> grants_posted_{0};  // and not run yet; they name exchanges by pointer
  std::vector<Phantom> phantoms_;
  uint32_t ticks_ = 0;
  bool finished_ = false;
  int64_t date_second_ = -1;
  std::string date_;
};

}  // namespace weir::proxy
