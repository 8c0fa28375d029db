#include "lb/net/http2_client_session.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <new>
#include <utility>

#include "lb/net/http1.hpp"
#include "lb/net/http2_rows.hpp"

namespace weir::http2 {

namespace {

constexpr uint32_t kFieldOverhead = 4;  // of a line: ": " and its end
constexpr size_t kBlockKept = 16 << 10;

std::string_view view(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

/// Where a field section in lines of HTTP/1 may be sent to nghttp2.
void add_trailer_lines(nghttp2_session* session, int32_t id, net::Buffer& lines) {
  FieldSection fields;
  fields.add_lines({lines.data(), lines.size()});
  nghttp2_submit_trailer(session, id, fields.rows().data(), fields.rows().size());
}

}  // namespace

void ClientStream::release(net::BufferPool& pool) {
  in.release(pool);
  trailers.release(pool);
  out.release(pool);
  out_trailers.release(pool);
}

struct ClientSession::Native {
  nghttp2_session* session = nullptr;
  ~Native() { nghttp2_session_del(session); }
};

/// What nghttp2 calls. Within them nothing is sent or received, and nobody but the session is told.
struct ClientCallbacks {
  static ClientStream* find(nghttp2_session* session, int32_t id) {
    return static_cast<ClientStream*>(nghttp2_session_get_stream_user_data(session, id));
  }
  static ClientSession& self(void* user) { return *static_cast<ClientSession*>(user); }

  static int begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    ClientStream* const stream = find(session, frame->hd.stream_id);
    self(user).begin_block(stream && stream->answered);
    return 0;
  }

  static int header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                    const uint8_t* value, size_t value_size, uint8_t, void* user) {
    ClientStream* const stream = find(session, frame->hd.stream_id);
    if (!stream || stream->abandoned) return 0;
    return self(user).add_field(*stream, view(name, name_size), view(value, value_size))
               ? 0
               : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  /// As strict as with HTTP/1.1: nothing is passed over in silence.
  static int invalid_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t*, size_t,
                            const uint8_t*, size_t, uint8_t, void*) {
    if (ClientStream* const stream = find(session, frame->hd.stream_id)) stream->fault = StreamFault::malformed;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    ClientSession& me = self(user);
    ClientStream* const stream = frame->hd.stream_id ? find(session, frame->hd.stream_id) : nullptr;
    const bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (stream) me.end_block(*stream, end);
        return 0;
      case NGHTTP2_DATA:
        if (stream && end) {
          stream->ended = true;
          me.make_ready(*stream);
        }
        if (frame->hd.length || (stream && end)) return 0;
        break;
      case NGHTTP2_WINDOW_UPDATE: return 0;  // as many as our DATA
      case NGHTTP2_RST_STREAM:
        if (!stream) break;
        stream->reset_by_peer = true;
        ++me.resets;
        return 0;
      case NGHTTP2_GOAWAY: me.goaway_ = true; break;
      case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) me.greeted_ = true;
        break;
      default: break;
    }
    return me.count_control() ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int invalid_frame(nghttp2_session*, const nghttp2_frame*, int error, void* user) {
    self(user).detail_ = nghttp2_strerror(error);
    return self(user).count_control() ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* bytes, size_t size, void* user) {
    ClientSession& me = self(user);
    ClientStream* const stream = find(session, id);
    nghttp2_session_consume_connection(session, size);
    if (!stream || stream->abandoned) {
      nghttp2_session_consume_stream(session, id, size);
      return 0;
    }
    stream->in.append(me.buffers_, view(bytes, size));
    stream->unconsumed += static_cast<uint32_t>(size);
    me.make_ready(*stream);
    return 0;
  }

  /// nghttp2 says so when the backend has broken the protocol: nothing more can be had from it.
  static int before_send(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    ClientSession& me = self(user);
    if (frame->hd.type != NGHTTP2_GOAWAY || me.goodbye_) return 0;
    const char* const why = *me.detail_ ? me.detail_ : "frames that break RFC 9113";
    me.fail(me.greeted_ ? ClientSession::Problem::protocol : ClientSession::Problem::not_http2,
            me.greeted_ ? why : "no SETTINGS to begin with");
    return 0;
  }

  static int sent(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    if (frame->hd.type == NGHTTP2_HEADERS)
      if (ClientStream* const stream = find(session, frame->hd.stream_id)) stream->sent = true;
    return 0;
  }

  static int closed(nghttp2_session* session, int32_t id, uint32_t error, void* user) {
    ClientStream* const stream = find(session, id);
    if (!stream) return 0;
    stream->closed = true;
    if (stream->fault == StreamFault::none && !stream->ended) {
      const bool refused = !stream->sent || error == NGHTTP2_REFUSED_STREAM;
      stream->fault = refused                 ? StreamFault::refused
                      : stream->reset_by_peer ? StreamFault::reset
                                              : StreamFault::malformed;
    }
    self(user).make_ready(*stream);
    return 0;
  }

  static ssize_t read_body(nghttp2_session* session, int32_t id, uint8_t* into, size_t room, uint32_t* flags,
                           nghttp2_data_source* source, void* user) {
    auto& stream = *static_cast<ClientStream*>(source->ptr);
    net::BufferPool& buffers = self(user).buffers_;
    const size_t size = std::min<size_t>(room, stream.out.size());
    if (size) {
      std::memcpy(into, stream.out.data(), size);
      stream.out_whole = false;
      stream.out.consume(buffers, static_cast<uint32_t>(size));
      if (stream.tell_drained) self(user).make_ready(stream);
    }
    if (stream.out.empty() && stream.out_end) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!stream.out_trailers.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        add_trailer_lines(session, id, stream.out_trailers);
      }
      return static_cast<ssize_t>(size);
    }
    return size ? static_cast<ssize_t>(size) : ssize_t{NGHTTP2_ERR_DEFERRED};
  }

  static const nghttp2_session_callbacks* all() {
    static const nghttp2_session_callbacks* const made = [] {
      nghttp2_session_callbacks* callbacks = nullptr;
      if (nghttp2_session_callbacks_new(&callbacks)) throw std::bad_alloc();
      nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
      nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
      nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, invalid_header);
      nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame);
      nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, invalid_frame);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data);
      nghttp2_session_callbacks_set_before_frame_send_callback(callbacks, before_send);
      nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, sent);
      nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, closed);
      return callbacks;
    }();
    return made;
  }
};

ClientSession::ClientSession(net::BufferPool& buffers, const ClientLimits& limits)
    : native_(std::make_unique<Native>()), buffers_(buffers), limits_(limits) {
  nghttp2_option* option = nullptr;
  if (nghttp2_option_new(&option)) throw std::bad_alloc();
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_reserved_remote_streams(option, 0);
  nghttp2_option_set_max_outbound_ack(option, limits.control_frames);
  const int made = nghttp2_session_client_new2(&native_->session, ClientCallbacks::all(), this, option);
  nghttp2_option_del(option);
  if (made) throw std::bad_alloc();
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                             {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
                                             {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.header_bytes}};
  if (nghttp2_submit_settings(native_->session, NGHTTP2_FLAG_NONE, settings, std::size(settings)) ||
      nghttp2_session_set_local_window_size(native_->session, NGHTTP2_FLAG_NONE, 0,
                                            static_cast<int32_t>(limits.connection_window)))
    throw std::bad_alloc();
}

ClientSession::~ClientSession() = default;

bool ClientSession::fail(Problem problem, const char* detail) {
  if (problem_ != Problem::none) return false;
  problem_ = problem;
  detail_ = detail;
  return false;
}

bool ClientSession::receive(const char* data, size_t size, TimePoint now) {
  if (problem_ != Problem::none) return false;
  now_ = now;
  const ssize_t used = nghttp2_session_mem_recv(native_->session, reinterpret_cast<const uint8_t*>(data), size);
  if (problem_ != Problem::none) return false;
  if (used == NGHTTP2_ERR_NOMEM) return fail(Problem::memory, "out of memory");
  if (used == NGHTTP2_ERR_FLOODED) return fail(Problem::flood, "more to acknowledge than it takes");
  if (used < 0) return fail(Problem::protocol, nghttp2_strerror(static_cast<int>(used)));
  return true;
}

std::string_view ClientSession::next_output() {
  const uint8_t* bytes = nullptr;
  const ssize_t size = nghttp2_session_mem_send(native_->session, &bytes);
  if (size < 0) fail(Problem::memory, nghttp2_strerror(static_cast<int>(size)));
  return size > 0 ? view(bytes, static_cast<size_t>(size)) : std::string_view();
}

bool ClientSession::submit(ClientStream& stream, const FieldSection& fields, bool body) {
  if (goaway_ || goodbye_ || problem_ != Problem::none) return false;
  nghttp2_data_provider provider{};
  provider.source.ptr = &stream;
  provider.read_callback = ClientCallbacks::read_body;
  const int32_t id = nghttp2_submit_request(native_->session, nullptr, fields.rows().data(), fields.rows().size(),
                                            body ? &provider : nullptr, &stream);
  if (id < 0) {  // the numbers are used up: another connection begins anew
    goaway_ = true;
    return false;
  }
  stream.id = id;
  return true;
}

void ClientSession::resume(ClientStream& stream) {
  if (stream.id && !stream.closed) nghttp2_session_resume_data(native_->session, stream.id);
}

void ClientSession::consume(ClientStream& stream, uint32_t bytes) {
  if (bytes && !stream.closed) nghttp2_session_consume_stream(native_->session, stream.id, bytes);
}

void ClientSession::abandon(ClientStream& stream) {
  stream.abandoned = true;
  stream.release(buffers_);
  if (!stream.id) stream.closed = true;
  if (stream.closed) return;
  if (stream.unconsumed) consume(stream, std::exchange(stream.unconsumed, 0));
  nghttp2_submit_rst_stream(native_->session, NGHTTP2_FLAG_NONE, stream.id,
                            stream.ended ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
}

void ClientSession::ping() { nghttp2_submit_ping(native_->session, NGHTTP2_FLAG_NONE, nullptr); }

void ClientSession::say_goodbye() {
  goodbye_ = true;
  nghttp2_session_terminate_session(native_->session, NGHTTP2_NO_ERROR);
}

uint32_t ClientSession::max_streams() const {
  return nghttp2_session_get_remote_settings(native_->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

uint32_t ClientSession::window() const {
  return static_cast<uint32_t>(std::max(0, nghttp2_session_get_remote_window_size(native_->session)));
}

bool ClientSession::takes_connect() const {
  return nghttp2_session_get_remote_settings(native_->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

std::string_view ClientSession::to_string(Problem problem) {
  switch (problem) {
    case Problem::none: return "none";
    case Problem::not_http2: return "not_http2";
    case Problem::protocol: return "protocol";
    case Problem::flood: return "flood";
    case Problem::memory: return "memory";
  }
  return "";
}

void ClientSession::make_ready(ClientStream& stream) {
  if (std::exchange(stream.ready, true)) return;
  ready.push_back(&stream);
}

bool ClientSession::count_control() {
  if (now_ - control_since_ >= ClientLimits::kControlTime) {
    control_since_ = now_;
    control_ = 0;
  }
  return ++control_ <= limits_.control_frames || fail(Problem::flood, "more frames without an answer than it takes");
}

// ---- field sections ----

void ClientSession::begin_block(bool trailers) {
  block_.clear();
  if (block_.capacity() > kBlockKept) block_.shrink_to_fit();
  block_trailers_ = trailers;
  block_length_ = false;
  block_count_ = 0;
  status_ = 0;
}

/// False: the stream is to be reset.
bool ClientSession::add_field(ClientStream& stream, std::string_view name, std::string_view value) {
  if (stream.fault != StreamFault::none) return false;
  stream.header_bytes += static_cast<uint32_t>(name.size() + value.size() + kFieldOverhead);
  ++stream.header_count;
  ++block_count_;
  const bool too_large = block_trailers_
                             ? block_count_ > limits_.trailers ||
                                   block_.size() + name.size() + value.size() + kFieldOverhead > limits_.trailer_bytes
                             : stream.header_count > limits_.header_count || stream.header_bytes > limits_.header_bytes;
  if (too_large) {
    stream.fault = StreamFault::too_large;
    return false;
  }
  if (name == ":status") {
    std::from_chars(value.data(), value.data() + value.size(), status_);
    block_.append("HTTP/1.1 ").append(value).append(" \r\n");
    return true;
  }
  if (name == "content-length") block_length_ = true;
  if (name == "sec-websocket-accept" && !stream.accept.empty()) return true;  // the proof is ours to give (RFC 8441 §5)
  block_.append(name).append(": ").append(value).append("\r\n");
  return true;
}

void ClientSession::end_block(ClientStream& stream, bool end_stream) {
  if (status_ == 200 && !stream.accept.empty() && !end_stream)  // it stands for 101 (RFC 8441 §5)
    block_.replace(
        0, block_.find('\n') + 1,
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nsec-websocket-accept: " + stream.accept + "\r\n");
  stream.ended = stream.ended || end_stream;
  stream.answered = stream.answered || status_ >= 200;
  if (stream.abandoned) return make_ready(stream);
  if (block_trailers_) {
    stream.trailers.append(buffers_, block_);
  } else {
    // There is no body: who reads this as HTTP/1.1 need not wait for one.
    const bool bodiless = status_ < 200 || status_ == 204 || status_ == 304 || stream.head_method;
    if (end_stream && !block_length_ && !bodiless) block_.append("content-length: 0\r\n");
    block_.append("\r\n");
    stream.in.append(buffers_, block_);
  }
  make_ready(stream);
}

}  // namespace weir::http2
