// Tables and numbers as the command line shows them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::admin {

enum class Colour : uint8_t { none, bold, dim, green, yellow, red, cyan };

struct Cell {
  std::string text;
  Colour colour = Colour::none;
};

/// Columns that are as wide as their widest cell, two blanks between them.
class Table {
 public:
  struct Column {
    std::string title;
    bool right = false;   // numbers: shown whole or not at all
    int dispensable = 0;  // where there is no room, the greatest goes first; 0: never
    size_t least = 0;     // text may be cut to so many characters; 0: not before all else has gone
    int below = -1;  // column below which its cells get lines of their own where there is no room, dim ones none; -1:
                     // never. With `least` it takes the end of its text first
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }
  /// The lines, titles first, without newlines or blanks at the end; none is longer than `width` columns (0: as long as
  /// they are).
  std::vector<std::string> lines(bool colours, size_t width = 0) const;
  /// A line a row then.
  bool fits(size_t width) const;

 private:
  struct Layout {
    std::vector<size_t> widths;  // of all columns
    std::vector<size_t> shown;   // which, in their order
    size_t below = kNone;        // the column that has lines of its own
    size_t total() const;
  };
  static constexpr size_t kNone = ~size_t{0};
  Layout natural() const;
  Layout fit(size_t width) const;
  void drop_columns(Layout& layout, size_t width) const;
  void make_room(Layout& layout, size_t width) const;
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

/// `text` between the escapes of its colour; as it is without colours.
std::string coloured(std::string_view text, Colour colour, bool colours);

/// Characters of UTF-8 text: columns, as long as none is wide.
size_t columns_of(std::string_view text);
/// The first `columns` characters; the last of them is an ellipsis if something was cut.
std::string cut(std::string_view text, size_t columns);
/// For a terminal: control bytes and what isn't UTF-8 are escaped.
std::string printable(std::string_view text);

/// "1,234,567"
std::string grouped(uint64_t number);
/// "850 B", "34 MiB"
std::string in_bytes(uint64_t bytes);
/// "0.42 ms", "17 ms", "1.7 s", from milliseconds.
std::string in_milliseconds(double milliseconds);
/// The same of a quantile that was estimated from the buckets of a histogram: "~17 ms"; "> 60 s" above the last one.
std::string in_estimate(double milliseconds);
/// "45 s", "3 min", "5 h 20 min", "12 d 4 h"
std::string in_time(uint64_t seconds);
/// "about 12 sessions left", of a backend that drains.
/// `over_in`: milliseconds until they count as over.
std::string about_sessions(uint64_t left, int64_t over_in);
/// "0", "0.4", "17", "1.2k", "34k": a rate a second.
std::string in_rate(double per_second);

}  // namespace weir::admin
