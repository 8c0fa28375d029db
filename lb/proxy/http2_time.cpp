// The time-outs of a client's connection of HTTP/2: looked at each second while streams are open, else when the
// connection has been idle for too long.
#include <algorithm>

#include "lb/net/http2_stall.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/http2_session.hpp"
#include "lb/proxy/http2_stream.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

namespace {
constexpr auto kLook = std::chrono::seconds(1);
constexpr auto kBodyClock = std::chrono::seconds(5);  // limits.body_min_rate is judged over so long
}  // namespace

void Http2Session::arm() {
  TimePoint at = worker_.now + kLook;
  if (open_ == 0 && pending_.empty()) {
    const ListenerInfo& listener = connection_.listener();
    at = idle_since_ + (connection_.served_requests() ? listener.keep_alive_timeout : listener.header_timeout);
  }
  if (drain_ == Drain::announced) at = std::min(at, refuse_at_);
  worker_.wheel.arm(connection_, at);
}

void Http2Session::on_timer(TimePoint now) {
  const ListenerInfo& listener = connection_.listener();
  if (!pending_.empty() && now - progressed_ >= listener.send_stall) return connection_.lost(Cause::client_too_slow);
  if (drain_ == Drain::announced && now >= refuse_at_) {
    drain_ = Drain::refusing;
    server_.refuse_streams();
    flush_later();
  }
  if (open_ == 0) {
    const Duration most = connection_.served_requests() ? listener.keep_alive_timeout : listener.header_timeout;
    if (now - idle_since_ >= most) {
      server_.terminate(Http2Error::no_error);
      flush_later();
    }
  } else {
    look_at_streams(now);
  }
  if (connection_.state_ == DownstreamConnection::State::http2) arm();
}

/// limits.body_min_rate counts only while the proxy is willing to read, and until an answer has begun.
bool Http2Session::body_too_slow(Http2Stream& stream, TimePoint now) const {
  const int64_t rate = worker_.runtime->config().limits.body_min_rate;
  if (!rate || stream.told_end_ || stream.websocket_ || now - stream.clock_started_ < kBodyClock) return false;
  if (stream.exchange_->proxies_grpc()) return false;  // a stream of gRPC says something when there is something to say
  const auto needed = std::chrono::duration_cast<std::chrono::seconds>(now - stream.clock_started_).count() * rate;
  const bool slow = static_cast<int64_t>(stream.clocked_bytes_) < needed;
  stream.restart_body_clock();
  return slow && stream.exchange_->wants_body() && !stream.exchange_->response_started();
}

/// Not at once, be the client ever so slow to take the answer: curl 7.88 has none for whoever called it if the reset
/// comes while it is sending.
void Http2Session::end_answered(Http2Stream& stream, TimePoint now) {
  if (stream.whole_since_ == TimePoint{}) stream.whole_since_ = now;
  if (now - stream.whole_since_ < kLook) return;
  server_.reset(stream, Http2Error::no_error);
  flush_later();
}

void Http2Session::look_at_streams(TimePoint now) {
  const ListenerInfo& listener = connection_.listener();
  if (!pending_.empty()) socket_held_ = now;
  for (Http2Stream* stream = first_; stream;) {
    Http2Stream* next = stream->next_;
    // Nothing else can come before the rest of its head.
    if (!stream->head_whole_ && !stream->closed() && now - stream->began_ >= listener.header_timeout)
      return end_stalled();
    if (!stream->exchange_ && stream->answered_whole()) end_answered(*stream, now);
    if (stream->exchange_ && body_too_slow(*stream, now)) stream->exchange_->on_downstream_failed(Cause::body_too_slow);
    stream = next;
  }
  look_for_stalls(now);
}

void Http2Session::look_for_stalls(TimePoint now) {
  using Look = http2::StallLook;
  Look look(now, connection_.listener().send_stall, std::max(moved_, socket_held_));
  const auto judge = [&](const Http2Stream& stream) {
    return look.judge(!stream.out_.empty(), server_.window(stream), std::max(stream.progressed_, socket_held_));
  };
  for (Http2Stream* stream = first_; stream; stream = stream->next_)
    if (!stream->closed()) look.count(judge(*stream));
  const auto act = look.act();
  if (act == Look::Act::nothing) return;
  if (act == Look::Act::end_connection) return end_stalled();
  const auto guilty = act == Look::Act::reset_by_stream ? Look::Held::by_stream : Look::Held::by_connection;
  for (Http2Stream* stream = first_; stream;) {
    Http2Stream* next = stream->next_;
    if (!stream->closed() && judge(*stream) == guilty) stream->end_stalled();
    stream = next;
  }
  moved_ = now;  // what they held of the connection's window comes back to the others
}

}  // namespace weir::proxy
