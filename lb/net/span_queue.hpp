// Requests whose trace is recorded, on their way from the workers to the exporter's thread: a ring each worker, and one
// bound over all of them. A worker never waits: what finds no place is dropped, and the caller counts it.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "lb/base/byte_ring.hpp"
#include "lb/base/cause.hpp"
#include "lb/base/endpoint.hpp"

namespace weir::trace {

/// A try at a backend.
struct AttemptSpan {
  std::string_view backend;
  const Endpoint* address = nullptr;
  uint32_t start_us = 0;  // after the request's first byte
  uint32_t took_us = 0;   // to its failure, or to the end of the answer
  uint16_t status = 0;    // of its answer, 0: none
  Cause cause = Cause::none;
  bool reused = false;  // over a connection that was kept
};

/// A finished request. The views need to live only until write() returns.
struct RequestSpan {
  static constexpr size_t kMostAttempts = 12, kTextBytes = 1024;
  int64_t wall_ns = 0;  // when its first byte came
  uint64_t duration_us = 0;
  uint64_t span = 0;  // the id of its own span; those of its attempts are made of it (attempt_span())
  uint32_t attempts = 0;
  uint16_t status = 0;
  bool answered = false;  // the status was sent
  uint8_t minor = 1;
  Cause cause = Cause::none;
  std::string_view trace_id, parent_id;  // hexadecimal; an empty parent: it begins here
  std::string_view trace_state, method, path, host, client, peer, user_agent, request_id;  // cut at kTextBytes
  std::string_view listener, route, pool;
  std::span<const AttemptSpan> tries;  // the first kMostAttempts
  size_t spans() const { return 1 + tries.size(); }
};

class SpanQueue {
 public:
  /// `most`: requests, over all workers.
  SpanQueue(size_t workers, uint32_t most);

  /// Worker `worker` only. False: there was no place. No system call, no allocation; wakes no one.
  bool write(size_t worker, const RequestSpan& request) noexcept;
  uint32_t waiting() const { return waiting_.load(std::memory_order_relaxed); }
  uint32_t most() const { return most_; }

  /// One thread: passes up to `most` requests to `take(const RequestSpan&)`, whose views are valid until it returns.
  /// How many.
  template <typename Take>
  size_t take(Take&& take, size_t most) {
    size_t taken = 0;
    for (size_t i = 0; i < rings_.size() && taken < most; ++i)
      rings_[i]->consume(
          [&](std::span<const std::byte> bytes) {
            Unpacked unpacked;
            unpack(bytes, unpacked);
            take(unpacked.request);
            ++taken;
          },
          most - taken);
    waiting_.fetch_sub(static_cast<uint32_t>(taken), std::memory_order_relaxed);
    return taken;
  }

 private:
  struct Unpacked {
    RequestSpan request;
    std::array<AttemptSpan, RequestSpan::kMostAttempts> tries;
    std::array<Endpoint, RequestSpan::kMostAttempts> addresses;
  };
  static void unpack(std::span<const std::byte> bytes, Unpacked& into);

  const uint32_t most_;
  std::atomic<uint32_t> waiting_{0};
  std::vector<std::unique_ptr<ByteRing>> rings_;
};

}  // namespace weir::trace
