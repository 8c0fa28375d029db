// The event log: one line an event on stderr, for people and for grep: `2026-01-31T12:00:00.123Z warn backend_down
// pool=app backend=a reason="connect refused"`. Synchronous, but it never waits: for the control thread and for rare
// events, never once a request (that is access_log.hpp). docs/logging.md describes the format.
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace weir::log {

enum class Level { info, warn, error };
using Field = std::pair<std::string_view, std::string>;

/// Writes one line with one write(2); any thread; never throws, never waits: a line that stderr doesn't take (a full
/// pipe, a terminal that was stopped) is lost, and the next one that it takes comes after an event `events_lost`.
/// Values are quoted when they need it and cut at 8 KiB; control bytes and invalid UTF-8 are escaped (security-rules
/// C8).
void event(Level level, std::string_view name, std::initializer_list<Field> fields = {}) noexcept;
inline void info(std::string_view name, std::initializer_list<Field> fields = {}) noexcept {
  event(Level::info, name, fields);
}
inline void warn(std::string_view name, std::initializer_list<Field> fields = {}) noexcept {
  event(Level::warn, name, fields);
}
inline void error(std::string_view name, std::initializer_list<Field> fields = {}) noexcept {
  event(Level::error, name, fields);
}

/// How many lines stderr has not taken; any thread.
uint64_t lost_events();

/// Events below `least` are left out from now on; any thread. All are told until it is called.
void set_level(Level least);

/// Takes the lines (each with its newline) in place of stderr; may be called from several threads at once. An empty one
/// means stderr again.
using Sink = std::function<void(std::string_view line)>;
/// For tests. Returns the sink before it. An event that is being written meanwhile may still reach the old one.
Sink set_sink(Sink sink);

/// Appends the line of an event that happened at `wall_ns`, newline included.
void format_event(int64_t wall_ns, Level level, std::string_view name, std::initializer_list<Field> fields,
                  std::string& out);

}  // namespace weir::log
