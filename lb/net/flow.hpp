// One direction of a relay: bytes of one stream to another as they come. Keeps at most one buffer or one pipe of what
// the other side does not take; while it holds that, it reads no more. An end of the source is passed on as an end.
#pragma once
#include <cstddef>
#include <cstdint>

#include "lb/net/buffer.hpp"
#include "lb/net/pipe.hpp"
#include "lb/net/stream.hpp"

namespace weir::net {

/// What the flows of one worker share.
struct FlowMeans {
  BufferPool& buffers;
  PipePool& pipes;
  char* scratch;  // what is being moved; valid within one call
  size_t scratch_bytes;
};

class Flow {
 public:
  static constexpr size_t kRoom = 64 << 10;  // read at once; more while the other side takes all of it
  static constexpr size_t kWorthwhile =
      16 << 10;                      // what splice moves less than this at a time, recv and send move cheaper
  static constexpr int kTurns = 16;  // reads, then others get a turn

  enum class Outcome : uint8_t {
    idle,           // nothing more to read now
    blocked,        // the other side takes nothing now
    again,          // there is more, but others have waited
    ended,          // the source has ended, all of it is passed on, and so is its end
    source_failed,  // error() says how
    sink_failed,
  };

  /// Moves what can be moved now. `readable`: the source may have something; set to false when it has not.
  /// `peer_fin`: the source's end is on its way, so that a short read is not the last one.
  Outcome move(Stream& from, Stream& to, bool& readable, bool peer_fin, const FlowMeans& means);
  /// The source has broken off. What it has sent before that can still be moved; an end that is read then is none, but
  /// for the close_notify of TLS.
  void source_broke_off() { broken_ = true; }
  /// Bytes are held that the other side did not take.
  bool holds() const { return !held_.empty() || piped_ > 0; }
  bool ended() const { return passed_end_; }
  int error() const { return error_; }
  /// Gives back what it holds.
  void release(const FlowMeans& means);

  uint64_t taken() const { return taken_; }  // bytes read from the source
  uint64_t given() const { return given_; }  // bytes that the kernel took for the other side

 private:
  enum class Step : uint8_t { done, blocked, idle, failed_source, failed_sink };
  Step copy(Stream& from, Stream& to, bool& readable, bool peer_fin, const FlowMeans& means);
  Step take_end(const Stream& from, bool& readable);
  Step fill_pipe(Stream& from, bool& readable, const FlowMeans& means);
  Step flush(Stream& to, const FlowMeans& means);
  Step empty_pipe(Stream& to);
  void drop_pipe(const FlowMeans& means);

  Buffer held_;
  Pipe pipe_;
  uint64_t taken_ = 0, given_ = 0;
  uint32_t piped_ = 0;  // bytes in the pipe
  uint32_t room_ = kRoom;
  int error_ = 0;
  uint8_t small_ = 0;  // pieces in a row for which splice was not worth it
  bool bulk_ = false;  // splice is worth it
  bool broken_ = false, source_end_ = false, passed_end_ = false;
};

}  // namespace weir::net
