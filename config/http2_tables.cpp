// `limits.http2`: what a client may do on one connection of HTTP/2.
#include "config/section.hpp"
#include "config/tables.hpp"
#include "config/types.hpp"

namespace weir::config {

TypeOf<Http2Limits> http2_section() {
  constexpr uint64_t KiB = 1 << 10, GiB = 1 << 30, kMost = 1'000'000;
  using L = Http2Limits;
  return Section<L>(
             "http2", "What a client may do on one connection of HTTP/2.",
             {key("streams", &L::streams, count(1, 10'000), "Requests at a time."),
              key("stream_window", &L::stream_window, bytes(1 * KiB, GiB),
                  "Of a request's body, sent but not yet passed on."),
              key("connection_window", &L::connection_window, bytes(64 * KiB, GiB), "… and of all of them together."),
              key("fields", &L::fields, count(8, 10'000),
                  "Fields of a request, each part of a cookie counted; more is 431."),
              key("field_bytes", &L::field_bytes, bytes(1 * KiB, 1024 * KiB),
                  "Bytes of them, 64 more a field counted; more is 431."),
              key("continuations", &L::continuations, count(0, 1000), "CONTINUATION frames of a request's head."),
              key("resets", &L::resets, count(1, kMost), "Requests that the client may take back at once …"),
              key("resets_per_minute", &L::resets_per_minute, count(1, kMost), "… and so many more each minute."),
              key("errors", &L::errors, count(1, kMost), "Malformed requests and frames at once …"),
              key("errors_per_minute", &L::errors_per_minute, count(1, kMost), "… and so many more each minute."),
              key("settings_per_minute", &L::settings_per_minute, count(1, kMost), "SETTINGS frames."),
              key("pings_per_minute", &L::pings_per_minute, count(1, kMost),
                  "PING frames between two frames that carry a message."),
              key("priorities", &L::priorities, count(1, kMost), "PRIORITY frames for each request, and one more."),
              key("empty_data", &L::empty_data, count(1, kMost), "DATA frames in a row with nothing in them."),
              key("acks", &L::acks, count(1, kMost), "Answers to its frames that the client leaves unread.")})
      .example("{ streams: 100 }");
}

}  // namespace weir::config
