// Counts what a client of HTTP/2 does that costs us more than it (security-rules E1–E5). Pure: time is passed in.
#pragma once
#include <cstdint>

#include "lb/base/clock.hpp"
#include "lb/base/http2.hpp"

namespace weir::http2 {

class Guard {
 public:
  Guard(const Http2Limits& limits, TimePoint now);

  /// The header of each frame that comes, CONTINUATION included. Not none: the connection is to end.
  Http2Flood on_frame(uint8_t type, uint8_t flags, uint32_t length, TimePoint now);
  /// A frame or a request that breaks the rules.
  Http2Flood on_error(TimePoint now);
  /// A stream was reset by its client's doing, as if that had reset it.
  Http2Flood on_reset(TimePoint now) { return resets_.take(now) ? Http2Flood::none : Http2Flood::resets; }
  /// HEADERS or DATA has gone out: pings are answered by work.
  void on_message_sent() { pings_.fill(); }

 private:
  class Bucket {
   public:
    Bucket(uint32_t burst, uint32_t per_minute, TimePoint now)
        : most_(int64_t{burst} * kToken), per_minute_(per_minute), left_(most_), filled_(now) {}
    bool take(TimePoint now);
    void fill() { left_ = most_; }

   private:
    static constexpr int64_t kToken = 60'000;  // a millisecond brings as many parts of it as a minute brings tokens
    int64_t most_, per_minute_, left_;
    TimePoint filled_;
  };

  Bucket resets_, errors_, settings_, pings_;
  const uint32_t most_priorities_, most_empty_, most_continuations_;
  uint64_t streams_ = 0, priorities_ = 0;
  uint32_t empty_ = 0, continuations_ = 0;
};

}  // namespace weir::http2
