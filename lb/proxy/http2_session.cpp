#include "lb/proxy/http2_session.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include "lb/base/log.hpp"
#include "lb/net/websocket.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/http2_stream.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

namespace {

constexpr size_t kPending = 64 << 10;             // frames put together for one send
constexpr auto kGrace = std::chrono::seconds(1);  // for streams that the client opens while it learns of the end
constexpr size_t kLargeFrame = 1024;              // on average
constexpr uint32_t kHungUp = 10;                  // resets within the first piece
constexpr int kTurns = 16;                        // sends in a row, then others get a turn

Http2Stream& own(http2::ServerStream& stream) { return static_cast<Http2Stream&>(stream); }

}  // namespace

Http2Worker::Http2Worker() = default;
Http2Worker::~Http2Worker() = default;

std::unique_ptr<Http2Stream> Http2Worker::take_stream(Worker& worker) {
  if (streams.empty()) return std::make_unique<Http2Stream>(worker);
  auto stream = std::move(streams.back());
  streams.pop_back();
  return stream;
}

/// What the poller still names is kept, however many there are.
void Http2Worker::keep(std::unique_ptr<Http2Stream> stream) {
  if (streams.size() < kStreamsKept || stream->named_by_poller()) streams.push_back(std::move(stream));
}

Http2Session::Http2Session(DownstreamConnection& connection)
    : connection_(connection),
      worker_(connection.worker_),
      limits_(worker_.runtime->shared->config, &worker_.runtime->config().limits.http2),
      server_(*limits_, *this, worker_.now),
      idle_since_(worker_.now),
      progressed_(worker_.now) {
  worker_.cells.http2_connections.add();
  arm();
  flush_later();
}

Http2Session::~Http2Session() {
  while (Http2Stream* stream = first_) {
    first_ = stream->next_;
    give_back(*stream);
  }
  pending_.release(worker_.buffers);
  auto& flushing = worker_.http2().flushing;
  set_waiting(false);
  if (queued_) std::replace(flushing.begin(), flushing.end(), this, static_cast<Http2Session*>(nullptr));
}

// ---- receiving ----

void Http2Session::receive_first(std::string_view bytes) { take(bytes); }

void Http2Session::on_reset_received(Http2Error why) {
  ++resets_;
  worker_.cells.http2_resets_received[index_of(why)].add();
}
void Http2Session::on_reset_sent(Http2Error why) { worker_.cells.http2_resets_sent[index_of(why)].add(); }
void Http2Session::on_goaway_sent(Http2Error why) { worker_.cells.http2_goaways[index_of(why)].add(); }

void Http2Session::take(std::string_view bytes) {
  server_.receive(bytes, worker_.now);
  tell_end();
  run_ready();
  flush_later();
  if (connection_.readable_ && !std::exchange(greeted_, true)) greet();
}

/// Who has sent a lot, and hung up, is found out by the first send, before more of it is decoded. The limits would
/// never see such a flood.
void Http2Session::greet() {
  flush();
  if (connection_.state_ != DownstreamConnection::State::closed || resets_ < kHungUp) return;
  flood_ = Http2Flood::resets;
  tell_end();
}

void Http2Session::set_waiting(bool waiting) {
  if (std::exchange(waiting_, waiting) == waiting) return;
  worker_.http2().waiting += waiting ? 1u : -1u;
}

bool Http2Session::receive() {
  set_waiting(false);
  if (flood() != Http2Flood::none) return false;  // what has come of it is thrown away when the GOAWAY is out
  char* into = worker_.receive_scratch.get();
  const auto result = connection_.stream_.receive(into, piece_);
  if (result.status == net::IoStatus::ok) {
    connection_.readable_ = result.more || connection_.peer_fin_;
    worker_.cells.bytes_received.add(result.bytes);
    const uint32_t before = server_.frames();
    take({into, result.bytes});
    const bool large = (server_.frames() - before) * kLargeFrame <= result.bytes;
    piece_ = large ? std::min<uint32_t>(2 * piece_, Worker::kReceiveScratch) : kPiece;
    if (!connection_.readable_ || monotonic_now() - worker_.now < kTurn) return true;
    set_waiting(true);
    worker_.poller.again(connection_);
    return false;
  }
  connection_.readable_ = false;
  if (result.status != net::IoStatus::would_block) connection_.lost(Cause::client_gone);
  return false;
}

http2::ServerStream* Http2Session::on_stream() {
  std::unique_ptr<Http2Stream> stream = worker_.http2().take_stream(worker_);
  stream->begin(*this);
  stream->next_ = first_;
  stream->previous_ = nullptr;
  if (first_) first_->previous_ = stream.get();
  first_ = stream.get();
  worker_.cells.http2_streams.add();
  if (++open_ == 1) arm();
  return stream.release();
}

Http2Session::Field Http2Session::on_field(http2::ServerStream& stream, std::string_view name, std::string_view value,
                                           bool trailer) {
  if (trailer) return own(stream).take_trailer(name, value) ? Field::ok : Field::malformed;
  using Verdict = http2::RequestText::Verdict;
  switch (own(stream).text_.add(worker_.buffers, *limits_, name, value)) {
    case Verdict::ok: return Field::ok;
    case Verdict::malformed: return Field::malformed;
    case Verdict::too_large: own(stream).too_large_ = true; break;
  }
  return Field::ok;
}

Http2Session::Field Http2Session::on_head(http2::ServerStream& stream) {
  Http2Stream& mine = own(stream);
  using Verdict = http2::RequestText::Verdict;
  std::array<char, 24> key{};
  if (mine.text_.names_protocol()) key = net::websocket_key({worker_.rng(), worker_.rng()});
  const auto verdict = mine.text_.finish(worker_.buffers, !stream.heard_all(), {key.data(), key.size()});
  if (verdict == Verdict::malformed) return Field::malformed;
  mine.websocket_ = mine.text_.websocket();
  mine.head_whole_ = true;
  look_at(mine);
  return Field::ok;
}

void Http2Session::on_data(http2::ServerStream& stream, std::string_view data) {
  Http2Stream& mine = own(stream);
  if ((mine.started_ && !mine.exchange_) || mine.abandoned_) return consume(mine, data.size());
  mine.in_.append(worker_.buffers, data);
  look_at(mine);
}

void Http2Session::on_end(http2::ServerStream& stream) { look_at(own(stream)); }

void Http2Session::on_closed(http2::ServerStream& stream, Http2Error why, bool by_client) {
  Http2Stream& mine = own(stream);
  mine.closed_for_ = why;
  mine.closed_by_client_ = by_client;
  look_at(mine);
}

void Http2Session::consume(Http2Stream& stream, size_t bytes) {
  if (bytes == 0) return;
  server_.consume(stream, bytes);
  flush_later();
}

// ---- what was put off while frames were read or written ----

void Http2Session::look_at(Http2Stream& stream) {
  if (std::exchange(stream.queued_, true)) return;
  ready_.push_back(&stream);
  flush_later();
}

/// True: there may be something to send now.
bool Http2Session::run_ready() {
  if (running_) return false;
  running_ = true;
  bool worked = false;
  for (size_t i = 0; i < ready_.size(); ++i) worked |= run_one(*ready_[i]);
  ready_.clear();
  running_ = false;
  return worked;
}

bool Http2Session::run_one(Http2Stream& stream) {
  stream.queued_ = false;
  if (stream.closed()) {
    end_request(stream, cause_of_end(Cause::client_gone));
    if (stream.exchange_ || stream.queued_) return true;  // it looks again
    recycle(stream);
    return false;
  }
  if (!stream.started_) {
    if (stream.head_whole_ && server_.flood() == Http2Flood::none && server_.broken().empty()) stream.start();
    return true;
  }
  if (stream.was_blocked_ && !stream.blocked()) {
    stream.was_blocked_ = false;
    if (stream.exchange_) stream.exchange_->on_downstream_drained();
  }
  stream.deliver();
  return true;
}

void Http2Session::recycle(Http2Stream& stream) {
  if (stream.next_) stream.next_->previous_ = stream.previous_;
  (stream.previous_ ? stream.previous_->next_ : first_) = stream.next_;
  consume(stream, stream.in_.size());
  give_back(stream);
  ++connection_.requests_;
  if (--open_ == 0) {
    idle_since_ = worker_.now;
    arm();
  }
}

void Http2Session::give_back(Http2Stream& stream) {
  stream.text_.release(worker_.buffers);
  stream.in_.release(worker_.buffers);
  stream.out_.release(worker_.buffers);
  stream.request_trailers_.release(worker_.buffers);
  stream.trailers_.release(worker_.buffers);
  worker_.http2().keep(std::unique_ptr<Http2Stream>(&stream));
}

// ---- sending ----

size_t Http2Session::on_read(http2::ServerStream& stream, bool& end, bool& trailers) {
  end = own(stream).ended_;
  trailers = !own(stream).trailers_.empty();
  return own(stream).out_.size();
}

void Http2Session::on_trailers_due(http2::ServerStream& stream) {
  net::Buffer& lines = own(stream).trailers_;
  auto& fields = worker_.http2().fields;
  fields.clear();
  fields.add_lines({lines.data(), lines.size()});
  server_.submit_trailers(stream, fields);
  lines.release(worker_.buffers);
}

void Http2Session::on_take(http2::ServerStream& stream, size_t bytes, net::Buffer& out) {
  Http2Stream& mine = own(stream);
  out.append(worker_.buffers, mine.out_.view().substr(0, bytes));
  mine.out_.consume(worker_.buffers, static_cast<uint32_t>(bytes));
  mine.progressed_ = moved_ = worker_.now;
  if (mine.was_blocked_ && !mine.blocked()) look_at(mine);
}

void Http2Session::flush_later() {
  if (std::exchange(queued_, true)) return;
  worker_.http2().flushing.push_back(this);
}

void Http2Session::flush_queued() {
  queued_ = false;
  flush();
}

void Http2Session::flush() {
  if (connection_.state_ != DownstreamConnection::State::http2 || flushing_) return;
  flushing_ = true;
  for (int turn = 0;; ++turn) {
    server_.produce(worker_.buffers, pending_, kPending);
    tell_end();
    if (pending_.empty()) {
      if (!run_ready()) break;
    } else {
      const auto result = connection_.stream_.send(pending_.data(), pending_.size());
      if (result.status == net::IoStatus::error) {
        flushing_ = false;
        return connection_.lost(result.error == ETIMEDOUT ? Cause::client_too_slow : Cause::client_gone);
      }
      if (result.status == net::IoStatus::would_block) {
        run_ready();
        break;
      }
      worker_.cells.bytes_sent.add(result.bytes);
      pending_.consume(worker_.buffers, static_cast<uint32_t>(result.bytes));
      progressed_ = worker_.now;
      run_ready();
    }
    if (turn == kTurns) {
      cut_short_ = true;
      worker_.poller.again(connection_);
      break;
    }
  }
  flushing_ = false;
  end_if_finished();
}

void Http2Session::end_if_finished() {
  if (!pending_.empty() || !server_.finished() || closing_) return;
  closing_ = true;
  set_waiting(false);
  fail_streams(Cause::client_gone);
  if (connection_.state_ == DownstreamConnection::State::http2) connection_.begin_linger();
}

void Http2Session::on_event() {
  if (!pending_.empty() || std::exchange(cut_short_, false)) flush_later();
}

// ---- ends ----

Http2Flood Http2Session::flood() const { return flood_ == Http2Flood::none ? server_.flood() : flood_; }

Cause Http2Session::cause_of_end(Cause otherwise) const {
  if (flood() != Http2Flood::none) return Cause::http2_flood;
  return server_.broken().empty() ? otherwise : Cause::bad_framing;
}

/// Why, if it is the client's fault: as soon as it is known, since who floods doesn't wait for a GOAWAY.
void Http2Session::tell_end() {
  const bool flooded = flood() != Http2Flood::none;
  if ((!flooded && server_.broken().empty()) || std::exchange(told_, true)) return;
  if (flooded)
    worker_.cells.http2_floods[static_cast<size_t>(flood())].add();
  else
    worker_.cells.protocol_errors[static_cast<size_t>(Cause::bad_framing)].add();
  uint64_t left_out = 0;
  if (!worker_.http2().ends.take(worker_.now, left_out)) return;
  const std::string detail = flood() == Http2Flood::stalled ? "timeout.send_stall or timeout.header"
                             : flood_ == Http2Flood::resets ? "it has hung up"
                             : flooded                      ? "limits.http2"
                                                            : server_.broken();
  log::info("http2_connection_ended", {{"listener", connection_.listener().name},
                                       {"client", std::string(connection_.peer_text())},
                                       {"reason", flooded ? std::string(to_string(flood())) : std::string("malformed")},
                                       {"detail", detail},
                                       {"not_told", std::to_string(left_out)}});
}

/// The client takes or sends too little for what it has open.
void Http2Session::end_stalled() {
  flood_ = Http2Flood::stalled;
  tell_end();
  server_.terminate(Http2Error::enhance_your_calm);
  flush_later();
}

bool Http2Session::end_if_idle() {
  if (open_ > 0 || closing_ || std::exchange(ending_, true)) return false;
  server_.terminate(Http2Error::no_error);
  flush_later();
  return true;
}

void Http2Session::fail_streams(Cause cause) {
  cause = cause_of_end(cause);
  for (Http2Stream* stream = first_; stream;) {
    Http2Stream* next = stream->next_;
    const bool was_closed = std::exchange(stream->closed_, true);
    if (!was_closed)
      stream->closed_for_ = cause == Cause::bad_framing ? Http2Error::protocol_error : Http2Error::cancel;
    // What broke the connection within its head is told of by the connection.
    if (stream->exchange_ || was_closed) end_request(*stream, cause);
    stream = next;
  }
}

/// Of a stream that is closed.
void Http2Session::end_request(Http2Stream& stream, Cause cause) {
  if (stream.exchange_)
    stream.exchange_->on_downstream_failed(stream.broken() ? Cause::bad_framing : cause);
  else if (!stream.started_ && stream.broken())
    stream.start();
}

void Http2Session::say_end() {
  if (std::exchange(closing_, true)) return;
  set_waiting(false);
  server_.terminate(Http2Error::no_error);
  server_.produce(worker_.buffers, pending_, kPending);
  tell_end();
  if (!pending_.empty()) connection_.stream_.send(pending_.data(), pending_.size());
}

void Http2Session::begin_drain() {
  if (drain_ != Drain::no || closing_) return;
  drain_ = Drain::announced;
  refuse_at_ = worker_.now + kGrace;
  server_.announce_end();
  arm();
  flush_later();
}

void Http2Session::abort_for_drain() {
  for (Http2Stream* stream = first_; stream; stream = stream->next_)
    if (stream->exchange_) stream->exchange_->abort_for_drain();
  flush();
  server_.terminate(Http2Error::no_error);
  flush();
}

}  // namespace weir::proxy
