// Sends spans to a collector: OTLP over HTTP, in JSON. A thread of its own takes them from the workers' queue, in
// batches; a collector that is slow, refuses or is gone costs spans (counted), never a request.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lb/base/clock.hpp"
#include "lb/base/rng.hpp"
#include "lb/base/trace_counters.hpp"
#include "lb/net/span_queue.hpp"

namespace weir::trace {

/// What follows an answer of the collector, or none (status 0). OTLP 1.5, "Failures": 429, 502, 503 and 504 may be
/// repeated, and so may what got no answer; anything else that isn't 2xx would fail again.
enum class Verdict { sent, repeat, give_up };
Verdict judge(uint16_t status);

inline constexpr uint32_t kMostTries = 5;  // of one batch
inline constexpr Milliseconds kFirstPause{500}, kLongestPause{30'000};
/// How long to wait after the n-th try (from 1): twice as long each time, between half and the whole of that by
/// `random`, but no less than a Retry-After in seconds says, and kLongestPause at most.
Milliseconds pause_after(uint32_t tries, std::string_view retry_after, Rng& random);

class SpanExporter {
 public:
  struct Settings {
    Endpoint collector;
    std::string authority, path;  // Host, and what is posted to
    std::string service, version;
    size_t workers = 1;
    uint32_t queue = 4096;
    Milliseconds timeout{5000};
    uint64_t seed = 1;
  };
  /// Starts the thread. `counters` outlive it.
  SpanExporter(Settings settings, TraceCounters& counters);
  /// Sends what is there, then ends the thread: after 2 s whatever is left is given up.
  ~SpanExporter();
  /// Begins what the destructor does, without waiting for it; no write() may follow. Any thread.
  void begin_ending();
  /// The thread has ended: the destructor will not wait.
  bool ended() const;

  /// Worker `worker` only; what finds no place is counted as dropped.
  void write(size_t worker, const RequestSpan& request) noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::trace
