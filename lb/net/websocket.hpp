// What a proxy must know of WebSockets (RFC 6455): the handshake's proof, and where one frame ends. Pure.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace weir::net {

/// 16 random bytes as Sec-WebSocket-Key has them.
std::array<char, 24> websocket_key(std::array<uint64_t, 2> random);
/// What Sec-WebSocket-Accept must be for that key (§4.2.2).
std::array<char, 28> websocket_accept(std::string_view key);

/// The Close frame of a server that goes away (§7.4.1: 1001).
inline constexpr std::string_view kGoingAway{"\x88\x02\x03\xe9", 4};

/// Follows one direction of a WebSocket (§5.2), to know when a frame of ours may stand between two others.
class WebSocketFrames {
 public:
  void follow(std::string_view bytes);
  /// No frame is half sent, and none that closes was.
  bool may_add() const { return missing_ == 0 && header_ == 0 && !closed_; }

 private:
  uint64_t missing_ = 0;    // of the current frame's payload
  uint64_t length_ = 0;     // as far as it is read
  uint8_t header_ = 0;      // bytes of the current frame's header that were seen; 0: none
  uint8_t header_end_ = 0;  // how long it is, known after two, as is the next
  uint8_t mask_at_ = 0;     // where the length ends
  bool closed_ = false;
};

}  // namespace weir::net
