// Sixteen hexadecimal digits at once, for ids.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

namespace weir {

/// Writes `value` as 16 lower-case digits to `out`, the highest first. Eight digits a step: each nibble into a byte of
/// its own, then '0' or 'a' - 10 added to all of them.
inline void write_hex16(uint64_t value, char* out) {
  static_assert(std::endian::native == std::endian::little);
  constexpr uint64_t kOnes = 0x0101010101010101;
  for (int half = 0; half < 2; ++half) {
    uint64_t x = half == 0 ? value >> 32 : value & 0xffffffff;
    x = ((x << 16) | x) & 0x0000ffff0000ffff;
    x = ((x << 8) | x) & 0x00ff00ff00ff00ff;
    x = ((x << 4) | x) & 0x0f0f0f0f0f0f0f0f;
    const uint64_t letters = ((x + kOnes * 6) >> 4) & kOnes;  // 1 where the nibble is above 9
    x = __builtin_bswap64(x + kOnes * '0' + letters * ('a' - '0' - 10));
    std::memcpy(out + 8 * half, &x, sizeof x);
  }
}

}  // namespace weir
