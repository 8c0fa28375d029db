// What a worker does for its connections of HTTP/2, on both sides: all that has come together in a batch of events goes
// out behind it.
#include <algorithm>

#include "lb/proxy/downstream.hpp"
#include "lb/proxy/http2_session.hpp"
#include "lb/proxy/http2_upstream.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

Http2Worker& Worker::http2() {
  if (!http2_) http2_ = std::make_unique<Http2Worker>();
  return *http2_;
}

/// What it sends may let others go on, and have something to send themselves.
void Worker::flush_http2() {
  for (size_t i = 0; i < http2_->flushing.size(); ++i)
    if (Http2Session* session = http2_->flushing[i]) session->flush_queued();
  http2_->flushing.clear();
}

/// What is retired while connections send goes with the next batch: the poller may have been asked to call it again.
void Worker::after_batch() {
  delete_retired();
  // What clients have sent may begin requests, and a backend that can't be written to may end some.
  while ((http2_ && !http2_->flushing.empty()) || !unflushed_.empty()) {
    if (http2_) flush_http2();
    flush_upstreams();
  }
}

void Worker::flush_upstreams() {
  flushing_.swap(unflushed_);
  for (auto* connection : flushing_) connection->flush();
  flushing_.clear();
}

void Worker::retire(Http2UpstreamConnection* connection) {
  net::Poller::retire(*connection);
  std::erase(unflushed_, connection);
  retired_http2_.push_back(connection);
}

/// The others end with their next answer.
void Worker::drain_connections() {
  for (DownstreamConnection* connection = downstream_; connection; connection = connection->next_)
    connection->begin_drain();
}

}  // namespace weir::proxy
