// What became of the last requests and TCP sessions that failed, had to be tried again or were slow, for `weir why`. A
// worker has a ring of its own, which it alone touches; others ask it through Worker::post(). Nothing is allocated once
// it stands.
#pragma once
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "lb/base/cause.hpp"
#include "lb/base/state.hpp"

namespace weir::proxy {

/// A short text without memory of its own; what is too long is cut.
template <size_t N>
class FixedText {
 public:
  static_assert(N < 256);
  void operator=(std::string_view text) {
    length_ = static_cast<uint8_t>(std::min(text.size(), N));
    std::copy_n(text.data(), length_, bytes_);
  }
  std::string_view view() const { return {bytes_, length_}; }

 private:
  uint8_t length_;
  char bytes_[N];
};

struct AttemptRecord {
  FixedText<64> backend;
  sockaddr_storage address;
  socklen_t address_length;
  uint32_t start_us;  // after the request's first byte
  uint32_t took_us;   // from choosing it to the head of its answer, or to its failure
  uint16_t status;    // of its answer, 0: none
  Cause cause;        // why it failed; none: it answered
  bool reused;        // over a connection that was kept
};

/// What is remembered apart, so that the one can't push out the other: requests that reached a pool and failed; those
/// refused before, which strangers can make as many of as they like; what was answered well at the first try, but late;
/// TCP sessions that failed.
enum class RecentKind : uint8_t { forwarded, refused, slow, session };

struct RequestRecord {
  static constexpr size_t kAttempts = 12;
  static constexpr size_t kIdBytes = 128;  // longer ones are not taken from anybody
  int64_t wall_ns;                         // of its first byte
  uint32_t duration_us;
  uint16_t status;  // as in the access log: 499: the client didn't wait; 0: none
  Cause cause;
  bool slow;         // the head of its answer came later than log.slow
  RecentKind kind;   // a session has no id, status, target or route, and its host is the server name
  uint8_t attempts;  // made; the first kAttempts are kept
  uint8_t kept;
  FixedText<kIdBytes> id;
  FixedText<32> trace_id;  // empty: none
  FixedText<46> client;
  FixedText<32> method;
  FixedText<128> host;
  FixedText<200> target;
  FixedText<64> listener, pool;
  FixedText<128> route;
  FixedText<160> detail;  // what exactly was wrong with a refused one; empty: the cause says it all
  std::array<AttemptRecord, kAttempts> tries;

  /// The next of `tries`, while there is room; `kept` counts them.
  void add_try(const BackendState& backend, uint32_t start_us, uint32_t took_us, uint16_t answered, Cause why,
               bool over_kept);
};

class RecentRequests {
 public:
  /// Of each RecentKind, so many are kept by all workers together, but by each of them at least an eighth and at most a
  /// half.
  static constexpr std::array<size_t, 4> kKept{512, 128, 128, 128};

  explicit RecentRequests(size_t workers)
      : rings_{Ring(share(kKept[0], workers)), Ring(share(kKept[1], workers)), Ring(share(kKept[2], workers)),
               Ring(share(kKept[3], workers))} {}
  static constexpr size_t share(size_t all, size_t workers) { return std::clamp(all / workers, all / 8, all / 2); }

  /// The place of the oldest, to be filled in at once.
  RequestRecord& next(RecentKind kind) {
    RequestRecord& record = rings_[static_cast<size_t>(kind)].next();
    record.kind = kind;
    return record;
  }
  /// Those whose id, or trace's id, begins with `prefix`; an empty one is for all. The newest first, at most `limit` of
  /// each kind.
  std::vector<RequestRecord> find(std::string_view prefix, size_t limit) const;
  /// The same of what several workers have found.
  static void keep_newest(std::vector<RequestRecord>& records, size_t limit);

 private:
  struct Ring {
    // Touched from the start (1.3 MiB): memory that grows with the first failures would look like a leak.
    explicit Ring(size_t places) : capacity(places), records(std::make_unique<RequestRecord[]>(places)) {}
    RequestRecord& next() { return records[made++ % capacity]; }
    const size_t capacity;
    const std::unique_ptr<RequestRecord[]> records;
    size_t made = 0;
  };
  std::array<Ring, kKept.size()> rings_;
};

}  // namespace weir::proxy
