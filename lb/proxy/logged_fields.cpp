#include "lb/proxy/logged_fields.hpp"

#include <algorithm>

namespace weir::proxy {

namespace {

/// Appends the values of all lines of a field to `out`, kLogHeaderBytes at most; how many bytes.
size_t append_values(const http1::Head& head, std::string_view name, std::string& out) {
  const size_t before = out.size();
  for (const auto& field : head.all()) {
    if (out.size() >= before + kLogHeaderBytes) break;
    if (!http1::equals_ignore_case(head.name(field), name)) continue;
    if (out.size() > before) out += ", ";
    out += head.value(field).substr(0, kLogHeaderBytes);
  }
  out.resize(std::min(out.size(), before + kLogHeaderBytes));
  return out.size() - before;
}

}  // namespace

void LoggedFields::take(const AccessLog& for_log, const http1::Head& answer) {
  log = for_log.serial();
  count = 0;
  text.clear();
  for (const auto& use : for_log.headers())
    if (use.field == LogField::response_header)
      lengths[count++] = static_cast<uint16_t>(append_values(answer, use.header, text));
}

std::span<const std::string_view> LogHeaders::find(const AccessLog& log, const http1::Head& request,
                                                   const LoggedFields* answer,
                                                   std::array<std::string_view, kMostLogHeaders>& values) {
  joined_.clear();
  joined_.reserve(kMostLogHeaders * (2 * kLogHeaderBytes + 2));  // the views into it must stay
  const bool answered = answer && answer->log == log.serial();
  size_t count = 0, from_answer = 0, at = 0;
  for (const auto& use : log.headers()) {
    std::string_view& value = values[count++];
    if (use.field == LogField::request_header) {
      const size_t start = joined_.size(), size = append_values(request, use.header, joined_);
      value = std::string_view(joined_).substr(start, size);
    } else if (answered && from_answer < answer->count) {
      value = std::string_view(answer->text).substr(at, answer->lengths[from_answer]);
      at += answer->lengths[from_answer++];
    }
  }
  return std::span(values).first(count);
}

}  // namespace weir::proxy
