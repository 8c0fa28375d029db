// Words of HTTP/2 that metrics and logs use.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace weir {

/// RFC 9113 §7.
enum class Http2Error : uint32_t {
  no_error,
  protocol_error,
  internal_error,
  flow_control_error,
  settings_timeout,
  stream_closed,
  frame_size_error,
  refused_stream,
  cancel,
  compression_error,
  connect_error,
  enhance_your_calm,
  inadequate_security,
  http_1_1_required,
};
/// What is sent to a peer that has broken the protocol.
constexpr bool is_clients_fault(Http2Error error) {
  return error == Http2Error::protocol_error || error == Http2Error::flow_control_error ||
         error == Http2Error::stream_closed || error == Http2Error::frame_size_error ||
         error == Http2Error::compression_error;
}
inline constexpr size_t kHttp2Errors = 15;  // the last one: any other
std::string_view to_string(Http2Error error);
/// For counting: what the peer may have made up is "other".
constexpr size_t index_of(Http2Error error) {
  return static_cast<size_t>(error) < kHttp2Errors ? static_cast<size_t>(error) : kHttp2Errors - 1;
}

/// Of what a client has sent too much on one connection (security-rules E).
enum class Http2Flood : uint8_t {
  none,
  resets,         // streams that it has reset
  errors,         // malformed requests and frames, of which each costs a reset of ours
  settings,       //
  pings,          //
  priorities,     //
  empty_data,     // DATA frames with nothing in them
  continuations,  // of one field block
  acks,           // answers to its frames that it doesn't take
  stalled,        // it takes nothing of what it has asked for
};
inline constexpr std::array kHttp2Floods{Http2Flood::resets,        Http2Flood::errors,     Http2Flood::settings,
                                         Http2Flood::pings,         Http2Flood::priorities, Http2Flood::empty_data,
                                         Http2Flood::continuations, Http2Flood::acks,       Http2Flood::stalled};
std::string_view to_string(Http2Flood flood);

/// What one connection of a client may do (security-rules E).
struct Http2Limits {
  uint32_t streams = 100;                                          // at a time
  uint32_t stream_window = 64 << 10, connection_window = 1 << 20;  // bytes that are not yet passed on
  uint32_t fields = 200, field_bytes = 32 << 10;  // of one request, each part of a cookie and 64 bytes a field counted
  uint32_t continuations = 8;                     // frames of a field block after its first
  // At once, and how fast that many come back.
  uint32_t resets = 1000, resets_per_minute = 2000;
  uint32_t errors = 50, errors_per_minute = 600;
  uint32_t settings_per_minute = 100, pings_per_minute = 100;
  uint32_t priorities = 100;  // for each stream, and one more
  uint32_t empty_data = 10;   // in a row
  uint32_t acks = 1000;       // queued
};

}  // namespace weir
