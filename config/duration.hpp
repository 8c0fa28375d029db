// Durations outside the configuration, on the command line: the same words as in it.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace weir::config {

/// "500ms", "2s", "5m", "1h", "1d", within the bounds; else nothing, and `problem` is what is wrong and what to write:
/// "5min has an unknown unit; write 5m".
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text, std::chrono::milliseconds min,
                                                        std::chrono::milliseconds max, std::string& problem);

}  // namespace weir::config
