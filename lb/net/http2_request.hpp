// The fields of a request of HTTP/2 as the head of one of HTTP/1.1: the same parser then judges both, so that there is
// one set of rules. What only HTTP/2 can get wrong is judged here (RFC 9113 §8.2, §8.3; security-rules E4, E9). Pure.
#pragma once
#include <cstdint>
#include <string_view>

#include "lb/base/http2.hpp"
#include "lb/net/buffer.hpp"

namespace weir::http2 {

/// Could it stand in a line of its own? `name` in lower case.
bool valid_field(std::string_view name, std::string_view value);

class RequestText {
 public:
  enum class Verdict : uint8_t {
    ok,
    malformed,  // the stream is to be reset
    too_large,  // more fields, or bytes of them, than limits: 431; nothing more is kept
  };

  /// The next field, pseudo-fields first. What is malformed stays so.
  Verdict add(net::BufferPool& pool, const Http2Limits& limits, std::string_view name, std::string_view value);
  /// After the last field. `body`: one follows. `key`: what Sec-WebSocket-Key shall be, 24 characters, used only for a
  /// WebSocket.
  Verdict finish(net::BufferPool& pool, bool body, std::string_view key);
  /// A key may be needed.
  bool names_protocol() const { return protocol_.set; }
  /// The head, once it is finished.
  std::string_view view() const { return text_.view().substr(begin_); }
  char* data() { return text_.data() + begin_; }
  /// An extended CONNECT (RFC 8441) for a WebSocket: it has become a GET with Upgrade.
  bool websocket() const { return websocket_; }
  void release(net::BufferPool& pool);

 private:
  struct Piece {
    uint32_t at = 0, length = 0;
    bool set = false;
  };
  std::string_view piece(const Piece& piece) const { return text_.view().substr(piece.at, piece.length); }
  Verdict add_pseudo(net::BufferPool& pool, std::string_view name, std::string_view value);
  Verdict begin(net::BufferPool& pool);
  void line(net::BufferPool& pool, std::string_view name, std::string_view value);

  net::Buffer text_;     // the pseudo-fields' values, then the head from begin_ on
  net::Buffer cookies_;  // RFC 9113 §8.2.3: one field again
  Piece method_, scheme_, authority_, path_, protocol_;
  uint32_t begin_ = 0, fields_ = 0, bytes_ = 0;
  bool begun_ = false, websocket_ = false, length_ = false, host_ = false;
  Verdict verdict_ = Verdict::ok;
};

}  // namespace weir::http2
