// Text of strangers made safe for a log line (security-rules C8): control bytes, DEL, C1 controls (a terminal takes
// U+009B for ESC [) and whatever isn't UTF-8 never reach the line as they are.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace weir {

enum class EscapeStyle {
  json,      // RFC 8259 §7; a byte that isn't UTF-8 becomes the four characters \xNN (so: "\\xff" in the JSON text)
  logfmt,    // \" \\ \n \r \t, else \xNN
  combined,  // \xNN alone, quotes and backslashes too, as nginx does: a pattern like "([^"]*)" always finds the right
             // end
};

/// What a log keeps of a string of a stranger.
inline constexpr size_t kLogFieldBytes = 8 << 10;

/// The first kLogFieldBytes of `text`, or up to 3 bytes less so that no character is cut in two.
std::string_view cut_log_field(std::string_view text);

/// Appends `text` (cut to kLogFieldBytes) in a form that may stand between double quotes.
void append_escaped(std::string_view text, EscapeStyle style, std::string& out);

}  // namespace weir
