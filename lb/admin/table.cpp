#include "lb/admin/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "lb/base/counters.hpp"
#include "lb/base/escape.hpp"

namespace weir::admin {
namespace {

constexpr size_t kGap = 2;  // blanks between columns

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

size_t Table::Layout::total() const {
  size_t sum = 0;
  for (const size_t i : shown) sum += widths[i] + kGap;
  return sum - std::min(sum, kGap);
}

Table::Layout Table::natural() const {
  Layout layout;
  for (const auto& column : columns_) layout.widths.push_back(columns_of(column.title));
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size() && i < layout.widths.size(); ++i)
      layout.widths[i] = std::max(layout.widths[i], columns_of(row[i].text));
  layout.shown.resize(columns_.size());
  std::iota(layout.shown.begin(), layout.shown.end(), size_t{0});
  return layout;
}

bool Table::fits(size_t width) const { return width == 0 || natural().total() <= width; }

/// What is least missed goes first: the ends of long names, the columns that can be done without, a line a row.
Table::Layout Table::fit(size_t width) const {
  Layout layout = natural();
  if (width == 0 || layout.total() <= width) return layout;
  Layout lines_apart = layout;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].below < 0) continue;
    lines_apart.below = i;
    std::erase(lines_apart.shown, i);
  }
  const size_t apart = lines_apart.below;
  if (apart == kNone || columns_[apart].least) {
    make_room(layout, width);
    if (apart == kNone || layout.total() <= width) return layout;
  }
  make_room(lines_apart, width);
  return lines_apart;
}

void Table::make_room(Layout& layout, size_t width) const {
  const std::vector<size_t> natural = layout.widths;
  for (size_t i = 0; i < columns_.size(); ++i)
    if (const size_t least = columns_[i].least)
      layout.widths[i] = std::min(layout.widths[i], std::max(least, width * 3 / 10));
  drop_columns(layout, width);
  for (auto i = layout.shown.rbegin(); i != layout.shown.rend() && layout.total() > width; ++i)
    if (const size_t least = columns_[*i].least, own = layout.widths[*i]; least && own > least)
      layout.widths[*i] -= std::min(layout.total() - width, own - least);
  for (const size_t i : layout.shown)
    if (const size_t total = layout.total(); total < width)
      layout.widths[i] += std::min(width - total, natural[i] - layout.widths[i]);
}

/// The last column may be cut, but not to less than a fifth of the width, in tables whose cells never get lines of
/// their own.
void Table::drop_columns(Layout& layout, size_t width) const {
  const bool may_cut_last =
      std::all_of(columns_.begin(), columns_.end(), [](const Column& column) { return column.below < 0; });
  const auto needed = [&] {
    const size_t last = layout.widths[layout.shown.back()];
    return layout.total() - (may_cut_last ? last - std::min(last, width / 5) : 0);
  };
  while (layout.shown.size() > 1 && needed() > width) {
    const auto least = std::max_element(layout.shown.begin(), layout.shown.end(), [&](size_t a, size_t b) {
      return columns_[a].dispensable < columns_[b].dispensable;
    });
    if (columns_[*least].dispensable == 0) break;
    layout.shown.erase(least);
  }
}

std::vector<std::string> Table::lines(bool colours, size_t width) const {
  const Layout layout = fit(width);
  const auto line = [&](auto&& cell_of) {
    std::string out;
    size_t start = 0, written = 0;  // of the column; of the line so far, in characters
    for (const size_t i : layout.shown) {
      const size_t whole = layout.widths[i];
      const size_t room = width == 0 ? whole : std::min(whole, width > start ? width - start : 0);
      if (columns_[i].right && room < whole) break;  // half a number would be a wrong one
      const Cell cell = cell_of(i);
      const std::string text = cut(cell.text, room);
      const size_t length = columns_of(text), at = start + (columns_[i].right ? room - length : 0);
      if (length) {
        out.append(at - written, ' ');
        out += coloured(text, cell.colour, colours);
        written = at + length;
      }
      start += whole + kGap;
    }
    return out;
  };
  size_t indent = 0;  // of lines apart
  for (const size_t i : layout.shown)
    if (layout.below != kNone && static_cast<int>(i) < columns_[layout.below].below) indent += layout.widths[i] + kGap;
  std::vector<std::string> out;
  out.push_back(line([&](size_t i) { return Cell{columns_[i].title, Colour::bold}; }));
  for (const auto& row : rows_) {
    out.push_back(line([&](size_t i) { return i < row.size() ? row[i] : Cell{}; }));
    if (layout.below >= row.size()) continue;
    const Cell& apart = row[layout.below];
    if (apart.text.empty() || apart.colour == Colour::dim) continue;
    const std::string& anchor = row[static_cast<size_t>(columns_[layout.below].below)].text;
    const size_t start = indent + std::min(anchor.find_first_not_of(' '), anchor.size());
    const std::string text = cut("└ " + apart.text, width > start ? width - start : 0);
    if (!text.empty()) out.push_back(std::string(start, ' ') + coloured(text, apart.colour, colours));
  }
  return out;
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

std::string in_estimate(double milliseconds) {
  constexpr double kLast = static_cast<double>(Histogram::kBounds.back()) / 1000;
  if (milliseconds >= kLast) return fmt::format("> {:.0f} s", kLast / 1000);
  return "~" + in_milliseconds(milliseconds);
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
