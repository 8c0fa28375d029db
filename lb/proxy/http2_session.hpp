// A client's connection once it speaks HTTP/2: its streams, what of them is to be sent, and their time-outs. The
// connection itself (lb/proxy/downstream.hpp) stays the owner of the socket and of the place in the worker's list.
#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "lb/base/cause.hpp"
#include "lb/net/buffer.hpp"
#include "lb/net/http2_fields.hpp"
#include "lb/net/http2_server.hpp"
#include "lb/proxy/tls.hpp"

namespace weir::proxy {

class DownstreamConnection;
class Http2Session;
class Http2Stream;
class Worker;
struct WorkerRuntime;

/// What the sessions of one worker share.
struct Http2Worker {
  static constexpr size_t kStreamsKept = 1024;
  Http2Worker();
  ~Http2Worker();
  std::unique_ptr<Http2Stream> take_stream(Worker& worker);
  void keep(std::unique_ptr<Http2Stream> stream);

  http2::FieldSection fields;                         // within one event
  std::vector<std::unique_ptr<Http2Stream>> streams;  // free ones
  std::vector<Http2Session*> flushing;                // have something to send; null where gone
  EventBound ends;                                    // told of
  uint32_t waiting = 0;                               // sessions with more to read, whose turn was over
};

class Http2Session final : public http2::ServerEvents {
 public:
  /// Received and decoded at once; then the clock is looked at. A hundred streams that are opened and reset. It grows
  /// while the frames are large ones, of bodies.
  static constexpr size_t kPiece = 8 << 10;
  /// … of what may turn out to be HTTP/2 without TLS.
  static constexpr size_t kFirstPiece = 4 << 10;
  /// What a batch of events may last before a session that has more to read, or the acceptor, waits for the next one.
  static constexpr auto kTurn = std::chrono::microseconds(50);

  explicit Http2Session(DownstreamConnection& connection);
  ~Http2Session();

  /// From the preface on, what has come before the connection knew.
  void receive_first(std::string_view bytes);
  /// One receive. True: there may be more.
  bool receive();
  /// Of the socket, which may take more now.
  void on_event();
  void on_timer(TimePoint now);
  /// Sends what all its streams have put together, after the current batch of events.
  void flush_later();
  /// … by the worker, which has just taken it off its list.
  void flush_queued();
  void flush();
  bool idle() const { return open_ == 0; }
  uint32_t streams() const { return open_; }
  bool unsent() const { return !pending_.empty(); }

  /// The connection closes now, or is gone: a GOAWAY, if there is room for it.
  void say_end();
  /// The client is told to open no more streams; then those that it has go on to their ends.
  void begin_drain();
  /// False: it isn't idle, or ends already.
  bool end_if_idle();
  /// Every request is broken off; the connection may close.
  void abort_for_drain();
  /// The connection is gone: so are the requests, for `cause` unless the client has brought it about.
  void fail_streams(Cause cause);

  http2::ServerSession& server() { return server_; }
  DownstreamConnection& connection() { return connection_; }

 private:
  friend class Http2Stream;
  enum class Drain : uint8_t { no, announced, refusing };

  http2::ServerStream* on_stream() override;
  Field on_field(http2::ServerStream& stream, std::string_view name, std::string_view value, bool trailer) override;
  Field on_head(http2::ServerStream& stream) override;
  void on_data(http2::ServerStream& stream, std::string_view data) override;
  void on_end(http2::ServerStream& stream) override;
  void on_closed(http2::ServerStream& stream, Http2Error why, bool by_client) override;
  size_t on_read(http2::ServerStream& stream, bool& end, bool& trailers) override;
  void on_trailers_due(http2::ServerStream& stream) override;
  void on_take(http2::ServerStream& stream, size_t bytes, net::Buffer& out) override;
  void on_reset_received(Http2Error why) override;
  void on_reset_sent(Http2Error why) override;
  void on_goaway_sent(Http2Error why) override;

  void take(std::string_view bytes);
  void consume(Http2Stream& stream, size_t bytes);
  void look_at(Http2Stream& stream);
  bool run_ready();
  bool run_one(Http2Stream& stream);
  void set_waiting(bool waiting);
  void greet();
  void recycle(Http2Stream& stream);
  void give_back(Http2Stream& stream);
  void end_if_finished();
  void end_stalled();
  void tell_end();
  void end_request(Http2Stream& stream, Cause cause);
  Cause cause_of_end(Cause otherwise) const;
  Http2Flood flood() const;
  void arm();
  void look_at_streams(TimePoint now);
  void look_for_stalls(TimePoint now);
  bool body_too_slow(Http2Stream& stream, TimePoint now) const;
  void end_answered(Http2Stream& stream, TimePoint now);

  DownstreamConnection& connection_;
  Worker& worker_;
  const std::shared_ptr<const Http2Limits> limits_;
  http2::ServerSession server_;
  net::Buffer pending_;              // frames for the socket
  std::vector<Http2Stream*> ready_;  // something has come for them, or they have room again
  Http2Stream* first_ = nullptr;     // open ones
  uint32_t open_ = 0;
  TimePoint idle_since_{}, progressed_{}, refuse_at_{};
  TimePoint moved_{};        // bytes of some body went out, or were given up
  TimePoint socket_held_{};  // a look found that the socket holds back what streams have sent
  Drain drain_ = Drain::no;
  Http2Flood flood_ = Http2Flood::none;
  bool queued_ = false, flushing_ = false, running_ = false, closing_ = false, ending_ = false, cut_short_ = false,
       told_ = false, waiting_ = false, greeted_ = false;
  uint32_t piece_ = kPiece;  // the next one
  uint32_t resets_ = 0;      // streams that the client has taken back
};

}  // namespace weir::proxy
