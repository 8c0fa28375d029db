// Which responses may be compressed, and how a validator says that one was. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/model.hpp"
#include "lb/base/clock.hpp"
#include "lb/base/content_coding.hpp"

namespace weir::route {

/// What counts of a response's head.
struct ResponseFacts {
  uint16_t status = 0;
  std::optional<uint64_t> length;  // of the body; nothing: unknown
  std::string_view content_type;
  bool encoded = false;       // there is a Content-Encoding
  bool range = false;         // there is a Content-Range
  bool no_transform = false;  // RFC 9111 §5.2.2.6, §5.2.1.6
};

/// Why it may not be compressed whatever the client accepts; nothing: it may.
std::optional<CompressionSkip> unfit(const config::Compress& how, const ResponseFacts& response);

/// Is the media type (parameters don't count) among the patterns: "text/html", "text/*", "*+json"? They are in lower
/// case.
bool matches_type(const std::vector<std::string>& patterns, std::string_view content_type);
/// gRPC frames its messages and compresses them itself.
bool is_grpc(std::string_view content_type);
bool is_event_stream(std::string_view content_type);

/// A strong entity tag (RFC 9110 §8.8.3); two codings of one representation must not have the same.
bool is_strong(std::string_view etag);
/// Does If-None-Match name the weak form of this strong tag? Then the client has what we have made of it.
bool names_weak_form(std::string_view if_none_match, std::string_view strong_etag);

/// How much of a thread's time something takes: a window that slides, as a bucket that leaks. Over any time T it takes
/// no more than its share of T and of the window, and what one call takes beyond.
class TimeShare {
 public:
  static constexpr Duration kWindow = std::chrono::milliseconds(200);
  /// `percent`: 1 to 100; 100 is never used up.
  bool used_up(TimePoint now, uint32_t percent) {
    drain(now, percent);
    return percent < 100 && taken_ >= kWindow * percent / 100;
  }
  void take(TimePoint now, uint32_t percent, Duration time) {
    drain(now, percent);
    taken_ += time;
  }

 private:
  void drain(TimePoint now, uint32_t percent) {
    if (now <= last_) return;
    taken_ = std::max(Duration::zero(), taken_ - (now - last_) * percent / 100);
    last_ = now;
  }
  Duration taken_{};
  TimePoint last_{};
};

}  // namespace weir::route
