#include "lb/net/flow.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

namespace weir::net {

namespace {
constexpr uint8_t kSmallInARow = 2;
}

Flow::Outcome Flow::move(Stream& from, Stream& to, bool& readable, bool peer_fin, const FlowMeans& means) {
  for (int turn = 0;; ++turn) {
    if (holds()) {
      const Step step = flush(to, means);
      if (step == Step::blocked) return Outcome::blocked;
      if (step != Step::done) return Outcome::sink_failed;
    }
    if (source_end_) {
      drop_pipe(means);
      if (!passed_end_) to.shutdown_send();
      passed_end_ = true;
      return Outcome::ended;
    }
    if (!readable) {
      drop_pipe(means);
      return Outcome::idle;
    }
    if (turn == kTurns) return Outcome::again;
    if (bulk_ && !pipe_ && !from.tls() && !to.tls()) pipe_ = means.pipes.take();
    switch (pipe_ ? fill_pipe(from, readable, means) : copy(from, to, readable, peer_fin, means)) {
      case Step::done:
      case Step::idle: break;
      case Step::blocked: return Outcome::blocked;
      case Step::failed_source: return Outcome::source_failed;
      case Step::failed_sink: return Outcome::sink_failed;
    }
  }
}

Flow::Step Flow::copy(Stream& from, Stream& to, bool& readable, bool peer_fin, const FlowMeans& means) {
  const size_t room = std::min<size_t>(room_, means.scratch_bytes);
  const auto got = from.receive(means.scratch, room);
  if (got.status == IoStatus::would_block) {
    readable = false;
    return Step::idle;
  }
  if (got.status == IoStatus::end) return take_end(from, readable);
  if (got.status == IoStatus::error) {
    readable = false;
    error_ = got.error;
    return Step::failed_source;
  }
  readable = got.more || peer_fin;
  taken_ += got.bytes;
  const auto sent = to.send(means.scratch, got.bytes);
  if (sent.status == IoStatus::error) {
    error_ = sent.error;
    return Step::failed_sink;
  }
  given_ += sent.bytes;
  if (sent.bytes == got.bytes) {
    bulk_ = got.bytes >= kRoom;
    if (got.bytes == room) room_ = static_cast<uint32_t>(means.scratch_bytes);
    return Step::done;
  }
  room_ = kRoom;
  held_.append(means.buffers, {means.scratch + sent.bytes, got.bytes - sent.bytes});
  return Step::blocked;
}

Flow::Step Flow::take_end(const Stream& from, bool& readable) {
  readable = false;
  source_end_ = !broken_ || from.tls();
  if (source_end_) return Step::done;
  error_ = ECONNRESET;
  return Step::failed_source;
}

/// Only into an empty pipe: then EAGAIN can only mean that the source has nothing.
Flow::Step Flow::fill_pipe(Stream& from, bool& readable, const FlowMeans& means) {
  ssize_t n;
  do n = ::splice(from.fd(), nullptr, pipe_.in.get(), nullptr, PipePool::kBytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  while (n < 0 && errno == EINTR);
  if (n > 0) {
    taken_ += static_cast<uint64_t>(n);
    piped_ = static_cast<uint32_t>(n);
    small_ = static_cast<size_t>(n) < kWorthwhile ? small_ + 1 : 0;
    return Step::done;
  }
  if (n == 0) return take_end(from, readable);
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    readable = false;
    return Step::idle;
  }
  if (errno == EINVAL) {  // a kind of socket that can't do it
    drop_pipe(means);
    bulk_ = false;
    return Step::done;
  }
  readable = false;
  error_ = errno;
  return Step::failed_source;
}

Flow::Step Flow::flush(Stream& to, const FlowMeans& means) {
  if (piped_) {
    const Step step = empty_pipe(to);
    if (step == Step::done && small_ >= kSmallInARow) {
      drop_pipe(means);
      bulk_ = false;
      small_ = 0;
    }
    return step;
  }
  while (!held_.empty()) {
    const auto sent = to.send(held_.data(), held_.size());
    if (sent.status == IoStatus::would_block) return Step::blocked;
    if (sent.status == IoStatus::error) {
      error_ = sent.error;
      return Step::failed_sink;
    }
    given_ += sent.bytes;
    held_.consume(means.buffers, static_cast<uint32_t>(sent.bytes));
  }
  return Step::done;
}

/// A worker's thread takes no signals: SIGPIPE of a peer that has gone stays away.
Flow::Step Flow::empty_pipe(Stream& to) {
  while (piped_) {
    const ssize_t n = ::splice(pipe_.out.get(), nullptr, to.fd(), nullptr, piped_, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n > 0) {
      given_ += static_cast<uint64_t>(n);
      piped_ -= static_cast<uint32_t>(n);
    } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return Step::blocked;
    } else if (n == 0 || errno != EINTR) {
      error_ = n == 0 ? EPIPE : errno;
      return Step::failed_sink;
    }
  }
  return Step::done;
}

void Flow::drop_pipe(const FlowMeans& means) {
  if (!pipe_) return;
  means.pipes.give_back(std::move(pipe_), piped_ == 0);
  pipe_ = Pipe();
  piped_ = 0;
}

void Flow::release(const FlowMeans& means) {
  held_.release(means.buffers);
  drop_pipe(means);
}

}  // namespace weir::net
