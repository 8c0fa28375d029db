#include "lb/net/websocket.hpp"

#include <string>

#include "tests/catch.hpp"

using namespace weir::net;

namespace {

std::string frame(unsigned opcode, size_t size, bool mask = false) {
  std::string out{static_cast<char>(0x80 | opcode)};
  const char bit = mask ? '\x80' : '\0';
  if (size < 126) {
    out += static_cast<char>(static_cast<char>(size) | bit);
  } else if (size < 65536) {
    out += static_cast<char>(126 | bit);
    out += static_cast<char>(size >> 8);
    out += static_cast<char>(size & 0xff);
  } else {
    out += static_cast<char>(127 | bit);
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 0xff);
  }
  return out + std::string(mask ? 4 : 0, 'm') + std::string(size, '\x88');
}

}  // namespace

TEST_CASE("websocket: the proof of RFC 6455's example") {
  const auto accept = websocket_accept("dGhlIHNhbXBsZSBub25jZQ==");
  CHECK(std::string(accept.data(), accept.size()) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("websocket: a key is 16 bytes in Base64") {
  const auto key = websocket_key({0, ~uint64_t{0}});
  CHECK(std::string(key.data(), key.size()) == "AAAAAAAAAAD//////////w==");
}

TEST_CASE("websocket: a frame may be added between two others, wherever the pieces end") {
  for (const bool mask : {false, true})
    for (const size_t size : {size_t{0}, size_t{1}, size_t{125}, size_t{126}, size_t{65535}, size_t{65536}}) {
      const std::string one = frame(2, size, mask);
      for (const size_t piece : {size_t{1}, size_t{3}, size_t{1000}, size_t{200'000}}) {
        WebSocketFrames frames;
        CHECK(frames.may_add());
        const std::string both = one + one;
        size_t at = 0;
        while (at < both.size()) {
          const size_t part = std::min(piece, both.size() - at);
          frames.follow({both.data() + at, part});
          at += part;
          if (frames.may_add() != (at == one.size() || at == both.size())) FAIL("at " << at << " of " << one.size());
        }
      }
    }
}

TEST_CASE("websocket: nothing comes after a Close") {
  WebSocketFrames frames;
  frames.follow(frame(8, 2));
  CHECK_FALSE(frames.may_add());
}
