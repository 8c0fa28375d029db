// A request at a backend that speaks HTTP/2: from the form of HTTP/1.1 and back.
#include <algorithm>
#include <cerrno>

#include "lb/net/websocket.hpp"
#include "lb/proxy/http2_upstream.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

namespace {

using http2::StreamFault;

/// Takes the next word of the request line.
std::string_view take_word(std::string_view& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

/// The value of the field in lines; empty: it is not there.
std::string_view find_field(std::string_view lines, std::string_view name) {
  while (lines.size() > 2) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    lines.remove_prefix(line.size() + 2);
    if (line.size() > name.size() && line[name.size()] == ':' &&
        http1::equals_ignore_case(line.substr(0, name.size()), name))
      return http1::trim(line.substr(name.size() + 1));
  }
  return {};
}

}  // namespace

Http2UpstreamStream& Http2UpstreamStream::open(Worker& worker, UpstreamSet& set, UpstreamUser& user, int& error) {
  auto& free = set.http2->free;
  if (free.empty()) free.push_back(new Http2UpstreamStream(worker));
  Http2UpstreamStream& stream = *free.back();
  free.pop_back();
  stream.attach(set, user);
  error = stream.find_connection();
  return stream;
}

void Http2UpstreamStream::attach(UpstreamSet& set, UpstreamUser& user) {
  static_cast<ClientStream&>(*this) = ClientStream();
  ++set.connections;  // the set outlives us, be our connection gone or not
  set_ = &set;
  user_ = &user;
  connection_ = nullptr;
  failure = Cause::none;
  bytes_sent = 0;
  response_started = write_failed = body_follows = refused = excused = body_unsent = reused_ = false;
  interim = 0;
  receive_room = Worker::kReceiveScratch;
  began_ = worker_.now;
}

/// One with room, or a new one. 0, or the errno of an immediate failure.
int Http2UpstreamStream::find_connection() {
  if (auto* const connection = set_->http2->find(user_->sends_body())) {
    if (connection->established()) set_->cells->reused.add();
    connection->add(*this);
    return 0;
  }
  auto* const made = new Http2UpstreamConnection(worker_, *set_);
  if (const int error = made->connect()) return error;
  made->add(*this);
  return 0;
}

bool Http2UpstreamStream::connected() const { return !connection_ || connection_->established(); }

Sent Http2UpstreamStream::send(const iovec* parts, int count) {
  if (!connection_ || closed || fault != StreamFault::none) {
    if (ended) return Sent::all;  // the answer stands already, and the backend wants no more
    out_whole = false;
    write_failed = true;
    return Sent::failed;
  }
  int first = 0;
  if (id == 0) {
    auto* const text = static_cast<char*>(parts[0].iov_base);
    const std::string_view all{text, parts[0].iov_len};
    const size_t head_size = std::min(all.find("\r\n\r\n"), all.size() - 4) + 4;
    if (!begin({text, head_size})) {
      write_failed = refused = excused = true;
      return Sent::failed;
    }
    out.append(worker_.buffers, all.substr(head_size));
    first = 1;
  }
  for (int i = first; i < count; ++i)
    out.append(worker_.buffers, {static_cast<const char*>(parts[i].iov_base), parts[i].iov_len});
  if (out.size() > kHighWater) tell_drained = true;
  connection_->session_.resume(*this);
  connection_->flush_later();
  return tell_drained ? Sent::pending : Sent::all;
}

Sent Http2UpstreamStream::end_body(std::string_view trailer_lines) {
  if (!connection_ || closed) return Sent::all;
  out_trailers.append(worker_.buffers, trailer_lines);
  out_end = true;
  connection_->session_.resume(*this);
  connection_->flush_later();
  return Sent::all;
}

/// "METHOD target HTTP/1.1", "Host: authority", and the other fields.
bool Http2UpstreamStream::begin(std::span<char> request_head) {
  const std::string_view text{request_head.data(), request_head.size()};
  size_t line_end = text.find("\r\n");
  std::string_view line = text.substr(0, line_end);
  const std::string_view method = take_word(line), target = take_word(line);
  size_t fields_at = line_end + 2;
  line_end = text.find("\r\n", fields_at);
  const std::string_view host = http1::trim(text.substr(fields_at, line_end - fields_at).substr(sizeof "Host:" - 1));
  fields_at = line_end + 2;
  auto& fields = connection_->fields_;
  fields.clear();
  const bool connect = connection_->session_.takes_connect() && wants_websocket(text.substr(fields_at));
  fields.add(":method", connect ? "CONNECT" : method);
  if (connect) fields.add(":protocol", "websocket");
  fields.add(":scheme", set_->tls ? "https" : "http");
  fields.add(":authority", host);
  fields.add(":path", target);
  fields.add_lines(request_head.subspan(fields_at));
  if (connect) fields.remove("sec-websocket-key");  // RFC 8441 §5.1: :protocol stands in its place
  head_method = method == "HEAD";
  if (!connection_->session_.submit(*this, fields, body_follows || connect)) return false;
  number_ = set_->http2->refusals.ask();
  bytes_sent = request_head.size();
  return true;
}

/// Is it the handshake of a WebSocket? Then `accept` is what answers it.
bool Http2UpstreamStream::wants_websocket(std::string_view field_lines) {
  const std::string_view upgrade = find_field(field_lines, "upgrade");
  if (upgrade.empty()) return false;
  const std::string_view key = find_field(field_lines, "sec-websocket-key");
  if (key.empty() || !http1::equals_ignore_case(upgrade, "websocket")) return false;
  const auto proof = net::websocket_accept(key);
  accept.assign(proof.data(), proof.size());
  return true;
}

void Http2UpstreamStream::look_for_end() {
  if (!connection_) return;  // who was told of its end has been told
  if (!ready) {
    ready = true;
    connection_->session_.ready.push_back(this);
  }
  worker_.poller.again(*connection_);
}

// ---- the answer ----

/// What has come, as far as it is wanted. Its user may end it meanwhile, and it may serve another already.
void Http2UpstreamStream::deliver() {
  if (tell_drained && out.size() <= kLowWater && !closed) {
    tell_drained = false;
    const uint32_t turn = serial_;
    user_->on_upstream_drained();
    if (serial_ != turn || !user_) return;
  }
  while (!in.empty() && user_->wants_response())
    if (!deliver_bytes()) return;
  if (in.empty() && user_->wants_response() && (ended || closed)) deliver_end();
}

/// As much as its user takes at once. False: nobody is here any more.
bool Http2UpstreamStream::deliver_bytes() {
  net::Buffer taken = std::exchange(in, {});
  const uint32_t size = std::min(taken.size(), receive_room), turn = serial_;
  if (!std::exchange(response_started, true)) set_->http2->refusals.answered();
  user_->on_upstream_bytes(taken.data(), size);
  if (serial_ != turn || !user_) {
    taken.release(worker_.buffers);
    return false;
  }
  taken.consume(worker_.buffers, size);
  in = taken;
  // The head counts as well: the window is larger by so much, once.
  const uint32_t body = std::min(unconsumed, size);
  unconsumed -= body;
  if (connection_ && body) {
    connection_->session_.consume(*this, body);
    connection_->flush_later();
  }
  return true;
}

void Http2UpstreamStream::deliver_end() {
  tell_drained = false;
  if (ended) {
    net::Buffer lines = std::exchange(trailers, {});
    if (!lines.empty()) user_->on_upstream_trailers({lines.data(), lines.size()});
    user_->on_upstream_end(false);
    lines.release(worker_.buffers);
    return;
  }
  if (fault == StreamFault::refused) {
    refused = true;
    body_unsent = out_whole;
    bytes_sent = 0;
  }
  if (reset_by_peer) reused_ = false;  // the stream was broken off, not a connection that had been idle
  if (fault == StreamFault::malformed) failure = Cause::upstream_bad_response;
  if (fault == StreamFault::too_large) failure = Cause::upstream_header_too_large;
  user_->on_upstream_end(true);
}

// ---- the end ----

/// Its user has no more to do with it.
void Http2UpstreamStream::leave() {
  user_ = nullptr;
  head.release(worker_.buffers);
  Http2UpstreamConnection* const connection = connection_;
  if (!connection) return recycle();
  if (!ended && !closed && !response_started) connection->suspect(*this);
  if (!closed && id) set_->cells->http2_resets_sent.add();
  connection->session_.abandon(*this);
  if (closed && !ready) {
    connection->remove(*this);
    recycle();
  }
  connection->flush_later();
}

void Http2UpstreamStream::recycle() {
  release(worker_.buffers);
  ++serial_;
  --set_->connections;
  set_->http2->free.push_back(this);
}

}  // namespace weir::proxy
