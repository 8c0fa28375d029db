#include "lb/net/trace_context.hpp"

#include <algorithm>

namespace weir::trace {

using http1::FieldId;

namespace {

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }
bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool is_id(std::string_view text) {
  return std::all_of(text.begin(), text.end(), is_hex) && text.find_first_not_of('0') != std::string_view::npos;
}

uint8_t value_of(char c) { return static_cast<uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); }

bool is_key_char(char c) { return is_lower_or_digit(c) || c == '_' || c == '-' || c == '*' || c == '/'; }

/// §3.3.1.3.1: "vendor", or "tenant@vendor".
bool is_key(std::string_view key) {
  const size_t at = key.find('@');
  const auto part = [](std::string_view text, size_t most, bool digit_first) {
    return !text.empty() && text.size() <= most && is_lower_or_digit(text[0]) && (digit_first || text[0] > '9') &&
           std::all_of(text.begin(), text.end(), is_key_char);
  };
  if (at == std::string_view::npos) return part(key, 256, false);
  return part(key.substr(0, at), 241, true) && part(key.substr(at + 1), 14, false);
}

/// §3.3.1.3.2; blanks at the end belong to the list.
bool is_value(std::string_view value) {
  return !value.empty() && value.size() <= 256 &&
         std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c <= 0x7e && c != ',' && c != '='; });
}

/// Counts the members of one line into `members`.
bool valid_line(std::string_view line, size_t& members) {
  constexpr size_t kMost = 32;
  while (!line.empty()) {
    const size_t comma = std::min(line.find(','), line.size());
    const std::string_view member = http1::trim(line.substr(0, comma));
    line.remove_prefix(std::min(comma + 1, line.size()));
    if (member.empty()) continue;
    const size_t equals = member.find('=');
    if (++members > kMost || equals == std::string_view::npos || !is_key(member.substr(0, equals)) ||
        !is_value(member.substr(equals + 1)))
      return false;
  }
  return true;
}

}  // namespace

std::optional<TraceParent> parse_traceparent(std::string_view value) {
  if (value.size() < kTraceParentBytes || value[2] != '-' || value[35] != '-' || value[52] != '-') return std::nullopt;
  const std::string_view version = value.substr(0, 2), flags = value.substr(53, 2);
  const TraceParent parent{value.substr(3, kTraceIdDigits), value.substr(36, kSpanIdDigits),
                           is_hex(flags[1]) && (value_of(flags[1]) & 1) != 0};
  if (!is_hex(version[0]) || !is_hex(version[1]) || version == "ff" || !is_hex(flags[0]) || !is_hex(flags[1]) ||
      !is_id(parent.trace_id) || !is_id(parent.parent_id))
    return std::nullopt;
  if (value.size() > kTraceParentBytes && (version == "00" || value[kTraceParentBytes] != '-')) return std::nullopt;
  return parent;
}

std::optional<TraceParent> find_traceparent(const http1::Head& head) {
  if (!head.has(FieldId::traceparent)) return std::nullopt;
  const auto fields = head.all();
  if (std::count_if(fields.begin(), fields.end(), [](const auto& f) { return f.id == FieldId::traceparent; }) != 1)
    return std::nullopt;
  return parse_traceparent(head.find(FieldId::traceparent));
}

bool valid_tracestate(const http1::Head& head) {
  size_t members = 0;
  for (const auto& field : head.all())
    if (field.id == FieldId::tracestate && !valid_line(head.value(field), members)) return false;
  return true;
}

}  // namespace weir::trace
