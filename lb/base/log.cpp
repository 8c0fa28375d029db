#include "lb/base/log.hpp"

#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "lb/base/clock.hpp"
#include "lb/base/escape.hpp"
#include "lb/base/log_output.hpp"
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

std::atomic<uint64_t> all_lost{0};

/// Who writes must not wait for who reads: it is the control thread, or a worker with all its connections.
class StandardError {
 public:
  void write(const std::string& line) {
    const std::lock_guard lock(mutex_);
    if (!output_) output_ = LogOutput::standard(STDERR_FILENO);
    std::string text;
    if (untold_) format_event(wall_now_ns(), Level::warn, "events_lost", {{"count", std::to_string(untold_)}}, text);
    const size_t notice = text.size();
    text += line;
    const auto outcome = output_->write(text, 0, [] { return false; });
    if (outcome.error == 0 || outcome.whole_lines >= notice) untold_ = 0;
    if (outcome.error == 0) return;
    ++untold_;
    all_lost.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  std::mutex mutex_;
  std::optional<LogOutput> output_;
  uint64_t untold_ = 0;
};

/// Never destroyed: other threads may have something to say until the very end.
StandardError& standard_error() {
  static auto* const instance = new StandardError;
  return *instance;
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

uint64_t lost_events() { return all_lost.load(std::memory_order_relaxed); }

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
      standard_error().write(line);
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
