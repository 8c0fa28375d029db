#include "lb/proxy/http2_stream.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "lb/net/http2_fields.hpp"
#include "lb/net/trailers.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/http2_session.hpp"
#include "lb/proxy/refused_head.hpp"
#include "lb/proxy/request_facts.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

Http2Stream::~Http2Stream() {
  text_.release(worker_.buffers);
  in_.release(worker_.buffers);
  out_.release(worker_.buffers);
  request_trailers_.release(worker_.buffers);
  trailers_.release(worker_.buffers);
}

void Http2Stream::begin(Http2Session& session) {
  session_ = &session;
  began_ = progressed_ = worker_.now;
  clocked_bytes_ = 0;
  trailer_count_ = 0;
  head_whole_ = too_large_ = started_ = websocket_ = tunnel_ = head_sent_ = bodyless_ = ended_ = was_blocked_ =
      delivering_ = abandoned_ = told_end_ = closed_by_client_ = queued_ = false;
}

// ---- the request ----

void Http2Stream::start() {
  started_ = true;
  DownstreamConnection& connection = session_->connection();
  Exchange& exchange = *worker_.take_exchange();
  exchange_ = &exchange;
  worker_.cells.requests_parsed.add();
  const auto& config = worker_.runtime->config();
  http1::ParseResult result{http1::Parse::error, Cause::header_too_large, "limits.http2.fields or field_bytes"};
  const bool parsed = !broken() && !too_large_;
  if (broken()) {
    result = {http1::Parse::error, Cause::bad_request, ""};
  } else if (parsed) {
    auto rules = request_rules(config);
    rules.tls = connection.tls() != nullptr;
    result = http1::parse_request(text_.view(), rules, exchange.head);
  }
  if (!parsed) {
    exchange.head.field_count = 0;
    exchange.head.size = 0;
  } else if (result.status != http1::Parse::done) {
    keep_for_the_record(exchange.head);
    exchange.head.base = text_.view().data();
  }
  exchange.begin(*this, connection, began_);
  exchange.head.minor = 2;
  text_.release(worker_.buffers);
  if (result.status != http1::Parse::done) return exchange.refuse(result.cause, result.detail);
  if (connection.refuses_requests()) return exchange.refuse(Cause::overload_connections, "");
  if (exchange.head.framing == http1::Framing::length && body_too_large(config.limits, exchange.head.content_length))
    return exchange.refuse(Cause::body_too_large, "Content-Length is above limits.body_bytes");
  if (websocket_) return exchange.handle_request({}, true);
  told_end_ = heard_all();
  restart_body_clock();
  net::Buffer data = std::exchange(in_, {});
  const uint32_t size = data.size();
  exchange.bytes_received += size;
  if (told_end_) give_trailers();
  delivering_ = true;
  exchange.handle_request(data.view(), told_end_);
  delivering_ = false;
  data.release(worker_.buffers);
  session_->consume(*this, size);
}

void Http2Stream::deliver() {
  if (delivering_ || !exchange_ || !started_) return;
  delivering_ = true;
  if (websocket_) {
    deliver_tunnel();
  } else {
    while (exchange_ && !told_end_ && !abandoned_ && (!in_.empty() || heard_all()) && exchange_->wants_body()) {
      told_end_ = heard_all();
      net::Buffer data = std::exchange(in_, {});
      const uint32_t size = data.size();
      clocked_bytes_ += size;
      exchange_->bytes_received += size;
      if (told_end_) give_trailers();
      exchange_->on_request_body(data.view(), told_end_);
      data.release(worker_.buffers);
      session_->consume(*this, size);
    }
  }
  delivering_ = false;
}

void Http2Stream::deliver_tunnel() {
  while (tunnel_ && exchange_ && !in_.empty() && exchange_->wants_body()) {
    net::Buffer data = std::exchange(in_, {});
    const uint32_t size = data.size();
    exchange_->bytes_received += size;
    exchange_->on_tunnel_data(data.view());
    data.release(worker_.buffers);
    session_->consume(*this, size);
  }
  if (tunnel_ && exchange_ && in_.empty() && heard_all() && !told_end_) {
    told_end_ = true;
    exchange_->on_downstream_end();
  }
}

/// False: it is malformed, or one too many.
bool Http2Stream::take_trailer(std::string_view name, std::string_view value) {
  if (!http2::valid_field(name, value) || http2::connection_specific(name, value) || ++trailer_count_ > kMostTrailers ||
      request_trailers_.size() + name.size() + value.size() + 4 > kMostTrailerBytes)
    return false;
  for (const std::string_view part : {name, std::string_view(": "), value, std::string_view("\r\n")})
    request_trailers_.append(worker_.buffers, part);
  return true;
}

void Http2Stream::give_trailers() {
  if (request_trailers_.empty()) return;
  exchange_->on_request_trailers({request_trailers_.data(), request_trailers_.size()});
  request_trailers_.release(worker_.buffers);
}

void Http2Stream::drop_input() {
  const uint32_t size = in_.size();
  in_.release(worker_.buffers);
  session_->consume(*this, size);
}

void Http2Stream::resume() {
  restart_body_clock();
  deliver();
}

void Http2Stream::stop_reading_body() {
  abandoned_ = true;
  drop_input();
}

void Http2Stream::restart_body_clock() {
  clock_started_ = worker_.now;
  clocked_bytes_ = 0;
}

/// Poller::again: what has come may be wanted now.
void Http2Stream::on_events(uint32_t) { deliver(); }

// ---- the answer ----

Sent Http2Stream::send(const iovec* parts, int count) {
  if (closed()) return broken() ? Sent::all : Sent::failed;
  if (ended_) return Sent::failed;
  if (out_.empty()) progressed_ = worker_.now;
  for (int i = 0; i < count; ++i) {
    std::string_view bytes{static_cast<const char*>(parts[i].iov_base), parts[i].iov_len};
    if (!head_sent_) bytes = take_head(bytes, i + 1 < count);
    if (!bodyless_) out_.append(worker_.buffers, bytes);
  }
  if (!out_.empty()) session_->server().resume(*this);
  session_->flush_later();
  if (!blocked()) return Sent::all;
  was_blocked_ = true;
  return Sent::pending;
}

/// The head as HEADERS; what stands behind it is returned. `more`: another part follows. The exchange hands over whole
/// heads, in memory that may be changed.
std::string_view Http2Stream::take_head(std::string_view bytes, bool more) {
  constexpr std::string_view kEnd = "\r\n\r\n";
  const size_t size = std::min(bytes.find(kEnd), bytes.size() - kEnd.size()) + kEnd.size();
  const std::string_view rest = bytes.substr(size);
  const size_t line = bytes.find("\r\n") + 2;
  const std::string_view status = bytes.substr(sizeof "HTTP/1.1 " - 1, 3);
  const std::span<char> lines{const_cast<char*>(bytes.data()) + line, size - line - 2};
  auto& fields = worker_.http2().fields;
  fields.clear();
  const bool switched = status == "101";
  fields.add(":status", switched ? "200" : status);
  fields.add_lines(lines);
  if (status[0] == '1' && !switched) {
    session_->server().submit_interim(*this, fields);
    return rest;
  }
  head_sent_ = true;
  const auto empty = [&] {
    return !more && rest.empty() &&
           std::string_view(lines.data(), lines.size()).find("content-length: 0\r\n") != std::string_view::npos;
  };
  bodyless_ =
      !switched && (exchange_->head.method == http1::Method::HEAD || status == "204" || status == "304" || empty());
  session_->server().submit_head(*this, fields, !bodyless_);
  return rest;
}

void Http2Stream::send_trailers(std::span<char> lines) {
  if (!bodyless_ && !closed()) trailers_.append(worker_.buffers, {lines.data(), lines.size()});
}

/// END_STREAM behind what is left of the body.
void Http2Stream::end_answer() {
  if (std::exchange(ended_, true) || closed()) return;
  if (!bodyless_) session_->server().resume(*this);
  session_->flush_later();
}

void Http2Stream::exchange_done(bool) {
  exchange_ = nullptr;
  whole_since_ = {};
  wants_rest_ = false;
  drop_input();
  if (closed()) return session_->look_at(*this);
  if (!head_sent_) return reset();
  end_answer();
}

/// The client gives it no window.
void Http2Stream::end_stalled() {
  if (exchange_) exchange_->on_downstream_failed(Cause::client_too_slow);
  reset();
}

void Http2Stream::enter_tunnel() { tunnel_ = wants_rest_ = true; }

void Http2Stream::reset() {
  if (closed()) return;
  session_->server().reset(*this, Http2Error::internal_error);
  session_->flush_later();
}

}  // namespace weir::proxy
