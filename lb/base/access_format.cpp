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

std::string_view protocol(const AccessRecord& record) {
  if (record.minor == AccessRecord::kTcp) return "TCP";
  return record.minor == 1 ? "HTTP/1.1" : record.minor == 0 ? "HTTP/1.0" : "HTTP/2.0";
}

bool is_header(LogField field) { return field == LogField::request_header || field == LogField::response_header; }

/// Between quotes?
bool is_text(LogField field) {
  switch (field) {
    case LogField::status:
    case LogField::upstream_status:
    case LogField::grpc_status:
    case LogField::duration_ms:
    case LogField::upstream_ms:
    case LogField::bytes_in:
    case LogField::bytes_out:
    case LogField::attempts: return false;
    default: return true;
  }
}

std::string_view text_of(LogField field, size_t header, const AccessRecord& record) {
  switch (field) {
    case LogField::client: return record.client;
    case LogField::user: return record.user;
    case LogField::method: return record.method;
    case LogField::target: return record.target;
    case LogField::host: return record.host;
    case LogField::listener: return record.listener;
    case LogField::route: return record.route;
    case LogField::pool: return record.pool;
    case LogField::backend: return record.backend;
    case LogField::request_id: return record.request_id;
    case LogField::user_agent: return record.user_agent;
    case LogField::referer: return record.referer;
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

JsonLine::JsonLine(const std::vector<LogFieldUse>& fields) : end_("{") {
  size_t headers = 0;
  for (const auto& use : fields) {
    std::string before = end_ + (parts_.empty() ? "\"" : ",\"");
    append_escaped(use.name, EscapeStyle::json, before);
    before += is_text(use.field) ? "\":\"" : "\":";
    parts_.push_back({std::move(before), use.field, headers});
    end_ = is_text(use.field) ? "\"" : "";
    headers += is_header(use.field);
  }
  end_ += "}\n";
}

void JsonLine::format(const AccessRecord& record, std::string& out) const {
  for (const Part& part : parts_) {
    out += part.before;
    switch (part.field) {
      case LogField::time: append_rfc3339(record.wall_ns, out); break;
      case LogField::cause: out += info(record.cause).name; break;
      case LogField::protocol: out += protocol(record); break;
      case LogField::status: append_number(record.status, out); break;
      case LogField::upstream_status: append_or_null(record.upstream_status, append_number, out); break;
      case LogField::grpc_status:
        if (record.grpc_status == AccessRecord::kNoGrpc)
          out += "null";
        else
          append_number(record.grpc_status, out);
        break;
      case LogField::duration_ms: append_ms(record.duration_us, out); break;
      case LogField::upstream_ms: append_or_null(record.upstream_us, append_ms, out); break;
      case LogField::bytes_in: append_number(record.bytes_received, out); break;
      case LogField::bytes_out: append_number(record.bytes_sent, out); break;
      case LogField::attempts: append_number(record.attempts, out); break;
      default: append_escaped(text_of(part.field, part.header, record), EscapeStyle::json, out);
    }
  }
  out += end_;
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
