// A number that the process which started us has put into the environment (LISTEN_FDS, WATCHDOG_USEC).
#pragma once
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <system_error>

namespace weir {

/// 0 if the variable is not set, or is no number.
inline uint64_t environment_number(const char* variable) {
  const char* text = std::getenv(variable);
  if (!text) return 0;
  uint64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  return error == std::errc() && stop == end ? value : 0;
}

}  // namespace weir
