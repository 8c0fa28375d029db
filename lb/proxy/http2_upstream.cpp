// Connections of HTTP/2 to backends: which requests they carry, and when they end. What a request does stands in
// http2_upstream_stream.cpp.
#include "lb/proxy/http2_upstream.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "lb/base/log.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

namespace {
constexpr size_t kGather = 64 << 10;                     // sent at once; what the kernel leaves of it waits
constexpr auto kSilence = std::chrono::seconds(1);       // after which an abandoned request is a reason for doubt
constexpr auto kPingPatience = std::chrono::seconds(5);  // for any sign of life then
constexpr auto kRefusalMemory = std::chrono::seconds(1);
constexpr int kNotHttp2 = -static_cast<int>(TlsFailure::alpn);
}  // namespace

Http2Set::Http2Set() = default;
Http2Set::~Http2Set() {
  for (auto* stream : free) delete stream;
}

void Http2Set::retire_all() {
  const auto all = connections;
  for (auto* connection : all) connection->retire();
}

void Http2Set::close_all() {
  for (const auto* list : {&connections, &leaving}) {
    const auto all = *list;
    for (auto* connection : all) connection->end_now();
  }
}

Http2UpstreamConnection* Http2Set::find(bool body) const {
  Http2UpstreamConnection* widest = nullptr;
  uint32_t stalled = 0;
  for (auto* connection : connections) {
    if (!connection->has_room()) continue;
    if (!body || !connection->stalled()) return connection;
    ++stalled;
    if (!widest || connection->window() > widest->window()) widest = connection;
  }
  return stalled < kMostStalled ? nullptr : widest;
}

bool Http2Set::shed_idle() {
  const auto found = std::find_if(connections.begin(), connections.end(), [](const auto* c) { return c->idle(); });
  if (found == connections.end()) return false;
  (*found)->retire();
  return true;
}

Http2UpstreamConnection::Http2UpstreamConnection(Worker& worker, UpstreamSet& set)
    : worker_(worker), set_(set), session_(worker.buffers), heard_(worker.now) {
  ++set_.connections;  // the set outlives us
  set_.http2->connections.push_back(this);
  in_set_ = true;
}

Http2UpstreamConnection::~Http2UpstreamConnection() { --set_.connections; }

int Http2UpstreamConnection::connect() {
  transport_ = new UpstreamConnection(worker_, set_);
  if (const int error = transport_->connect(set_.http2->user_timeout)) {
    close();
    return error;
  }
  transport_->attach(*this);
  if (transport_->connected()) on_connected();
  return 0;
}

bool Http2UpstreamConnection::has_room() const {
  return in_set_ && !suspected_ && !session_.going_away() && streams_.size() < limit();
}

uint32_t Http2UpstreamConnection::limit() const {
  if (!established_) return std::clamp(set_.http2->most_streams, uint32_t{1}, kMostStreams);
  const uint32_t most = std::min(kMostStreams, session_.max_streams());
  return worker_.now < refused_until_ ? std::min(most, refused_limit_) : most;
}

void Http2UpstreamConnection::add(Http2UpstreamStream& stream) {
  cancel();
  stream.connection_ = this;
  stream.place_ = static_cast<uint32_t>(streams_.size());
  streams_.push_back(&stream);
  stream.reused_ = established_;
  set_.cells->http2_streams.add();
}

// ---- the connection beneath ----

void Http2UpstreamConnection::on_connected() {
  if (set_.tls && transport_->alpn() != "h2") {
    tell("alpn", "in the TLS handshake it has not chosen h2");
    return fail(kNotHttp2, Cause::none);
  }
  flush_later();
}

void Http2UpstreamConnection::on_upstream_bytes(char* data, size_t size) {
  heard_ = worker_.now;
  if (std::exchange(suspected_, false)) cancel();
  const bool going = session_.going_away();
  const bool well = session_.receive(data, size, worker_.now);
  set_.cells->http2_resets_received.add(std::exchange(session_.resets, 0));
  if (!well) return session_failed();
  if (!going && session_.going_away()) {
    set_.cells->http2_goaways.add();
    leave_set();
  }
  flush_later();
  if (session_.greeted()) note_limit();
  if (!established_ && session_.greeted()) establish();
  dispatch();
}

void Http2UpstreamConnection::note_limit() {
  const uint32_t most = session_.max_streams();
  if (established_ && most == announced_) return;
  set_.http2->most_streams = announced_ = most;
}

/// The backend has said how many requests it takes at a time: those that have waited go out, as far as they may.
void Http2UpstreamConnection::establish() {
  established_ = true;
  if (limit() == 0) return fail(ECONNREFUSED, Cause::none);
  std::vector<std::pair<Http2UpstreamStream*, uint32_t>> waiting;
  for (auto* stream : streams_) waiting.emplace_back(stream, stream->serial_);
  for (size_t i = limit(); i < waiting.size(); ++i) remove(*waiting[i].first);
  for (const auto& [stream, serial] : waiting) {
    if (stream->serial_ != serial || !stream->user_) continue;
    UpstreamUser& user = *stream->user_;
    if (!stream->connection_)
      if (const int error = stream->find_connection()) {
        user.on_connect_failed(error);
        continue;
      }
    if (stream->connected()) user.on_connected();
  }
}

/// Before it has said anything: a server that speaks HTTP/1.1 alone may well hang up on what it doesn't understand.
void Http2UpstreamConnection::on_upstream_end(bool reset) {
  if (established_ || reset) return fail(ECONNRESET, Cause::none);
  tell("not_http2", "closed before it has said anything");
  fail(kNotHttp2, Cause::none);
}

void Http2UpstreamConnection::tell(std::string_view reason, std::string_view detail) {
  uint64_t left_out = 0;
  if (!worker_.http2_failures.take(worker_.now, left_out)) return;
  log::warn("backend_http2_failed", {{"pool", set_.backend->pool},
                                     {"backend", set_.backend->name},
                                     {"reason", std::string(reason)},
                                     {"detail", std::string(detail)},
                                     {"not_told", std::to_string(left_out)}});
}

void Http2UpstreamConnection::session_failed() {
  tell(http2::ClientSession::to_string(session_.problem()), session_.detail());
  set_.cells->http2_failures.add();
  send_output();  // a GOAWAY may say why
  fail(kNotHttp2, Cause::upstream_bad_response);
}

/// Nothing more comes. `cause`: what is wrong with the answers under way; none: they are only cut off.
void Http2UpstreamConnection::fail(int connect_error, Cause cause) {
  const auto streams = std::exchange(streams_, {});
  std::vector<std::pair<Http2UpstreamStream*, uint32_t>> told;
  for (auto* stream : streams) {
    stream->connection_ = nullptr;
    stream->closed = true;
    stream->ready = false;
    if (!stream->user_) {
      stream->recycle();
      continue;
    }
    if (!stream->ended && stream->fault == http2::StreamFault::none)
      stream->fault = stream->id && !stream->sent ? http2::StreamFault::refused : http2::StreamFault::reset;
    if (cause != Cause::none && !stream->ended && stream->sent) stream->failure = cause;
    told.emplace_back(stream, stream->serial_);
  }
  close();
  for (const auto& [stream, serial] : told) {
    if (stream->serial_ != serial || !stream->user_) continue;
    if (stream->id == 0)
      stream->user_->on_connect_failed(connect_error);
    else
      stream->deliver();
  }
}

// ---- streams ----

void Http2UpstreamConnection::dispatch() {
  if (dispatching_) return;
  dispatching_ = true;
  for (size_t i = 0; i < session_.ready.size() && transport_; ++i) {
    auto* stream = static_cast<Http2UpstreamStream*>(session_.ready[i]);
    stream->ready = false;
    if (stream->fault == http2::StreamFault::refused) note_refusal(*stream);
    if (stream->user_) {
      stream->deliver();
    } else if (stream->closed) {
      remove(*stream);
      stream->recycle();
    }
  }
  session_.ready.clear();
  dispatching_ = false;
  rest_or_close();
}

void Http2UpstreamConnection::remove(Http2UpstreamStream& stream) {
  streams_.back()->place_ = stream.place_;
  streams_[stream.place_] = streams_.back();
  streams_.pop_back();
  stream.connection_ = nullptr;
}

void Http2UpstreamConnection::rest_or_close() {
  if (!transport_ || !streams_.empty()) return;
  const Duration keep = set_.http2->keep_alive;
  const bool useless = retiring_ || !established_ || session_.going_away() || session_.max_streams() == 0;
  if (useless || worker_.draining || keep <= Duration::zero()) return end_orderly();
  if (!suspected_ && !armed()) worker_.wheel.arm(*this, worker_.now + keep);
}

/// It has more than it wants: for a moment it gets no more than it has.
void Http2UpstreamConnection::note_refusal(Http2UpstreamStream& stream) {
  stream.excused = !set_.http2->refusals.failed(stream.number_);
  refused_until_ = worker_.now + kRefusalMemory;
  refused_limit_ = std::max<uint32_t>(1, static_cast<uint32_t>(streams_.size()) - 1);
}

/// A request was given up, and the backend has said nothing since it came: is anybody there?
void Http2UpstreamConnection::suspect(const Http2UpstreamStream& stream) {
  if (suspected_ || !established_ || worker_.now - std::max(heard_, stream.began_) < kSilence) return;
  suspected_ = true;
  session_.ping();
  flush_later();
  worker_.wheel.arm(*this, worker_.now + kPingPatience);
}

// ---- the end ----

void Http2UpstreamConnection::leave_set() {
  if (!std::exchange(in_set_, false)) return;
  std::erase(set_.http2->connections, this);
  set_.http2->leaving.push_back(this);
}

void Http2UpstreamConnection::retire() {
  retiring_ = true;
  leave_set();
  if (!dispatching_) rest_or_close();
}

/// Requests that their clients have left may still be among its streams, when the backend takes nothing.
void Http2UpstreamConnection::end_now() {
  if (established_) session_.say_goodbye();
  send_output();
  fail(ECONNRESET, Cause::none);
}

void Http2UpstreamConnection::on_timer(TimePoint) {
  if (suspected_) return fail(ETIMEDOUT, Cause::none);
  if (streams_.empty()) end_orderly();
}

void Http2UpstreamConnection::end_orderly() {
  if (established_) session_.say_goodbye();
  send_output();
  close();
}

void Http2UpstreamConnection::close() {
  leave_set();
  std::erase(set_.http2->leaving, this);
  if (!transport_) return;
  cancel();
  std::exchange(transport_, nullptr)->close();
  worker_.retire(this);
}

// ---- sending ----

void Http2UpstreamConnection::flush_later() {
  if (std::exchange(flush_queued_, true)) return;
  worker_.flush_later(*this);
}

void Http2UpstreamConnection::flush() {
  flush_queued_ = false;
  send_output();
  if (!transport_) return;
  if (!session_.ready.empty() || session_.problem() != http2::ClientSession::Problem::none)
    worker_.poller.again(*this);
  else
    rest_or_close();
}

void Http2UpstreamConnection::send_output() {
  char* const scratch = worker_.send_scratch.get();
  while (transport_ && transport_->connected() && !transport_->blocked()) {
    size_t size = 0;
    while (size < kGather) {
      const std::string_view piece = session_.next_output();
      if (piece.empty()) break;
      if (piece.size() > Worker::kSendScratch - size) {  // never with the frames that we make
        const iovec gathered[2] = {{scratch, size}, {const_cast<char*>(piece.data()), piece.size()}};
        transport_->send(gathered, 2);
        size = 0;
        continue;
      }
      std::memcpy(scratch + size, piece.data(), piece.size());
      size += piece.size();
    }
    if (size == 0) break;
    const iovec bytes{scratch, size};
    if (transport_->send(&bytes, 1) == Sent::failed) {
      transport_->look_for_end();
      break;
    }
  }
}

void Http2UpstreamConnection::on_events(uint32_t) {
  if (!transport_) return;
  if (session_.problem() != http2::ClientSession::Problem::none) return session_failed();
  dispatch();
}

}  // namespace weir::proxy
