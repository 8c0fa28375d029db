#include "lb/base/log.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>

#include "lb/base/clock.hpp"
#include "lb/base/escape.hpp"
#include "lb/base/log_time.hpp"

namespace weir::log {
namespace {

std::atomic<Level> least_level{Level::info};
std::mutex sink_mutex;
std::shared_ptr<Sink> current_sink;  // null: stderr

std::string_view level_name(Level level) {
  switch (level) {
    case Level::info: return "info";
    case Level::warn: return "warn";
    case Level::error: return "error";
  }
  return "error";
}

bool needs_quotes(std::string_view value) {
  if (value.empty()) return true;
  for (const char byte : value) {
    const auto c = static_cast<unsigned char>(byte);
    if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=') return true;
  }
  return false;
}

void write_stderr(std::string_view line) {
  // What a full pipe doesn't take is lost: an event log that blocks would stop the control thread.
  while (::write(STDERR_FILENO, line.data(), line.size()) < 0 && errno == EINTR) {
  }
}

}  // namespace

void format_event(int64_t wall_ns, Level level, std::string_view name, std::initializer_list<Field> fields,
                  std::string& out) {
  append_rfc3339(wall_ns, out);
  out += ' ';
  out += level_name(level);
  out += ' ';
  out += name;
  for (const auto& [key, value] : fields) {
    out += ' ';
    out += key;
    out += '=';
    if (!needs_quotes(value)) {
      out += cut_log_field(value);
      continue;
    }
    out += '"';
    append_escaped(value, EscapeStyle::logfmt, out);
    out += '"';
  }
  out += '\n';
}

void set_level(Level least) { least_level.store(least, std::memory_order_relaxed); }

void event(Level level, std::string_view name, std::initializer_list<Field> fields) noexcept {
  if (level < least_level.load(std::memory_order_relaxed)) return;
  try {
    std::string line;
    format_event(wall_now_ns(), level, name, fields, line);
    std::shared_ptr<Sink> sink;
    {
      const std::lock_guard lock(sink_mutex);
      sink = current_sink;
    }
    if (sink) {
      (*sink)(line);
    } else {
      write_stderr(line);
    }
  } catch (...) {  // out of memory, or a sink that throws: the event is lost, the caller goes on
  }
}

Sink set_sink(Sink sink) {
  auto next = sink ? std::make_shared<Sink>(std::move(sink)) : nullptr;
  const std::lock_guard lock(sink_mutex);
  current_sink.swap(next);
  return next ? *next : Sink{};
}

}  // namespace weir::log
