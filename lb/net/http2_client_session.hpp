// The client's side of one connection of HTTP/2 (RFC 9113), without I/O: bytes in, bytes out, and what has come for
// each stream in the form of HTTP/1.1. nghttp2 does the frames and compression; what a backend may not do to us is
// bounded here.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lb/base/clock.hpp"
#include "lb/net/buffer.hpp"
#include "lb/net/http2_fields.hpp"
#include "lb/net/trailers.hpp"

namespace weir::http2 {

/// What a backend may do, and how much of it we hold.
struct ClientLimits {
  /// Of one answer that its reader does not take. Bytes that wait so count against the stream's window alone: a slow
  /// client never stalls its neighbours on the connection.
  uint32_t stream_window = 256 << 10;
  uint32_t connection_window = 1 << 20;
  /// Of all heads of a stream together, decoded, as for HTTP/1.1.
  uint32_t header_bytes = 64 << 10, header_count = 200;
  uint32_t trailers = kMostTrailers, trailer_bytes = kMostTrailerBytes;
  /// Frames that carry no answer: SETTINGS, PING, PRIORITY, empty DATA, resets of nothing. In kControlTime.
  uint32_t control_frames = 1000;
  static constexpr Duration kControlTime = std::chrono::seconds(10);
};

/// Why a stream has come to nothing.
enum class StreamFault : uint8_t {
  none,
  refused,    // the backend has not looked at the request (RFC 9113 §8.7), or it was never sent
  reset,      // the backend has broken it off
  malformed,  // its answer breaks the protocol
  too_large,  // a head above the limits
};

/// A request and its answer. Whoever made it keeps it until it is `closed`, or the session is gone.
struct ClientStream {
  int32_t id = 0;  // 0: not submitted
  net::Buffer in;  // heads in the form of HTTP/1.1, and the body's bytes behind them
  net::Buffer trailers;
  net::Buffer out, out_trailers;  // what is to be sent of the body, and lines behind it
  uint32_t unconsumed = 0;        // bytes of the body in `in`
  uint32_t header_bytes = 0, header_count = 0;
  bool out_whole = true;      // nothing has gone of what was put into `out`
  bool out_end = false;       // the body ends behind `out`
  bool tell_drained = false;  // it is made ready when bytes of `out` have gone
  bool head_method = false;
  std::string accept;     // extended CONNECT for a WebSocket: what HTTP/1.1 would have as Sec-WebSocket-Accept
  bool sent = false;      // the head is out
  bool answered = false;  // the final head has come
  bool ended = false;     // the answer is complete
  bool reset_by_peer = false;
  bool abandoned = false;  // nobody wants the rest
  bool closed = false;
  bool ready = false;  // in ClientSession::ready
  StreamFault fault = StreamFault::none;
  void release(net::BufferPool& pool);
};

class ClientSession {
 public:
  /// Why the whole connection is of no use.
  enum class Problem : uint8_t { none, not_http2, protocol, flood, memory };

  explicit ClientSession(net::BufferPool& buffers, const ClientLimits& limits = {});
  ~ClientSession();
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  /// False: see problem(). `ready` then has the streams for which something has come, or that have ended.
  bool receive(const char* data, size_t size, TimePoint now);
  /// What is to be sent next, until it is empty; valid until the next call of anything here. Then problem() may be set,
  /// and `ready` have more.
  std::string_view next_output();

  /// Sends a request. `fields` with its pseudo header fields first. `body`: there is one; it comes through `out`.
  /// False: nothing more can be sent here.
  bool submit(ClientStream& stream, const FieldSection& fields, bool body);
  /// `out`, `out_end` or `out_trailers` have changed.
  void resume(ClientStream& stream);
  /// Its reader has taken so many bytes of the body.
  void consume(ClientStream& stream, uint32_t bytes);
  /// Nobody wants the rest: it is `closed` with the next output, if it isn't already.
  void abandon(ClientStream& stream);
  void ping();
  /// No more requests from us: an orderly end.
  void say_goodbye();

  /// The backend has said what it speaks: until then it may be anything.
  bool greeted() const { return greeted_; }
  /// Streams that it takes at a time.
  uint32_t max_streams() const;
  /// Bytes of bodies that it takes now, of all streams together.
  uint32_t window() const;
  /// It takes extended CONNECT (RFC 8441).
  bool takes_connect() const;
  /// It takes no new requests.
  bool going_away() const { return goaway_; }
  Problem problem() const { return problem_; }
  /// In a few words, static.
  const char* detail() const { return detail_; }
  static std::string_view to_string(Problem problem);

  std::vector<ClientStream*> ready;
  uint32_t resets = 0;  // of streams of ours, by the backend; for whoever counts them to take

 private:
  friend struct ClientCallbacks;
  void make_ready(ClientStream& stream);
  bool count_control();
  bool fail(Problem problem, const char* detail);
  void begin_block(bool trailers);
  bool add_field(ClientStream& stream, std::string_view name, std::string_view value);
  void end_block(ClientStream& stream, bool end_stream);

  struct Native;  // nghttp2's session
  std::unique_ptr<Native> native_;
  net::BufferPool& buffers_;
  const ClientLimits limits_;
  std::string block_;  // the field section that is being received; there is one at a time (RFC 9113 §4.3)
  uint32_t block_count_ = 0;
  uint16_t status_ = 0;
  bool block_trailers_ = false, block_length_ = false;
  TimePoint now_{}, control_since_{};
  uint32_t control_ = 0;
  bool greeted_ = false, goaway_ = false, goodbye_ = false;
  Problem problem_ = Problem::none;
  const char* detail_ = "";
};

}  // namespace weir::http2
