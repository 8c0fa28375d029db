#include "lb/net/websocket.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace weir::net {

std::array<char, 24> websocket_key(std::array<uint64_t, 2> random) {
  unsigned char text[25];  // EVP_EncodeBlock ends it with a zero
  EVP_EncodeBlock(text, reinterpret_cast<const unsigned char*>(random.data()), 16);
  std::array<char, 24> key;
  std::memcpy(key.data(), text, key.size());
  return key;
}

std::array<char, 28> websocket_accept(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char digest[EVP_MAX_MD_SIZE];
  EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_sha1(), nullptr);
  unsigned char encoded[29];
  EVP_EncodeBlock(encoded, digest, 20);
  std::array<char, 28> accept;
  std::memcpy(accept.data(), encoded, accept.size());
  return accept;
}

void WebSocketFrames::follow(std::string_view bytes) {
  while (!bytes.empty()) {
    if (missing_) {
      const size_t part = std::min<uint64_t>(missing_, bytes.size());
      missing_ -= part;
      bytes.remove_prefix(part);
      continue;
    }
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    ++header_;
    if (header_ == 1) {
      closed_ = closed_ || (byte & 0x0f) == 8;
    } else if (header_ == 2) {
      const uint8_t length = byte & 0x7f;
      const uint8_t more = length == 126 ? 2 : length == 127 ? 8 : 0;
      header_end_ = static_cast<uint8_t>(2 + more + (byte & 0x80 ? 4 : 0));
      mask_at_ = static_cast<uint8_t>(2 + more);
      length_ = more ? 0 : length;
    } else if (header_ <= mask_at_) {
      length_ = length_ << 8 | byte;
    }
    if (header_ < 2 || header_ < header_end_) continue;
    missing_ = length_;
    header_ = 0;
  }
}

}  // namespace weir::net
