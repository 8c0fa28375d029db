// Connections of HTTP/2 to one backend, shared by many exchanges: a stream is to its exchange what a connection of
// HTTP/1.1 is, and says and hears the same bytes. docs/adr/0008-http2-to-backends.md says why it is made so.
#pragma once
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "lb/base/timer_wheel.hpp"
#include "lb/net/http2_client_session.hpp"
#include "lb/net/http2_fields.hpp"
#include "lb/net/poller.hpp"
#include "lb/proxy/message_sides.hpp"
#include "lb/proxy/refusals.hpp"
#include "lb/proxy/upstream.hpp"

namespace weir::proxy {

class Http2UpstreamConnection;
class Http2UpstreamStream;

/// What a worker has of HTTP/2 with one backend.
struct Http2Set {
  std::vector<Http2UpstreamConnection*> connections;  // that may take requests, or will; the oldest first
  std::vector<Http2UpstreamConnection*> leaving;      // … that take no more
  std::vector<Http2UpstreamStream*> free;             // for the next requests
  /// Requests at a time that the backend takes on a connection, as it has said last: for those on which it has said
  /// nothing yet.
  uint32_t most_streams = ~uint32_t{0};
  /// Of connections passed over because the backend takes no more of the bodies there.
  static constexpr uint32_t kMostStalled = 8;
  Refusals refusals;
  Duration keep_alive{};                     // of a connection without requests
  std::chrono::milliseconds user_timeout{};  // TCP_USER_TIMEOUT; zero: none
  Http2Set();
  ~Http2Set();
  /// The connection for the next request; null: it needs a new one. `body`: it has one. Such a request does not wait
  /// behind those of others, as far as kMostStalled allows.
  Http2UpstreamConnection* find(bool body) const;
  /// At a reload, or the end: idle ones close, the others when their last request is done.
  void retire_all();
  /// When the worker ends, and nobody waits for an answer any more.
  void close_all();
  /// Closes one that is idle, if there is any: to make room.
  bool shed_idle();
};

/// A request at a backend, in place of a connection. It belongs to whoever opened it until keep() or close().
class Http2UpstreamStream final : public Upstream, public http2::ClientStream {
 public:
  /// Of a request's body that waits for the backend's window: above it the client is not read.
  static constexpr uint32_t kHighWater = 64 << 10, kLowWater = 16 << 10;

  explicit Http2UpstreamStream(Worker& worker) : worker_(worker) { framed = true; }

  /// On a connection with room, or a new one, of which `error` says why it failed at once (0: it stands, or is being
  /// made).
  static Http2UpstreamStream& open(Worker& worker, UpstreamSet& set, UpstreamUser& user, int& error);

  bool connected() const override;
  bool reused() const override { return reused_; }
  Sent send(const iovec* parts, int count) override;
  bool blocked() const override { return tell_drained; }
  Sent end_body(std::string_view trailer_lines) override;
  net::Buffer take_body() override { return std::exchange(out, {}); }
  void shutdown_send_after_flush() override { end_body({}); }
  void pump() override { deliver(); }
  void look_for_end() override;
  void keep(Duration) override { leave(); }
  void close(bool) override { leave(); }

 private:
  friend class Http2UpstreamConnection;
  friend struct Http2Set;
  void attach(UpstreamSet& set, UpstreamUser& user);
  int find_connection();
  bool begin(std::span<char> request_head);
  bool wants_websocket(std::string_view field_lines);
  void deliver();
  bool deliver_bytes();
  void deliver_end();
  void leave();
  void recycle();

  Worker& worker_;
  UpstreamSet* set_ = nullptr;
  Http2UpstreamConnection* connection_ = nullptr;  // null: it is gone
  UpstreamUser* user_ = nullptr;                   // null: nobody wants the rest
  TimePoint began_{};
  uint64_t number_ = 0;  // of Refusals
  uint32_t place_ = 0;   // among the streams of the connection
  uint32_t serial_ = 0;  // changes when it is used anew
  bool reused_ = false;
};

class Http2UpstreamConnection final : public UpstreamUser, public net::Pollable, public Timer {
 public:
  /// At a time; the backend may want fewer.
  static constexpr uint32_t kMostStreams = 100;
  /// Most servers give back what they have read when that is half of the window (65,535 at first): one that merely has
  /// not said so yet is above.
  static constexpr uint32_t kLowWindow = 16 << 10;

  Http2UpstreamConnection(Worker& worker, UpstreamSet& set);
  ~Http2UpstreamConnection();
  /// Begins to connect: 0, or an errno.
  int connect();
  /// May it be given another request?
  bool has_room() const;
  /// Other requests have all but used up the window that all bodies share: one more would wait for the backend to read
  /// theirs.
  bool stalled() const { return !streams_.empty() && session_.window() < kLowWindow; }
  uint32_t window() const { return session_.window(); }
  bool established() const { return established_; }
  bool idle() const { return streams_.empty(); }
  void add(Http2UpstreamStream& stream);
  /// No more requests: closed when the last is done.
  void retire();
  /// Whatever is left of them.
  void end_now();
  /// Sends what is to be sent, at the end of a batch of events.
  void flush();
  void flush_later();

 private:
  friend class Http2UpstreamStream;
  // From the connection beneath.
  void on_connected() override;
  void on_connect_failed(int error) override { fail(error, Cause::none); }
  bool wants_response() const override { return transport_ != nullptr; }
  void on_upstream_bytes(char* data, size_t size) override;
  void on_upstream_end(bool reset) override;
  void on_upstream_drained() override { flush_later(); }
  // Streams that flush() has made ready.
  void on_events(uint32_t) override;
  void on_timer(TimePoint now) override;

  void establish();
  void note_limit();
  void dispatch();
  void remove(Http2UpstreamStream& stream);
  void send_output();
  void rest_or_close();
  void end_orderly();
  void note_refusal(Http2UpstreamStream& stream);
  void suspect(const Http2UpstreamStream& stream);
  void session_failed();
  void tell(std::string_view reason, std::string_view detail);
  void fail(int connect_error, Cause cause);
  void leave_set();
  void close();
  uint32_t limit() const;

  Worker& worker_;
  UpstreamSet& set_;
  UpstreamConnection* transport_ = nullptr;  // null: closed
  http2::ClientSession session_;
  http2::FieldSection fields_;
  std::vector<Http2UpstreamStream*> streams_;
  TimePoint heard_{}, refused_until_{};
  uint32_t refused_limit_ = kMostStreams;
  uint32_t announced_ = 0;  // as most_streams
  bool established_ = false, retiring_ = false, in_set_ = false, dispatching_ = false, flush_queued_ = false;
  bool suspected_ = false;
};

}  // namespace weir::proxy
