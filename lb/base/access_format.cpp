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

/// `key` comes with its punctuation: `","method":"`.
void append_text(std::string_view key, std::string_view value, std::string& out) {
  out += key;
  append_escaped(value, EscapeStyle::json, out);
}

void append_number(std::string_view key, uint64_t value, std::string& out) {
  out += key;
  append_number(value, out);
}

void append_or_dash(std::string_view value, std::string& out) {
  if (value.empty()) {
    out += '-';
  } else {
    append_escaped(value, EscapeStyle::combined, out);
  }
}

std::string_view protocol(const AccessRecord& record) { return record.minor == 0 ? "HTTP/1.0" : "HTTP/1.1"; }

}  // namespace

void format_json(const AccessRecord& record, std::string& out) {
  out += R"({"time":")";
  append_rfc3339(record.wall_ns, out);
  append_text(R"(","client":")", record.client, out);
  append_text(R"(","user":")", record.user, out);
  append_text(R"(","method":")", record.method, out);
  append_text(R"(","target":")", record.target, out);
  append_text(R"(","host":")", record.host, out);
  append_number(R"(","status":)", record.status, out);
  out += R"(,"cause":")";
  out += info(record.cause).name;
  out += R"(","duration_ms":)";
  append_ms(record.duration_us, out);
  out += R"(,"upstream_ms":)";
  if (record.upstream_us == 0) {
    out += "null";
  } else {
    append_ms(record.upstream_us, out);
  }
  append_number(R"(,"bytes_in":)", record.bytes_received, out);
  append_number(R"(,"bytes_out":)", record.bytes_sent, out);
  append_number(R"(,"attempts":)", record.attempts, out);
  append_text(R"(,"listener":")", record.listener, out);
  append_text(R"(","route":")", record.route, out);
  append_text(R"(","pool":")", record.pool, out);
  append_text(R"(","backend":")", record.backend, out);
  append_text(R"(","request_id":")", record.request_id, out);
  append_text(R"(","user_agent":")", record.user_agent, out);
  append_text(R"(","referer":")", record.referer, out);
  out += R"(","protocol":")";
  out += protocol(record);
  out += "\"}\n";
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
