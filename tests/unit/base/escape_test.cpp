#include "lb/base/escape.hpp"

#include "tests/catch.hpp"

using namespace weir;
using namespace std::literals;

namespace {

std::string escaped(std::string_view text, EscapeStyle style) {
  std::string out;
  append_escaped(text, style, out);
  return out;
}

}  // namespace

TEST_CASE("text of strangers is escaped for each log", "[escape]") {
  struct Row {
    std::string_view text, json, logfmt, combined;
  };
  const Row rows[] = {
      {"", "", "", ""},
      {"/plain?a=1&b=%20", "/plain?a=1&b=%20", "/plain?a=1&b=%20", "/plain?a=1&b=%20"},
      {"say \"hi\"", R"(say \"hi\")", R"(say \"hi\")", R"(say \x22hi\x22)"},
      {R"(C:\x)", R"(C:\\x)", R"(C:\\x)", R"(C:\x5cx)"},
      {"a\r\nb\tc", R"(a\r\nb\tc)", R"(a\r\nb\tc)", R"(a\x0d\x0ab\x09c)"},
      {"\0\x01\x1b[31m\x7f"sv, R"(\u0000\u0001\u001b[31m\u007f)", R"(\x00\x01\x1b[31m\x7f)", R"(\x00\x01\x1b[31m\x7f)"},
      {"Grüße 日本 🙂", "Grüße 日本 🙂", "Grüße 日本 🙂", "Grüße 日本 🙂"},
      {"\xc2\x9b"
       "31m",
       R"(\u009b31m)", R"(\xc2\x9b31m)", R"(\xc2\x9b31m)"},                          // C1 control: CSI
      {"\xff\xfe", R"(\\xff\\xfe)", R"(\xff\xfe)", R"(\xff\xfe)"},                   // never in UTF-8
      {"\x80", R"(\\x80)", R"(\x80)", R"(\x80)"},                                    // alone
      {"\xc0\xaf", R"(\\xc0\\xaf)", R"(\xc0\xaf)", R"(\xc0\xaf)"},                   // overlong '/'
      {"\xe0\x80\xaf", R"(\\xe0\\x80\\xaf)", R"(\xe0\x80\xaf)", R"(\xe0\x80\xaf)"},  // overlong, 3 bytes
      {"\xed\xa0\x80", R"(\\xed\\xa0\\x80)", R"(\xed\xa0\x80)", R"(\xed\xa0\x80)"},  // surrogate
      {"\xf4\x90\x80\x80", R"(\\xf4\\x90\\x80\\x80)", R"(\xf4\x90\x80\x80)", R"(\xf4\x90\x80\x80)"},  // above U+10FFFF
      {"\xf0\x8f\x80\x80", R"(\\xf0\\x8f\\x80\\x80)", R"(\xf0\x8f\x80\x80)",
       R"(\xf0\x8f\x80\x80)"},                                      // overlong, 4 bytes
      {"\xe2\x82", R"(\\xe2\\x82)", R"(\xe2\x82)", R"(\xe2\x82)"},  // ends too early
      {"\xe2\x82X", R"(\\xe2\\x82X)", R"(\xe2\x82X)", R"(\xe2\x82X)"},
      {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},  // U+10FFFF
      {"\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80"},
  };
  for (const auto& row : rows) {
    CHECK(escaped(row.text, EscapeStyle::json) == row.json);
    CHECK(escaped(row.text, EscapeStyle::logfmt) == row.logfmt);
    CHECK(escaped(row.text, EscapeStyle::combined) == row.combined);
  }
}

TEST_CASE("no byte below 0x20, no DEL and no lone high byte survives", "[escape]") {
  for (const auto style : {EscapeStyle::json, EscapeStyle::logfmt, EscapeStyle::combined}) {
    for (int c = 0; c < 256; ++c) {
      const std::string out = escaped(std::string(1, static_cast<char>(c)), style);
      for (const char byte : out) {
        const auto value = static_cast<unsigned char>(byte);
        CHECK((value >= 0x20 && value < 0x7f));
      }
      if (c == '"') CHECK(out != "\"");
    }
  }
}

TEST_CASE("a byte is escaped wherever it stands", "[escape]") {
  bool right = true;
  for (int c = 0; c < 256; ++c) {
    const std::string byte(1, static_cast<char>(c));
    for (size_t before = 0; before < 20; ++before) {
      const std::string head(before, '~'), tail(19 - before, ' ');
      right = right && escaped(head + byte + tail, EscapeStyle::json) == head + escaped(byte, EscapeStyle::json) + tail;
    }
  }
  CHECK(right);
}

TEST_CASE("a field is cut at 8 KiB and never inside a character", "[escape]") {
  CHECK(cut_log_field(std::string(kLogFieldBytes, 'a')).size() == kLogFieldBytes);
  CHECK(cut_log_field(std::string(kLogFieldBytes + 1, 'a')).size() == kLogFieldBytes);
  const std::string euro = "\xe2\x82\xac";
  for (size_t before = 0; before < 4; ++before) {
    std::string text(kLogFieldBytes - before, 'a');
    text += euro + euro;
    const auto cut = cut_log_field(text);
    CHECK(cut.size() == (before == 3 ? kLogFieldBytes : kLogFieldBytes - before));
    CHECK(escaped(text, EscapeStyle::logfmt) == cut);
  }
  // Continuation bytes without a beginning: a bound, whatever they are.
  CHECK(cut_log_field(std::string(2 * kLogFieldBytes, '\x80')).size() == kLogFieldBytes - 3);
}
