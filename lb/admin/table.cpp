#include "lb/admin/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "lb/base/escape.hpp"

namespace weir::admin {
namespace {

const char* escape_of(Colour colour) {
  switch (colour) {
    case Colour::none: return "";
    case Colour::bold: return "\x1b[1m";
    case Colour::dim: return "\x1b[2m";
    case Colour::green: return "\x1b[32m";
    case Colour::yellow: return "\x1b[33m";
    case Colour::red: return "\x1b[31m";
    case Colour::cyan: return "\x1b[36m";
  }
  return "";
}

}  // namespace

std::string coloured(std::string_view text, Colour colour, bool colours) {
  if (!colours || colour == Colour::none || text.empty()) return std::string(text);
  return fmt::format("{}{}\x1b[0m", escape_of(colour), text);
}

size_t columns_of(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string cut(std::string_view text, size_t columns) {
  if (columns_of(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  size_t end = 0;
  for (size_t seen = 0; end < text.size(); ++end)
    if ((static_cast<unsigned char>(text[end]) & 0xc0) != 0x80 && ++seen == columns) break;
  return std::string(text.substr(0, end)) + "…";
}

std::string printable(std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  if (plain) return std::string(text);
  std::string out;
  append_escaped(text, EscapeStyle::combined, out);
  return out;
}

std::vector<std::string> Table::lines(bool colours, size_t width) const {
  std::vector<size_t> widths;
  for (const auto& column : columns_) widths.push_back(columns_of(column.title));
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], columns_of(row[i].text));
  const auto shown = chosen(widths, width);
  const auto line = [&](auto&& cell_of) {
    std::string out;
    size_t start = 0, written = 0;  // of the column; of the line so far, in characters
    for (const size_t i : shown) {
      const size_t room = width == 0 ? widths[i] : std::min(widths[i], width > start ? width - start : 0);
      if (columns_[i].right && room < widths[i]) break;  // half a number would be a wrong one
      const Cell cell = cell_of(i);
      const std::string text = cut(cell.text, room);
      const size_t length = columns_of(text), at = start + (columns_[i].right ? room - length : 0);
      if (length) {
        out.append(at - written, ' ');
        out += coloured(text, cell.colour, colours);
        written = at + length;
      }
      start += widths[i] + 2;
    }
    return out;
  };
  std::vector<std::string> out;
  out.push_back(line([&](size_t i) { return Cell{columns_[i].title, Colour::bold}; }));
  for (const auto& row : rows_) out.push_back(line([&](size_t i) { return i < row.size() ? row[i] : Cell{}; }));
  return out;
}

/// The columns there is room for; the last may be cut, but not to less than a fifth of the width.
std::vector<size_t> Table::chosen(const std::vector<size_t>& widths, size_t width) const {
  const size_t last = width / 5;
  std::vector<size_t> shown(columns_.size());
  std::iota(shown.begin(), shown.end(), size_t{0});
  const auto needed = [&] {
    size_t sum = 0;
    for (size_t k = 0; k + 1 < shown.size(); ++k) sum += widths[shown[k]] + 2;
    return sum + std::min(widths[shown.back()], last);
  };
  while (width && shown.size() > 1 && needed() > width) {
    const auto least = std::max_element(shown.begin(), shown.end(), [&](size_t a, size_t b) {
      return columns_[a].dispensable < columns_[b].dispensable;
    });
    if (columns_[*least].dispensable == 0) break;
    shown.erase(least);
  }
  return shown;
}

std::string grouped(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string in_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 || value >= 10 ? fmt::format("{:.0f} {}", value, kUnits[unit])
                                  : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string in_milliseconds(double milliseconds) {
  if (milliseconds < 0.995) return fmt::format("{:.2f} ms", milliseconds);
  if (milliseconds < 9.95) return fmt::format("{:.1f} ms", milliseconds);
  if (milliseconds < 999.5) return fmt::format("{:.0f} ms", milliseconds);
  return fmt::format("{:.1f} s", milliseconds / 1000);
}

std::string in_time(uint64_t seconds) {
  constexpr uint64_t kMinute = 60, kHour = 3600, kDay = 86400;
  if (seconds < kMinute) return fmt::format("{} s", seconds);
  if (seconds < kHour) return fmt::format("{} min", seconds / kMinute);
  if (seconds < kDay) return fmt::format("{} h {} min", seconds / kHour, seconds % kHour / kMinute);
  return fmt::format("{} d {} h", seconds / kDay, seconds % kDay / kHour);
}

std::string about_sessions(uint64_t left, int64_t over_in) {
  if (over_in == 0) return "its sessions are over";
  if (left == 0) return "no session seen yet";
  return fmt::format("about {} session{} left", grouped(left), left == 1 ? "" : "s");
}

std::string in_rate(double per_second) {
  if (per_second <= 0) return "0";
  if (per_second < 9.95) return fmt::format("{:.1f}", per_second);
  if (per_second < 999.5) return fmt::format("{:.0f}", per_second);
  if (per_second < 9'950) return fmt::format("{:.1f}k", per_second / 1000);
  return fmt::format("{:.0f}k", per_second / 1000);
}

}  // namespace weir::admin
