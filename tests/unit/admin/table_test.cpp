#include "lb/admin/table.hpp"

#include "tests/catch.hpp"

using namespace weir::admin;

using Lines = std::vector<std::string>;

TEST_CASE("columns are as wide as their widest cell, numbers to the right") {
  Table table({{"NAME"}, {"N", true}, {"WHY"}});
  table.add({{"a"}, {"1,000"}, {"because"}});
  table.add({{"böse"}, {"7"}});
  CHECK(table.lines(false) == Lines{"NAME      N  WHY", "a     1,000  because", "böse      7"});
  CHECK(table.lines(true)[1] == "a     1,000  because");
}

TEST_CASE("no line is longer than the terminal is wide") {
  Table table({{"NAME"}, {"N", true, 2}, {"M", true, 1}, {"WHY"}});
  table.add({{"backend"}, {"12"}, {"345"}, {"a long reason"}});
  CHECK(table.lines(false, 100)[1] == "backend  12  345  a long reason");
  CHECK(table.lines(false, 24)[1] == "backend  12  345  a lon…");
  CHECK(table.lines(false, 18)[1] == "backend  345  a l…");
  CHECK(table.lines(false, 17)[1] == "backend  345  a …");
  CHECK(table.lines(false, 13)[1] == "backend  a l…");
  CHECK(table.lines(false, 4)[1] == "bac…");
  for (size_t width = 1; width < 40; ++width)
    for (const auto& line : table.lines(false, width)) CHECK(columns_of(line) <= width);
}

TEST_CASE("a long reason gets a line of its own, names are cut, and columns go, in this order") {
  Table table({{.title = "POOL", .least = 6},
               {.title = "NAME", .least = 6},
               {"N", true, 1},
               {"M", true},
               {.title = "WHY", .below = 1}});
  table.add({{"app"}, {"a"}, {"1"}, {"22"}, {"fine", Colour::dim}});
  table.add({{""}, {"a-long-name-of-one"}, {"1"}, {"22"}, {"it does not answer at all"}});
  CHECK(table.fits(60));
  CHECK(table.lines(false, 60) == table.lines(false));
  CHECK_FALSE(table.fits(50));
  CHECK(table.lines(false, 50) == Lines{"POOL  NAME                N   M", "app   a                   1  22",
                                        "      a-long-name-of-one  1  22", "      └ it does not answer at all"});
  CHECK(table.lines(false, 28) == Lines{"POOL  NAME             N   M", "app   a                1  22",
                                        "      a-long-name-of…  1  22", "      └ it does not answer …"});
  CHECK(table.lines(false, 20)[2] == "      a-long…  1  22");
  for (size_t width = 1; width < 80; ++width)
    for (const auto& line : table.lines(false, width)) CHECK(columns_of(line) <= width);
}

TEST_CASE("text that may be cut is, before it gets a line of its own") {
  Table table({{"TIME"}, {"N", true, 1}, {.title = "REQUEST", .least = 8, .below = 0}, {"ID"}});
  table.add({{"12:00"}, {"7"}, {"GET example.com/a/long/path"}, {"0123456789"}});
  CHECK(table.lines(false, 40)[1] == "12:00  7  GET example.com/a…  0123456789");
  CHECK(table.lines(false, 28)[1] == "12:00  GET exam…  0123456789");
  CHECK(table.lines(false, 22) == Lines{"TIME   N  ID", "12:00  7  0123456789", "└ GET example.com/a/l…"});
}

TEST_CASE("an estimate from the buckets of a histogram says that it is one") {
  CHECK(in_estimate(1.74) == "~1.7 ms");
  CHECK(in_estimate(59'999) == "~60.0 s");
  CHECK(in_estimate(60'000) == "> 60 s");
}

TEST_CASE("colours are around the text, not around the blanks") {
  Table table({{"A"}, {"B", true}});
  table.add({{"x", Colour::red}, {"1", Colour::green}});
  CHECK(table.lines(true)[1] == "\x1b[31mx\x1b[0m  \x1b[32m1\x1b[0m");
  CHECK(coloured("", Colour::red, true).empty());
}

TEST_CASE("numbers for people") {
  CHECK(grouped(0) == "0");
  CHECK(grouped(999) == "999");
  CHECK(grouped(1000) == "1,000");
  CHECK(grouped(1234567) == "1,234,567");
  CHECK(in_bytes(850) == "850 B");
  CHECK(in_bytes(34 << 20) == "34 MiB");
  CHECK(in_bytes(1 << 20) == "1.0 MiB");
  CHECK(in_milliseconds(0.42) == "0.42 ms");
  CHECK(in_milliseconds(1.74) == "1.7 ms");
  CHECK(in_milliseconds(17.4) == "17 ms");
  CHECK(in_milliseconds(1740) == "1.7 s");
  CHECK(in_time(5) == "5 s");
  CHECK(in_time(3600 * 5 + 60 * 20) == "5 h 20 min");
  CHECK(in_time(86400 * 12 + 3600 * 4) == "12 d 4 h");
  CHECK(in_rate(0) == "0");
  CHECK(in_rate(0.42) == "0.4");
  CHECK(in_rate(17.2) == "17");
  CHECK(in_rate(1234) == "1.2k");
  CHECK(in_rate(34567) == "35k");
}

TEST_CASE("text of others") {
  CHECK(printable("plain") == "plain");
  CHECK(printable("\x1b[31m\xff") == "\\x1b[31m\\xff");
  CHECK(cut("äöüß", 4) == "äöüß");
  CHECK(cut("äöüß", 3) == "äö…");
  CHECK(cut("abc", 0).empty());
}
