// The content codings that responses can be given (RFC 9110 §8.4.1, RFC 7932), in the order of preference.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace weir {

enum class ContentCoding : uint8_t { br, gzip };
inline constexpr std::array kContentCodings{ContentCoding::br, ContentCoding::gzip};

/// As Content-Encoding and Accept-Encoding name it.
constexpr std::string_view to_string(ContentCoding coding) { return coding == ContentCoding::br ? "br" : "gzip"; }

/// Why a response of a route with `compress` went out as it came.
enum class CompressionSkip : uint8_t {
  not_accepted,  // the client wants none of the route's algorithms, or rather has it plain
  type,
  size,
  status,        // 206, or one without a body
  encoded,       // the backend has compressed it
  no_transform,  // Cache-Control says so
  cpu,           // compress.cpu is used up
  memory,        // compress.memory is
};
inline constexpr size_t kCompressionSkips = 8;

constexpr std::string_view to_string(CompressionSkip reason) {
  switch (reason) {
    case CompressionSkip::not_accepted: return "not_accepted";
    case CompressionSkip::type: return "type";
    case CompressionSkip::size: return "size";
    case CompressionSkip::status: return "status";
    case CompressionSkip::encoded: return "encoded";
    case CompressionSkip::no_transform: return "no_transform";
    case CompressionSkip::cpu: return "cpu";
    case CompressionSkip::memory: return "memory";
  }
  return "invalid";
}

}  // namespace weir
