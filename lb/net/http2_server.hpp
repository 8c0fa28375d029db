// One client's connection of HTTP/2 without its socket: bytes in, events out, and the reverse (RFC 9113), over nghttp2.
// Counts what the client may do too often (see http2_guard.hpp). docs/adr/0007-http2.md says why it is made so.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lb/base/clock.hpp"
#include "lb/base/http2.hpp"
#include "lb/net/buffer.hpp"

struct nghttp2_session;

namespace weir::http2 {

class FieldSection;

/// A stream, as the session knows it. Its owner derives from it, and keeps it until on_closed.
class ServerStream {
 public:
  int32_t id() const { return id_; }
  /// The client has said everything.
  bool heard_all() const { return heard_all_; }
  /// Nothing more can be said to it, nor comes from it.
  bool closed() const { return closed_; }
  /// The whole answer has gone out before the whole request has come, of which nothing more is wanted: the stream gets
  /// no more window, and is to be reset (RFC 9113 §8.1).
  bool answered_whole() const { return end_sent_ && !heard_all_ && !wants_rest_; }
  /// It was answered before its body was complete, and has ended that short of its Content-Length, as curl does to stop
  /// an upload. RFC 9113 §8.1.1 has such a request malformed, and nghttp2 resets the stream.
  bool cut_short() const { return answered_ && last_data_ && !heard_all_; }

 protected:
  ServerStream() = default;
  ~ServerStream() = default;
  int32_t id_ = 0;
  bool heard_all_ = false, closed_ = false;
  bool end_sent_ = false;    // END_STREAM has gone out
  bool wants_rest_ = false;  // what the client says after that is still wanted

 private:
  friend class ServerSession;
  friend struct ServerCallbacks;
  bool reset_by_us_ = false, reset_by_client_ = false, error_counted_ = false, deferred_ = false;
  bool answered_ = false;   // the final head is under way
  bool last_data_ = false;  // DATA with END_STREAM has begun to come
};

/// What a session tells. None of these may call receive() or produce().
class ServerEvents {
 public:
  /// A request begins; null: out of memory.
  virtual ServerStream* on_stream() = 0;
  enum class Field : uint8_t { ok, malformed };
  /// Of the head, or of trailers.
  virtual Field on_field(ServerStream& stream, std::string_view name, std::string_view value, bool trailer) = 0;
  virtual Field on_head(ServerStream& stream) = 0;
  virtual void on_data(ServerStream& stream, std::string_view data) = 0;
  /// heard_all() is true now; not for a stream that ends with its head.
  virtual void on_end(ServerStream& stream) = 0;
  virtual void on_closed(ServerStream& stream, Http2Error why, bool by_client) = 0;
  /// How much of the body may be sent now; `end`: and nothing comes after it but `trailers`.
  virtual size_t on_read(ServerStream& stream, bool& end, bool& trailers) = 0;
  /// The body has ended: submit_trailers().
  virtual void on_trailers_due(ServerStream& stream) = 0;
  /// So many bytes of it go out.
  virtual void on_take(ServerStream& stream, size_t bytes, net::Buffer& out) = 0;
  virtual void on_reset_received(Http2Error why) = 0;
  virtual void on_reset_sent(Http2Error why) = 0;
  virtual void on_goaway_sent(Http2Error why) = 0;

 protected:
  ~ServerEvents() = default;
};

class ServerSession {
 public:
  /// Throws std::bad_alloc. `limits` must outlive it.
  ServerSession(const Http2Limits& limits, ServerEvents& events, TimePoint now);
  ~ServerSession();
  ServerSession(const ServerSession&) = delete;
  ServerSession& operator=(const ServerSession&) = delete;

  /// Whole or not, from the preface on. After what can't be mended, and after a flood, nothing more is decoded, and
  /// only produce() has something left: a GOAWAY.
  void receive(std::string_view bytes, TimePoint now);
  /// Appends what is to be sent to `out`, until that holds `bound` bytes or a frame more.
  void produce(net::BufferPool& pool, net::Buffer& out, size_t bound);
  bool wants_write() const;
  /// Nothing more will come or go: the connection may end when what was produced is sent.
  bool finished() const;

  /// An interim answer.
  void submit_interim(ServerStream& stream, const FieldSection& fields);
  /// The answer's head. With `body` on_read() is asked for what follows.
  void submit_head(ServerStream& stream, const FieldSection& fields, bool body);
  /// Within on_trailers_due().
  void submit_trailers(ServerStream& stream, const FieldSection& fields);
  /// on_read() has something again, or its end.
  void resume(ServerStream& stream);
  void reset(ServerStream& stream, Http2Error why);
  /// So many bytes of the body are done with: the client may send as many more.
  void consume(ServerStream& stream, size_t bytes);

  /// First step of a graceful end: the client learns that it shall open no more streams here.
  void announce_end();
  /// Second: streams that it opens from now on are ignored; those that there are go on.
  void refuse_streams();
  /// All streams end now.
  void terminate(Http2Error why);
  /// How many frames have begun to come; wraps round.
  uint32_t frames() const { return frames_; }
  /// What the client has overdone, if that is why it ends.
  Http2Flood flood() const { return flood_; }
  /// How the client has broken the protocol, if that is why it ends: a code of RFC 9113 §7, and nghttp2's words if it
  /// has any. Some of it is known only after produce().
  const std::string& broken() const { return broken_; }
  /// How much the client lets be sent on it, whatever the connection's window is.
  int32_t window(const ServerStream& stream) const;

 private:
  friend struct ServerCallbacks;
  struct Guarded;
  void flooded(Http2Flood flood);
  void ended_by_library(Http2Error why, std::string_view detail);

  const Http2Limits& limits_;
  ServerEvents& events_;
  const std::unique_ptr<Guarded> guarded_;
  nghttp2_session* session_ = nullptr;
  ServerStream* heading_ = nullptr;  // whose field block is under way
  net::BufferPool* pool_ = nullptr;  // within produce(), as the next
  net::Buffer* out_ = nullptr;
  size_t bound_ = 0;
  TimePoint now_{};
  uint32_t frames_ = 0;
  Http2Flood flood_ = Http2Flood::none;
  std::string broken_;
  Http2Error ended_for_ = Http2Error::no_error;  // with terminated_
  bool dead_ = false, terminated_ = false;
};

}  // namespace weir::http2
