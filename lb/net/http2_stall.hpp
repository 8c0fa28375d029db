// Which streams of a connection of HTTP/2 stand still through the client's fault (security-rules E7; docs/http2.md says
// the rule). Pure: what there is, and the time, is passed in.
#pragma once
#include <cstddef>
#include <cstdint>

#include "lb/base/clock.hpp"

namespace weir::http2 {

/// One look at all streams: count() each, then act() says what is to be done, and to which of them.
class StallLook {
 public:
  enum class Held : uint8_t {
    no,             // it has nothing to send, or could send within the time
    by_stream,      // the client gives it no window
    by_connection,  // it has a window; that of the connection is used up, and no other stream can send either
  };
  enum class Act : uint8_t { nothing, reset_by_stream, reset_by_connection, end_connection };

  /// `moved`: when some stream could send last, or the socket held back what they had sent.
  StallLook(TimePoint now, Duration most, TimePoint moved) : now_(now), most_(most), moved_(moved) {}

  /// `window`: the stream's own. `moved`: when it could send last, or what it has to send came.
  Held judge(bool waits, int32_t window, TimePoint moved) const {
    if (!waits || now_ - moved < most_) return Held::no;
    if (window <= 0) return Held::by_stream;
    return now_ - moved_ < most_ ? Held::no : Held::by_connection;
  }

  void count(Held held) { ++counts_[static_cast<size_t>(held)]; }

  /// Who has used up its own window goes first: that may give the others theirs.
  Act act() const {
    if (counts_[static_cast<size_t>(Held::by_stream)]) return Act::reset_by_stream;
    if (!counts_[static_cast<size_t>(Held::by_connection)]) return Act::nothing;
    return counts_[static_cast<size_t>(Held::no)] ? Act::reset_by_connection : Act::end_connection;
  }

 private:
  TimePoint now_;
  Duration most_;
  TimePoint moved_;
  uint32_t counts_[3]{};
};

}  // namespace weir::http2
