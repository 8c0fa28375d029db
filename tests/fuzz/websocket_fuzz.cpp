// One direction of a WebSocket. However the bytes are split, a frame of ours may stand behind them exactly where a
// plain reading of the whole says that a frame ends, and none that closes went before.
#include <algorithm>

#include "lb/net/websocket.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/http1_checks.hpp"

using namespace weir;

namespace {

/// RFC 6455 §5.2, frame by frame.
bool may_add_behind(std::string_view bytes) {
  bool closed = false;
  while (!bytes.empty()) {
    closed = closed || (bytes[0] & 0x0f) == 8;
    if (bytes.size() < 2) return false;
    const bool masked = bytes[1] & 0x80;
    uint64_t length = bytes[1] & 0x7f;
    size_t header = 2;
    if (length >= 126) {
      const size_t more = length == 126 ? 2 : 8;
      if (bytes.size() < header + more) return false;
      length = 0;
      for (size_t i = 0; i < more; ++i) length = length << 8 | static_cast<uint8_t>(bytes[header + i]);
      header += more;
    }
    header += masked ? 4 : 0;
    if (bytes.size() < header || bytes.size() - header < length) return false;
    bytes.remove_prefix(header + length);
  }
  return !closed;
}

}  // namespace

/// The first byte says how large the pieces are.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = 1 + data[0] % 16;
  const http1::checks::Exact raw({reinterpret_cast<const char*>(data + 1), size - 1});
  const std::string_view bytes = raw.view();
  net::WebSocketFrames whole, split;
  whole.follow(bytes);
  for (size_t at = 0; at < bytes.size(); at += piece) {
    split.follow(bytes.substr(at, piece));
    // Quadratic, but of the short ones alone.
    if (bytes.size() <= 256 && split.may_add() != may_add_behind(bytes.substr(0, at + piece)))
      fuzz::require("a place between two frames is not seen, or seen where there is none");
  }
  if (whole.may_add() != split.may_add()) fuzz::require("it depends on how the bytes come");
  if (whole.may_add() != may_add_behind(bytes)) fuzz::require("the whole is read otherwise");
  return 0;
}
