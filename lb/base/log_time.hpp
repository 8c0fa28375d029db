// Wall-clock times as the logs write them; always UTC, so that lines of two machines can be compared.
#pragma once
#include <cstdint>
#include <string>

namespace weir {

/// RFC 3339 with milliseconds: 2026-01-31T12:00:00.123Z
void append_rfc3339(int64_t wall_ns, std::string& out);

/// The common log format's: 31/Jan/2026:12:00:00 +0000
void append_clf_time(int64_t wall_ns, std::string& out);

}  // namespace weir
