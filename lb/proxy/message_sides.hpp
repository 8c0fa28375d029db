// The two sides of an exchange, whatever protocol carries them: a connection of HTTP/1, or a stream of HTTP/2. What is
// sent and received is always in the form of HTTP/1; a stream translates.
#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "lb/net/buffer.hpp"
#include "lb/net/http1.hpp"
#include "lb/net/poller.hpp"

namespace weir::proxy {

class DownstreamConnection;

enum class Sent : uint8_t { all, pending, failed };

/// The client, for one request after another.
class Downstream : public net::Pollable {
 public:
  /// Takes all of it: what can't go on now is kept, and blocked() until the exchange's on_downstream_drained.
  virtual Sent send(const iovec* parts, int count) = 0;
  virtual bool blocked() const = 0;
  /// Fields that follow the answer's body: whole lines "Name: value\r\n", which may be changed where they stand. Called
  /// once at most, after the last of the body and before exchange_done(). HTTP/1.1 has them in its last chunk, which
  /// the exchange writes: here they are dropped.
  virtual void send_trailers(std::span<char> lines) { static_cast<void>(lines); }
  /// More of the request's body is wanted again.
  virtual void resume() = 0;
  /// The answer is complete and sent. `keep_alive`: another request may follow.
  virtual void exchange_done(bool keep_alive) = 0;
  virtual void enter_tunnel() = 0;
  virtual void shutdown_send_after_flush() = 0;
  /// What was sent must not look complete.
  virtual void reset() = 0;
  /// Has the whole body of the request come?
  virtual bool body_complete() const = 0;
  virtual void stop_reading_body() = 0;
  /// limits.body_min_rate counts from now: only while the proxy is willing to read.
  virtual void restart_body_clock() = 0;
};

/// A backend, for one request.
class Upstream {
 public:
  virtual bool connected() const = 0;
  /// Other requests have gone before on the same connection.
  virtual bool reused() const = 0;
  /// Sends as much as there is room for, keeps the rest; order is kept.
  virtual Sent send(const iovec* parts, int count) = 0;
  virtual bool blocked() const = 0;
  /// With `framed`: the body of the request is complete, and these lines follow it.
  virtual Sent end_body(std::string_view trailer_lines) {
    static_cast<void>(trailer_lines);
    return Sent::all;
  }
  /// With `body_unsent`: the body that it was given, in memory that is the caller's from now on.
  virtual net::Buffer take_body() { return {}; }
  virtual void shutdown_send_after_flush() = 0;
  /// Reads on, if there may be something to read and the user wants it.
  virtual void pump() = 0;
  /// After a failed write: reads what the backend may have said before it closed, after the current event.
  virtual void look_for_end() = 0;
  /// Given back, for the next request; `keep_alive`: how long.
  virtual void keep(Duration keep_alive) = 0;
  /// Ends it. With `reset` the backend sees that it was broken off.
  virtual void close(bool reset = false) = 0;

  /// The part of `data` that is body, moved together into one piece, by `framing`; `used`: bytes that belong to the
  /// message. False: broken framing.
  bool decode(char* data, size_t size, std::string_view& body, size_t& used, bool& complete);

  bool framed = false;            // it frames bodies itself: they need no chunks, and end with end_body()
  bool body_follows = false;      // with `framed`, before the head is sent: there is a body
  bool refused = false;           // the backend has not looked at the request: it may be sent again
  bool excused = false;           // with `refused`: that says nothing against the backend
  bool body_unsent = false;       // with `refused`: nothing of the body has gone out, and all of it is still here
  Cause failure = Cause::none;    // why it has ended, if more is known than that
  net::Buffer head;               // a partial response head
  bool write_failed = false;      // the backend reads no more; its answer may still come
  http1::ChunkDecoder chunks;     // of the response body
  uint64_t remaining = 0;         // of a response body with a length
  uint64_t bytes_sent = 0;        // of this attempt
  bool response_started = false;  // a byte of the response has come
  uint8_t interim = 0;            // 1xx responses seen
  uint32_t receive_room = 0;      // bytes received at once, at most
  http1::Framing framing = http1::Framing::none;

 protected:
  ~Upstream() = default;
};

}  // namespace weir::proxy
