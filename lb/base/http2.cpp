#include "lb/base/http2.hpp"

namespace weir {

std::string_view to_string(Http2Error error) {
  static constexpr std::array<std::string_view, kHttp2Errors> kNames{"no_error",
                                                                     "protocol_error",
                                                                     "internal_error",
                                                                     "flow_control_error",
                                                                     "settings_timeout",
                                                                     "stream_closed",
                                                                     "frame_size_error",
                                                                     "refused_stream",
                                                                     "cancel",
                                                                     "compression_error",
                                                                     "connect_error",
                                                                     "enhance_your_calm",
                                                                     "inadequate_security",
                                                                     "http_1_1_required",
                                                                     "other"};
  return kNames[index_of(error)];
}

std::string_view to_string(Http2Flood flood) {
  switch (flood) {
    case Http2Flood::none: return "none";
    case Http2Flood::resets: return "resets";
    case Http2Flood::errors: return "errors";
    case Http2Flood::settings: return "settings";
    case Http2Flood::pings: return "pings";
    case Http2Flood::priorities: return "priorities";
    case Http2Flood::empty_data: return "empty_data";
    case Http2Flood::continuations: return "continuations";
    case Http2Flood::acks: return "acks";
    case Http2Flood::stalled: return "stalled";
  }
  return "";
}

}  // namespace weir
