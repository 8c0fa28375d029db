// The state that the process shares over all workers and keeps over reloads: backends, pools, routes with their exact
// in-flight numbers, published health and metric cells. Written by the data plane and by the control thread, read by
// everyone; no locks on the request path.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "lb/base/cause.hpp"
#include "lb/base/clock.hpp"
#include "lb/base/content_coding.hpp"
#include "lb/base/counters.hpp"
#include "lb/base/endpoint.hpp"
#include "lb/base/http2.hpp"
#include "lb/base/proxy_protocol.hpp"
#include "lb/base/sliding_hyperloglog.hpp"
#include "lb/base/tls_failure.hpp"
#include "lb/base/trace_counters.hpp"

namespace weir {

/// Alone in its cache line: every worker writes it on each request.
struct alignas(64) SharedGauge {
  std::atomic<uint32_t> value{0};
};

enum class BackendStatus : uint8_t {
  unknown,   // not yet probed: usable
  up,        // usable
  down,      // active checks failed
  ejected,   // passive ejection
  draining,  // by the operator: nothing new, what is in flight goes on
  disabled,  // by the operator
};
inline constexpr std::array kBackendStatuses{BackendStatus::unknown, BackendStatus::up,       BackendStatus::down,
                                             BackendStatus::ejected, BackendStatus::draining, BackendStatus::disabled};
std::string_view to_string(BackendStatus status);

/// What the operator wants of a backend.
enum class BackendOrder : uint8_t { serve, drain, disable };

/// Written by one worker.
struct alignas(64) BackendCells {
  Counter requests;      // attempts sent to it
  Counter responses[6];  // by class: [1]…[5]
  Counter failures;      // attempts that failed for the backend's sake,
  Counter failed_5xx;    // … of which these were answers, and stand among the responses, too
  Counter connects, connect_failures, reused;
  Counter bytes_sent, bytes_received;
  Histogram latency;  // first byte of the attempt sent → response head
  // HTTP/2: requests; RST_STREAM both ways; GOAWAY; connections that broke the protocol.
  Counter http2_streams, http2_resets_received, http2_resets_sent, http2_goaways, http2_failures;
  std::atomic<uint32_t> session_tick{0};  // tick_of() its last answer to a session; 0: none
};

struct BackendState {
  BackendState(std::string pool_name, std::string backend_name, const Endpoint& where, size_t workers)
      : pool(std::move(pool_name)), name(std::move(backend_name)), address(where), cells(workers) {}
  const std::string pool, name;
  const Endpoint address;
  SharedGauge inflight;              // exact over the process
  SharedGauge phantom;               // added to in-flight in load comparisons only (techniques §3)
  std::atomic<uint64_t> latency{0};  // peak-EWMA, format private to lb/balance/latency.hpp
  std::atomic<uint32_t> consecutive_failures{0};
  std::atomic<uint32_t> open_connections{0};
  // Written by the health monitor alone:
  std::atomic<BackendStatus> status{BackendStatus::unknown};  // what counts: the operator's order, else health
  std::atomic<BackendStatus> health{BackendStatus::unknown};  // what checks and ejection say; never draining, disabled
  std::atomic<BackendOrder> order{BackendOrder::serve};
  std::atomic<int64_t> ordered_at_ns{0};        // monotonic; when it got the order to drain or to be disabled
  std::atomic<uint32_t> weight_permille{1000};  // slow start
  std::atomic<uint64_t> ejections{0}, checks_ok{0}, checks_failed{0}, transitions{0};
  std::vector<BackendCells> cells;  // by worker
  const TimePoint created = monotonic_now();
  /// The sessions that it answers while it drains; null until it was first told to. Never replaced.
  std::atomic<SlidingHyperLogLog*> sessions{nullptr};
  /// Makes `sessions`, on the control thread and before the order is seen.
  void count_sessions();
  /// Why it is in its state, for people; guarded by reason_mutex, never touched on the request path.
  mutable std::mutex reason_mutex;
  std::string reason;
  std::string ordered_by;  // who gave the order, empty with BackendOrder::serve
  int64_t since_wall_ns = 0;

 private:
  std::unique_ptr<SlidingHyperLogLog> counted_;
};

/// What became of the session of a request that a backend has answered (techniques §1).
enum class AffinityResult : uint8_t {
  hit,      // its own backend has answered
  created,  // no cookie, or an expired one
  broken,   // another backend, or its own is gone
  forged,   // a cookie that no known key has signed
};
inline constexpr size_t kAffinityResults = 4;
std::string_view to_string(AffinityResult result);

struct alignas(64) PoolCells {
  Counter requests, queued, retries, retry_budget_exhausted;
  Counter spilled;  // consistent_hash: bounded load moved the request
  Counter panics;   // picks made with no usable backend
  Counter affinity[kAffinityResults];
  Counter connect_failures[kConnectCauses];  // of TCP sessions, from kFirstConnectCause on
  Histogram latency;
};

struct PoolState {
  PoolState(std::string pool_name, size_t workers) : name(std::move(pool_name)), cells(workers) {}
  const std::string name;
  SharedGauge inflight;    // requests admitted, exact over the process
  SharedGauge waiting;     // requests in the queue
  SharedGauge retrying;    // retries in flight: the retry budget
  SharedGauge retry_debt;  // retries not yet paid for by successes, in thousandths; see lb/route/retry.hpp
  std::vector<PoolCells> cells;
};

inline constexpr size_t kGrpcStatuses = 17;  // OK to UNAUTHENTICATED

struct alignas(64) RouteCells {
  Counter responses[6];  // final answers to clients, by class [1]…[5]; [0]: none was sent
  Counter causes[kCauseCount];
  Counter grpc[kGrpcStatuses];                     // answers to gRPC by its status
  Counter rate_evicted_active, rate_evicted_idle;  // buckets of rate_limit that made room: still filling, or full
  Histogram latency;  // first byte of the request → last byte of the answer handed to the kernel
};

struct RouteState {
  RouteState(std::string route_name, std::string pool_name, size_t workers)
      : name(std::move(route_name)), pool(std::move(pool_name)), cells(workers) {}
  const std::string name, pool;  // pool is empty for redirect and respond
  std::vector<RouteCells> cells;
};

/// Of a listener of mode: tcp; written by one worker.
struct alignas(64) SessionCells {
  Counter sessions;           // begun
  Counter ends[kCauseCount];  // by why; `none`: both sides have ended in order
  Counter received, sent;     // bytes, of and to clients
};

struct ListenerState {
  ListenerState(std::string listener_name, size_t workers) : name(std::move(listener_name)), cells(workers) {}
  const std::string name;
  SharedGauge sessions;  // open, exact over the process
  std::vector<SessionCells> cells;
};

/// Of one worker, not bound to a route.
struct alignas(64) WorkerCells {
  Counter connections_accepted, connections_closed, connections_refused, connections_shed;
  Counter upstream_opened, upstream_closed;
  Counter bytes_received, bytes_sent;                     // downstream
  Counter requests_parsed, protocol_errors[kCauseCount];  // refused before a route was known
  Counter headers_dropped_underscore;
  Counter tunnels_opened, tunnels_closed;
  Counter http2_connections, http2_streams;  // begun
  Counter http2_resets_received[kHttp2Errors], http2_resets_sent[kHttp2Errors];
  Counter http2_floods[kHttp2Floods.size() + 1];  // by Http2Flood
  Counter http2_goaways[kHttp2Errors];            // sent
  Counter tls_handshakes[2][2];                   // that ended well: by TLS 1.3 or older, resumed or not
  Counter tls_failures[kTlsFailures];
  Counter proxy_headers[3];  // of the PROXY protocol: version 1, version 2; those of the peer itself
  Counter proxy_failures[kProxyFailures];
  Counter accept_paused;                  // EMFILE and its kin
  Counter log_dropped;                    // access lines lost to a full ring
  std::atomic<uint64_t> buffer_bytes{0};  // held in connection buffers; one writer
  Counter compressed[kContentCodings.size()], compress_skipped[kCompressionSkips];  // responses
  Counter compress_in, compress_out, compress_ns;                                   // bytes of bodies; time encoding
  std::atomic<uint64_t> encoder_bytes{0};  // of compress.memory, in use; one writer
};

/// Why the admin listeners refused a request (security-rules F7).
enum class AdminRefusal : uint8_t { host, origin, token };
inline constexpr size_t kAdminRefusals = 3;
std::string_view to_string(AdminRefusal reason);

/// What the admin listener and the metrics see of the whole process.
struct ProcessState {
  explicit ProcessState(size_t worker_count) : workers(worker_count), cells(worker_count) {}
  const size_t workers;
  std::vector<WorkerCells> cells;
  std::atomic<bool> ready{false}, draining{false};
  std::atomic<uint64_t> generation{0}, reloads_ok{0}, reloads_failed{0};
  std::atomic<uint64_t> upgrades_ok{0}, upgrades_failed{0};  // of the processes before this one, too
  std::atomic<uint64_t> predecessors{0};                     // of them, those that still finish their connections
  std::atomic<int64_t> started_wall_ns{0}, loaded_wall_ns{0};
  std::atomic<uint64_t> admin_refused[kAdminRefusals]{};
  std::atomic<uint64_t> dns_answers[3]{};    // found, missing, failed
  std::atomic<uint64_t> backend_changes{0};  // of pools, by what DNS said
  TraceCounters traces;
};

}  // namespace weir
