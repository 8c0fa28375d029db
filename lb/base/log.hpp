// The event log: one line an event on stderr, for people and for grep: `2026-01-31T12:00:00.123Z warn backend_down pool=app backend=a
// reason="connect refused"`. Synchronous: for the control thread and for rare events, never once a request (that is access_log.hpp).
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace weir::log {

enum class Level { info, warn, error };
using Field = std::pair<std::string_view, std::string>;

/// Writes one line with one write(2). Values are quoted when they need it; control bytes and invalid UTF-8 are escaped (security-rules C8).
void event(Level level, std::string_view name, std::initializer_list<Field> fields = {});
inline void info(std::string_view name, std::initializer_list<Field> fields = {}) { event(Level::info, name, fields); }
inline void warn(std::string_view name, std::initializer_list<Field> fields = {}) { event(Level::warn, name, fields); }
inline void error(std::string_view name, std::initializer_list<Field> fields = {}) { event(Level::error, name, fields); }

}  // namespace weir::log
