// The two text forms of an access record.
#include <fmt/format.h>

#include <iterator>

#include "lb/base/access_log.hpp"
#include "lb/base/escape.hpp"
#include "lb/base/log_time.hpp"

namespace weir {
namespace {

void append_number(uint64_t value, std::string& out) {
  const fmt::format_int text(value);
  out.append(text.data(), text.size());
}

/// Microseconds as milliseconds with three decimals.
void append_ms(uint64_t microseconds, std::string& out) {
  append_number(microseconds / 1000, out);
  const auto rest = static_cast<int>(microseconds % 1000);
  const char digits[4] = {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                          static_cast<char>('0' + rest % 10)};
  out.append(digits, 4);
}

void append_text(std::string_view value, std::string& out) {
  out += '"';
  append_escaped(value, EscapeStyle::json, out);
  out += '"';
}

/// 0 is null.
template <typename Append>
void append_or_null(uint64_t value, Append append, std::string& out) {
  if (value == 0) {
    out += "null";
  } else {
    append(value, out);
  }
}

void append_or_dash(std::string_view value, std::string& out) {
  if (value.empty()) {
    out += '-';
  } else {
    append_escaped(value, EscapeStyle::combined, out);
  }
}

std::string_view protocol(const AccessRecord& record) { return record.minor == 0 ? "HTTP/1.0" : "HTTP/1.1"; }

bool is_header(LogField field) { return field == LogField::request_header || field == LogField::response_header; }

std::string_view text_of(LogField field, size_t header, const AccessRecord& record) {
  switch (field) {
    case LogField::client: return record.client;
    case LogField::user: return record.user;
    case LogField::method: return record.method;
    case LogField::target: return record.target;
    case LogField::host: return record.host;
    case LogField::cause: return info(record.cause).name;
    case LogField::listener: return record.listener;
    case LogField::route: return record.route;
    case LogField::pool: return record.pool;
    case LogField::backend: return record.backend;
    case LogField::request_id: return record.request_id;
    case LogField::user_agent: return record.user_agent;
    case LogField::referer: return record.referer;
    case LogField::protocol: return protocol(record);
    case LogField::trace_id: return record.trace_id;
    case LogField::span_id: return record.span_id;
    case LogField::path: return record.path;
    case LogField::query: return record.query;
    case LogField::request_header:
    case LogField::response_header: return header < record.headers.size() ? record.headers[header] : std::string_view();
    default: return {};
  }
}

}  // namespace

std::vector<LogFieldUse> default_log_fields(bool with_trace) {
  std::vector<LogFieldUse> fields;
  for (const auto& known : kLogFields)
    if (known.field < LogField::trace_id || (with_trace && known.field == LogField::trace_id))
      fields.push_back({known.field, std::string(known.name)});
  return fields;
}

JsonLine::JsonLine(const std::vector<LogFieldUse>& fields) {
  size_t headers = 0;
  for (const auto& use : fields) {
    std::string before = parts_.empty() ? "{" : ",";
    before += '"';
    append_escaped(use.name, EscapeStyle::json, before);
    before += "\":";
    parts_.push_back({std::move(before), use.field, headers});
    headers += is_header(use.field);
  }
}

void JsonLine::format(const AccessRecord& record, std::string& out) const {
  for (const Part& part : parts_) {
    out += part.before;
    switch (part.field) {
      case LogField::time:
        out += '"';
        append_rfc3339(record.wall_ns, out);
        out += '"';
        break;
      case LogField::status: append_number(record.status, out); break;
      case LogField::upstream_status: append_or_null(record.upstream_status, append_number, out); break;
      case LogField::duration_ms: append_ms(record.duration_us, out); break;
      case LogField::upstream_ms: append_or_null(record.upstream_us, append_ms, out); break;
      case LogField::bytes_in: append_number(record.bytes_received, out); break;
      case LogField::bytes_out: append_number(record.bytes_sent, out); break;
      case LogField::attempts: append_number(record.attempts, out); break;
      default: append_text(text_of(part.field, part.header, record), out);
    }
  }
  out += "}\n";
}

void format_combined(const AccessRecord& record, std::string& out) {
  append_or_dash(record.client, out);
  out += " - ";
  append_or_dash(record.user, out);
  out += " [";
  append_clf_time(record.wall_ns, out);
  out += "] \"";
  if (record.method.empty()) {
    out += '-';  // nothing of the request could be read
  } else {
    append_escaped(record.method, EscapeStyle::combined, out);
    out += ' ';
    append_escaped(record.target, EscapeStyle::combined, out);
    out += ' ';
    out += protocol(record);
  }
  out += "\" ";
  fmt::format_to(std::back_inserter(out), "{:03} ", record.status);
  append_number(record.bytes_sent, out);
  out += " \"";
  append_or_dash(record.referer, out);
  out += "\" \"";
  append_or_dash(record.user_agent, out);
  out += "\"\n";
}

}  // namespace weir
