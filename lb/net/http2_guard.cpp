#include "lb/net/http2_guard.hpp"

#include <algorithm>

namespace weir::http2 {

namespace {

enum Type : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kReset = 3,
  kSettings = 4,
  kPing = 6,
  kContinuation = 9,
  kPriorityUpdate = 16,  // RFC 9218
};
constexpr uint8_t kAck = 1, kEndStream = 1;

}  // namespace

bool Guard::Bucket::take(TimePoint now) {
  const auto passed = std::chrono::duration_cast<Milliseconds>(now - filled_);
  if (passed.count() > 0) {
    constexpr int64_t kLongest = 3'600'000;  // by then the fullest bucket has filled; more might overflow
    left_ = std::min(most_, left_ + std::min<int64_t>(passed.count(), kLongest) * per_minute_);
    filled_ += passed;
  }
  if (left_ < kToken) return false;
  left_ -= kToken;
  return true;
}

Guard::Guard(const Http2Limits& limits, TimePoint now)
    : resets_(limits.resets, limits.resets_per_minute, now),
      errors_(limits.errors, limits.errors_per_minute, now),
      settings_(limits.settings_per_minute, limits.settings_per_minute, now),
      pings_(limits.pings_per_minute, limits.pings_per_minute, now),
      most_priorities_(limits.priorities),
      most_empty_(limits.empty_data),
      most_continuations_(limits.continuations) {}

Http2Flood Guard::on_frame(uint8_t type, uint8_t flags, uint32_t length, TimePoint now) {
  switch (type) {
    case kHeaders:
      ++streams_;
      continuations_ = 0;
      pings_.fill();
      return Http2Flood::none;
    case kData:
      pings_.fill();
      empty_ = length == 0 && !(flags & kEndStream) ? empty_ + 1 : 0;
      return empty_ > most_empty_ ? Http2Flood::empty_data : Http2Flood::none;
    case kContinuation: return ++continuations_ > most_continuations_ ? Http2Flood::continuations : Http2Flood::none;
    case kPriority:
    case kPriorityUpdate:
      return ++priorities_ > most_priorities_ * (1 + streams_) ? Http2Flood::priorities : Http2Flood::none;
    case kReset: return on_reset(now);
    case kSettings: return flags & kAck || settings_.take(now) ? Http2Flood::none : Http2Flood::settings;
    case kPing: return flags & kAck || pings_.take(now) ? Http2Flood::none : Http2Flood::pings;
    default: return Http2Flood::none;
  }
}

Http2Flood Guard::on_error(TimePoint now) { return errors_.take(now) ? Http2Flood::none : Http2Flood::errors; }

}  // namespace weir::http2
