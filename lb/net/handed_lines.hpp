// Lines of what one process knows, for the next one in an upgrade (docs/adr/0005): what those who write and read them
// share. The reader may be of another version: it passes over fields behind those that it knows, and over lines that it
// can't make out. Pure, but for the event.
#pragma once
#include <fmt/format.h>

#include <charconv>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "lb/base/clock.hpp"
#include "lb/net/handover.hpp"

namespace weir::net {

struct SomeLines {
  Lines lines;
  size_t left_out = 0;
};

/// Takes lines until they are more than `most` bytes; what is beyond is left out.
class LineCollector {
 public:
  explicit LineCollector(size_t most) : most_(most) {}
  void add(std::vector<std::string> line);
  SomeLines out;

 private:
  size_t most_, bytes_ = 0;
};

template <class Known>
struct Handed {
  Known known;
  size_t wrong = 0;       // lines
  std::string first_why;  // what is wrong with the first of them
};

/// `take` gets each line and what is known so far; it throws std::runtime_error for a line that can't be.
template <class Known, class Take>
Handed<Known> known_of(const Lines& lines, const Take& take) {
  Handed<Known> out;
  for (const auto& line : lines) try {
      take(line, out.known);
    } catch (const std::runtime_error& error) {
      if (out.wrong++ == 0) out.first_why = error.what();
    }
  return out;
}

/// The whole text; throws std::runtime_error if it is no such number.
template <class Number>
Number handed_number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw std::runtime_error(fmt::format("\"{}\" is no number here", text.substr(0, 64)));
  return value;
}

/// CLOCK_MONOTONIC, which both processes have, in ns.
inline std::string time_text(TimePoint time) { return std::to_string(time.time_since_epoch().count()); }
inline TimePoint handed_time(std::string_view text) { return TimePoint(Duration(handed_number<int64_t>(text))); }

/// Of a table of pairs, value and word: either by the other. No such word throws std::runtime_error.
template <class Table, class Value>
std::string word_of(const Table& table, Value value) {
  for (const auto& [known, word] : table)
    if (known == value) return std::string(word);
  return {};
}
template <class Table>
auto value_of(const Table& table, std::string_view word, const char* what) {
  for (const auto& [value, known] : table)
    if (known == word) return value;
  throw std::runtime_error(fmt::format("there is no {} \"{}\"", what, word.substr(0, 64)));
}

/// Takes the first word, up to a space, from `text`.
std::string_view take_word(std::string_view& text);

/// An event, unless nothing is left out: that much of `what` doesn't reach the other process.
void warn_of_gap(const char* what, size_t left_out, const std::string& reason);

}  // namespace weir::net
