// Fields after a body (RFC 9110 §6.5): which of them may pass on.
#pragma once
#include <cstdint>
#include <string_view>

namespace weir {

/// Of one message (security-rules A9). What exceeds them breaks the message.
inline constexpr uint32_t kMostTrailers = 100;
inline constexpr uint32_t kMostTrailerBytes = 32 << 10;

/// False for fields that frame a message, route it, authenticate, or say how its content is to be read: their place is
/// the head (RFC 9110 §6.5.1). `name` in any case.
bool allowed_in_trailers(std::string_view name);

}  // namespace weir
