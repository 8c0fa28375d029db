#include "lb/net/handed_lines.hpp"

#include "lb/base/log.hpp"

namespace weir::net {

namespace {
constexpr size_t kOverhead = 128;  // of a line: its numbers, at their longest
}

void LineCollector::add(std::vector<std::string> line) {
  size_t size = kOverhead;
  for (const auto& field : line) size += field.size() + 1;
  if (bytes_ + size > most_) return void(++out.left_out);
  bytes_ += size;
  out.lines.push_back(std::move(line));
}

std::string_view take_word(std::string_view& text) {
  const size_t end = text.find(' ');
  const auto word = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return word;
}

void warn_of_gap(const char* what, size_t left_out, const std::string& reason) {
  if (left_out)
    log::warn("handover_incomplete", {{"what", what}, {"left_out", std::to_string(left_out)}, {"reason", reason}});
}

}  // namespace weir::net
