#include "lb/net/http2_server.hpp"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "lb/net/http2_frame_buffer.hpp"
#include "lb/net/http2_guard.hpp"
#include "lb/net/http2_rows.hpp"

namespace weir::http2 {

namespace {

constexpr size_t kFrameHeader = 9;

void check(int result) {
  if (result == NGHTTP2_ERR_NOMEM) throw std::bad_alloc();
}

std::string_view view(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

}  // namespace

struct ServerSession::Guarded {
  Guarded(const Http2Limits& limits, TimePoint now) : guard(limits, now) {}
  Guard guard;
  FrameBuffer frame;
};

/// What nghttp2 calls; each runs within receive() or produce().
struct ServerCallbacks {
  static ServerSession& of(void* user) { return *static_cast<ServerSession*>(user); }
  static ServerStream* stream_of(nghttp2_session* session, int32_t id) {
    return static_cast<ServerStream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int on_begin_frame(nghttp2_session* session, const nghttp2_frame_hd* header, void* user) {
    ServerSession& self = of(user);
    ++self.frames_;
    if (header->type == NGHTTP2_DATA && (header->flags & NGHTTP2_FLAG_END_STREAM))
      if (ServerStream* stream = stream_of(session, header->stream_id)) stream->last_data_ = true;
    const auto flood =
        self.guarded_->guard.on_frame(header->type, header->flags, static_cast<uint32_t>(header->length), self.now_);
    if (flood != Http2Flood::none) self.flooded(flood);
    return self.flood_ == Http2Flood::none ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;  // nothing more is decoded
  }

  static int on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    ServerSession& self = of(user);
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
      self.heading_ = stream_of(session, frame->hd.stream_id);
      return 0;
    }
    ServerStream* stream = self.events_.on_stream();
    self.heading_ = stream;
    if (!stream) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream->id_ = frame->hd.stream_id;
    stream->heard_all_ = stream->closed_ = stream->deferred_ = stream->end_sent_ = stream->wants_rest_ = false;
    stream->reset_by_us_ = stream->reset_by_client_ = stream->error_counted_ = false;
    stream->answered_ = stream->last_data_ = false;
    nghttp2_session_set_stream_user_data(session, stream->id_, stream);
    return 0;
  }

  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                       const uint8_t* value, size_t value_size, uint8_t, void* user) {
    ServerSession& self = of(user);
    if (!self.heading_) return 0;
    const bool trailer = frame->headers.cat != NGHTTP2_HCAT_REQUEST;
    if (self.events_.on_field(*self.heading_, view(name, name_size), view(value, value_size), trailer) ==
        ServerEvents::Field::ok)
      return 0;
    return malformed(self, session, *self.heading_);
  }

  static int malformed(ServerSession& self, nghttp2_session* session, ServerStream& stream) {
    error(self, &stream);
    check(nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream.id_, NGHTTP2_PROTOCOL_ERROR));
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int on_invalid_header(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t, const uint8_t*, size_t,
                               uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // else it would be left out
  }

  static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    ServerSession& self = of(user);
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS: {
        ServerStream* stream = std::exchange(self.heading_, nullptr);
        if (!stream) return 0;
        stream->heard_all_ = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
        if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
          self.events_.on_end(*stream);
        } else if (self.events_.on_head(*stream) == ServerEvents::Field::malformed) {
          malformed(self, session, *stream);
        }
        return 0;
      }
      case NGHTTP2_DATA: {
        if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
        if (ServerStream* stream = stream_of(session, frame->hd.stream_id)) {
          stream->heard_all_ = true;
          self.events_.on_end(*stream);
        }
        return 0;
      }
      case NGHTTP2_RST_STREAM:
        self.events_.on_reset_received(static_cast<Http2Error>(frame->rst_stream.error_code));
        if (ServerStream* stream = stream_of(session, frame->hd.stream_id)) stream->reset_by_client_ = true;
        return 0;
      default: return 0;
    }
  }

  static int on_data(nghttp2_session* session, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
    if (ServerStream* stream = stream_of(session, id))
      of(user).events_.on_data(*stream, view(data, size));
    else
      check(nghttp2_session_consume_connection(session, size));
    return 0;
  }

  static int on_close(nghttp2_session* session, int32_t id, uint32_t code, void* user) {
    ServerSession& self = of(user);
    ServerStream* stream = stream_of(session, id);
    if (!stream) return 0;
    if (self.heading_ == stream) self.heading_ = nullptr;
    stream->closed_ = true;
    self.events_.on_closed(*stream, static_cast<Http2Error>(code), stream->reset_by_client_);
    return 0;
  }

  static void error(ServerSession& self, ServerStream* stream) {
    if (stream && std::exchange(stream->error_counted_, true)) return;
    const auto flood = self.guarded_->guard.on_error(self.now_);
    if (flood != Http2Flood::none) self.flooded(flood);
  }

  /// Nothing is wrong with that, but it costs what a reset by the client does, and must not be had for less.
  static void cut_short(ServerSession& self) {
    const auto flood = self.guarded_->guard.on_reset(self.now_);
    if (flood != Http2Flood::none) self.flooded(flood);
  }

  static int on_invalid_frame(nghttp2_session* session, const nghttp2_frame* frame, int, void* user) {
    error(of(user), stream_of(session, frame->hd.stream_id));
    return 0;
  }

  static int on_frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    ServerSession& self = of(user);
    switch (frame->hd.type) {
      case NGHTTP2_DATA:
      case NGHTTP2_HEADERS:
        self.guarded_->guard.on_message_sent();
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
          if (ServerStream* stream = stream_of(session, frame->hd.stream_id)) stream->end_sent_ = true;
        return 0;
      case NGHTTP2_RST_STREAM: {
        ServerStream* stream = stream_of(session, frame->hd.stream_id);
        if (stream && !stream->reset_by_us_ && stream->cut_short())
          cut_short(self);
        else if (!stream || !stream->reset_by_us_)
          error(self, stream);
        self.events_.on_reset_sent(static_cast<Http2Error>(frame->rst_stream.error_code));
        return 0;
      }
      case NGHTTP2_GOAWAY: {
        const auto why = static_cast<Http2Error>(frame->goaway.error_code);
        self.ended_by_library(why, view(frame->goaway.opaque_data, frame->goaway.opaque_data_len));
        self.events_.on_goaway_sent(why);
        return 0;
      }
      default: return 0;
    }
  }

  static ssize_t on_read(nghttp2_session*, int32_t, uint8_t*, size_t room, uint32_t* flags, nghttp2_data_source* source,
                         void* user) {
    auto& stream = *static_cast<ServerStream*>(source->ptr);
    bool end = false, trailers = false;
    const size_t bytes = of(user).events_.on_read(stream, end, trailers);
    if (bytes == 0 && !end) {
      stream.deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (end && bytes <= room) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (trailers) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        of(user).events_.on_trailers_due(stream);
      }
    }
    return static_cast<ssize_t>(std::min(bytes, room));
  }

  static int on_send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* header, size_t size,
                          nghttp2_data_source* source, void* user) {
    ServerSession& self = of(user);
    if (self.out_->size() >= self.bound_) return NGHTTP2_ERR_WOULDBLOCK;  // mem_send would go on with the next one
    self.out_->append(*self.pool_, view(header, kFrameHeader));
    if (size) self.events_.on_take(*static_cast<ServerStream*>(source->ptr), size, *self.out_);
    return 0;
  }

  static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* all = nullptr;
    check(nghttp2_session_callbacks_new(&all));
    nghttp2_session_callbacks_set_on_begin_frame_callback(all, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(all, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(all, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(all, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(all, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(all, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(all, on_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(all, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(all, on_frame_sent);
    nghttp2_session_callbacks_set_send_data_callback(all, on_send_data);
    return all;
  }
  static const nghttp2_session_callbacks* get() {
    static nghttp2_session_callbacks* const all = make();
    return all;
  }
};

ServerSession::ServerSession(const Http2Limits& limits, ServerEvents& events, TimePoint now)
    : limits_(limits), events_(events), guarded_(new Guarded(limits, now)), now_(now) {
  nghttp2_option* option = nullptr;
  check(nghttp2_option_new(&option));
  nghttp2_option_set_no_auto_window_update(option, 1);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_max_outbound_ack(option, limits.acks);
  // Counted by the guard, which can say so; these come behind it.
  nghttp2_option_set_max_continuations(option, limits.continuations + 1);
  nghttp2_option_set_stream_reset_rate_limit(option, uint64_t{limits.resets} + 1, limits.resets_per_minute / 60 + 1);
  nghttp2_mem memory{&guarded_->frame, FrameBuffer::take, FrameBuffer::give_back, FrameBuffer::take_cleared,
                     FrameBuffer::resize};
  const int result = nghttp2_session_server_new3(&session_, ServerCallbacks::get(), this, option, &memory);
  nghttp2_option_del(option);
  check(result);
  const std::array<nghttp2_settings_entry, 5> settings{{
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.field_bytes},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},  // all streams are alike
  }};
  check(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()));
  check(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                              static_cast<int32_t>(limits.connection_window)));
}

ServerSession::~ServerSession() { nghttp2_session_del(session_); }

void ServerSession::receive(std::string_view bytes, TimePoint now) {
  now_ = now;
  if (dead_ || flood_ != Http2Flood::none) return;
  const ssize_t used = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (used >= 0) return;
  check(static_cast<int>(used));
  if (used == NGHTTP2_ERR_FLOODED)
    flooded(Http2Flood::acks);
  else if (used == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
    flooded(Http2Flood::continuations);
  else if (flood_ == Http2Flood::none)
    broken_ = nghttp2_strerror(static_cast<int>(used));
  dead_ = true;
  terminate(flood_ == Http2Flood::none ? Http2Error::protocol_error : Http2Error::enhance_your_calm);
}

void ServerSession::flooded(Http2Flood flood) {
  if (flood_ != Http2Flood::none) return;
  flood_ = flood;
  terminate(Http2Error::enhance_your_calm);
}

/// nghttp2 ends a session by itself; its GOAWAY is the only one that says why.
void ServerSession::ended_by_library(Http2Error why, std::string_view detail) {
  if (why == Http2Error::no_error || why == ended_for_ || flood_ != Http2Flood::none || !broken_.empty()) return;
  broken_ = to_string(why);
  if (!detail.empty()) broken_.append(": ").append(detail);
}

void ServerSession::produce(net::BufferPool& pool, net::Buffer& out, size_t bound) {
  pool_ = &pool;
  out_ = &out;
  bound_ = bound;
  while (out.size() < bound) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size <= 0) {
      check(static_cast<int>(size));
      if (size < 0) dead_ = true;
      break;
    }
    out.append(pool, view(data, static_cast<size_t>(size)));
  }
  pool_ = nullptr;
  out_ = nullptr;
}

bool ServerSession::wants_write() const { return nghttp2_session_want_write(session_); }

bool ServerSession::finished() const {
  return !nghttp2_session_want_write(session_) && (dead_ || !nghttp2_session_want_read(session_));
}

void ServerSession::submit_interim(ServerStream& stream, const FieldSection& fields) {
  check(nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id_, nullptr, fields.rows().data(),
                               fields.rows().size(), nullptr));
}

void ServerSession::submit_head(ServerStream& stream, const FieldSection& fields, bool body) {
  nghttp2_data_provider provider{{.ptr = &stream}, ServerCallbacks::on_read};
  check(nghttp2_submit_response(session_, stream.id_, fields.rows().data(), fields.rows().size(),
                                body ? &provider : nullptr));
  stream.answered_ = true;
}

void ServerSession::submit_trailers(ServerStream& stream, const FieldSection& fields) {
  check(nghttp2_submit_trailer(session_, stream.id_, fields.rows().data(), fields.rows().size()));
}

void ServerSession::resume(ServerStream& stream) {
  if (!stream.deferred_) return;
  stream.deferred_ = false;
  check(nghttp2_session_resume_data(session_, stream.id_));
}

void ServerSession::reset(ServerStream& stream, Http2Error why) {
  if (stream.closed_ || stream.reset_by_us_) return;
  stream.reset_by_us_ = true;
  check(nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, static_cast<uint32_t>(why)));
}

void ServerSession::consume(ServerStream& stream, size_t bytes) {
  if (bytes == 0) return;
  check(stream.closed_ || stream.answered_whole() ? nghttp2_session_consume_connection(session_, bytes)
                                                  : nghttp2_session_consume(session_, stream.id_, bytes));
}

void ServerSession::announce_end() { check(nghttp2_submit_shutdown_notice(session_)); }

void ServerSession::refuse_streams() {
  check(nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                              NGHTTP2_NO_ERROR, nullptr, 0));
}

void ServerSession::terminate(Http2Error why) {
  if (std::exchange(terminated_, true)) return;
  ended_for_ = why;
  check(nghttp2_session_terminate_session(session_, static_cast<uint32_t>(why)));
}

int32_t ServerSession::window(const ServerStream& stream) const {
  return nghttp2_session_get_stream_remote_window_size(session_, stream.id_);
}

}  // namespace weir::http2
