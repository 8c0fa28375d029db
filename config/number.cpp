// Numbers with their units: the unit is always written, so that nobody guesses whether 5 means seconds or milliseconds.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <span>

#include "config/duration.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

struct UnitName {
  std::string_view name;
  uint64_t factor;
};

constexpr UnitName kDurations[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
constexpr UnitName kSizes[] = {{"B", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}, {"TiB", 1ull << 40}};
constexpr UnitName kPercent[] = {{"%", 1}};
constexpr UnitName kRates[] = {{"B/s", 1}, {"KiB/s", 1u << 10}, {"MiB/s", 1u << 20}, {"GiB/s", 1u << 30}};

std::span<const UnitName> units(Number::Unit unit) {
  switch (unit) {
    case Number::Unit::duration: return kDurations;
    case Number::Unit::bytes: return kSizes;
    case Number::Unit::bytes_per_second: return kRates;
    case Number::Unit::percent: return kPercent;
    case Number::Unit::none: break;
  }
  return {};
}

/// 60 seconds read better than a minute (and 90 s than 1.5), 1 h better than 3600 s.
bool is_readable(Number::Unit unit, const UnitName& name, uint64_t value) {
  return unit != Number::Unit::duration || name.factor <= 1000 || value >= 2 * name.factor || name.factor >= 3'600'000;
}

bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// The unit that somebody meant who wrote "sec", "M" or "kb"; empty: who knows.
std::string_view meant_unit(Number::Unit unit, std::string_view written) {
  std::string word;
  for (const char c : written)
    if (c != ' ') word += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  const auto is = [&](std::initializer_list<std::string_view> words) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  if (unit == Number::Unit::percent) return is({"%", "percent"}) ? "%" : "";
  if (unit == Number::Unit::duration) {
    if (is({"ms", "msec", "msecs", "millis", "millisecond", "milliseconds"})) return "ms";
    if (is({"s", "sec", "secs", "second", "seconds"})) return "s";
    if (is({"m", "min", "mins", "minute", "minutes"})) return "m";
    if (is({"h", "hr", "hrs", "hour", "hours"})) return "h";
    return is({"d", "day", "days"}) ? "d" : "";
  }
  if (unit == Number::Unit::bytes_per_second && word.ends_with("/s")) word.resize(word.size() - 2);
  for (const auto& name : units(unit)) {
    const char letter = static_cast<char>(name.name[0] + 32);
    const std::string_view rest = std::string_view(word).substr(std::min<size_t>(1, word.size()));
    const bool same = word.starts_with(letter) && (rest.empty() || rest == "b" || rest == "ib");
    if (letter == 'b' ? is({"b", "byte", "bytes"}) : same) return name.name;
  }
  return {};
}

/// "1.5" of a unit in the smallest ones, if that is a whole number of them.
std::optional<uint64_t> decimal(std::string_view whole, std::string_view fraction, uint64_t factor) {
  if (whole.size() > 9 || fraction.size() > 6) return std::nullopt;
  uint64_t value = 0, scale = 1;
  for (const char c : whole) value = value * 10 + static_cast<uint64_t>(c - '0');
  for (const char c : fraction) {
    value = value * 10 + static_cast<uint64_t>(c - '0');
    scale *= 10;
  }
  if (value > (1ull << 53) / factor || value * factor % scale != 0) return std::nullopt;
  return value * factor / scale;
}

}  // namespace

std::string Number::show(uint64_t value) const {
  if (value == 0 && !zero_words_.empty()) return zero_words_[0];
  const auto names = units(unit_);
  if (names.empty()) return std::to_string(value);
  const UnitName* best = unit_ == Unit::duration && value == 0 ? &names[1] : &names[0];
  for (const auto& name : names)
    if (value != 0 && value % name.factor == 0 && is_readable(unit_, name, value)) best = &name;
  return fmt::format("{}{}", value / best->factor, best->name);
}

std::string Number::range() const {
  std::string range = fmt::format("{} to {}", show(min_), show(max_));
  if (min_ == 0 && !zero_words_.empty()) range = fmt::format("{} or up to {}", zero_words_[0], show(max_));
  for (size_t i = min_ == 0 ? 1 : 0; i < zero_words_.size(); ++i) range += ", or " + zero_words_[i];
  return range;
}

std::string Number::example() const {
  switch (unit_) {
    case Unit::duration: return "a duration like 500ms, 2s, 5m, 1h";
    case Unit::bytes: return "a size like 512B, 32KiB, 256MiB, 1GiB";
    case Unit::bytes_per_second: return "a rate like 240B/s";
    case Unit::percent: return "a percentage like 50%";
    case Unit::none: break;
  }
  return "a whole number";
}

std::optional<uint64_t> Number::parse(std::string_view text, std::string& problem) const {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view number = text.substr(0, digits), unit = text.substr(digits);
  const auto fail = [&](std::string what) {
    problem = std::move(what);
    return std::nullopt;
  };
  const std::string shown(text.substr(0, 40));
  if (digits == 0) {
    const std::string instead = unit_ == Unit::none ? range() : example();
    if (text.starts_with('-')) return fail(fmt::format("{} is negative; write {}", shown, instead));
    return fail(fmt::format("{} is not {}; write {}", shown.empty() ? "an empty text" : shown,
                            unit_ == Unit::none ? "a number" : "a number with a unit", instead));
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc() || value > (1ull << 53))
    return fail(fmt::format("{} is too large; write {}", shown, range()));
  if (number.size() > 1 && number[0] == '0')
    return fail(fmt::format("{} begins with a zero, which some read as octal; write {}{}", shown, value, unit));
  if (unit.starts_with('.') && is_digits(unit.substr(1, 1)))
    return fail(fmt::format("{} is not a whole number; write {}", shown, instead_of_decimal(number, unit.substr(1))));
  if (unit_ == Unit::none) {
    if (unit.empty()) return value;
    return fail(fmt::format("{} is not a whole number; write {}", shown, range()));
  }
  for (const auto& name : units(unit_)) {
    if (unit != name.name) continue;
    if (value > (1ull << 53) / name.factor) return fail(fmt::format("{} is too large; write {}", shown, range()));
    return value * name.factor;
  }
  if (unit.empty()) {
    if (unit_ == Unit::percent) return fail(fmt::format("{0} has no unit; write {0}%", shown));
    const auto names = units(unit_);
    return fail(fmt::format("{0} has no unit; write {0}{1} or {0}{2}", shown, names[1].name, names[0].name));
  }
  const std::string_view meant = meant_unit(unit_, unit);
  return fail(fmt::format("{} has an unknown unit; write {}", shown,
                          meant.empty() ? example() : fmt::format("{}{}", number, meant)));
}

std::string Number::instead_of_decimal(std::string_view whole, std::string_view rest) const {
  const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  const std::string_view fraction = rest.substr(0, digits), unit = rest.substr(digits);
  uint64_t factor = unit_ == Unit::percent && unit.empty() ? 100 : 0;  // 0.5 is what other programs call 50%
  for (const auto& name : units(unit_))
    if (name.name == unit) factor = name.factor;
  const auto value = factor ? decimal(whole, fraction, factor) : std::nullopt;
  if (value && *value >= min_ && *value <= max_) return show(*value);
  return unit_ == Unit::none || unit_ == Unit::percent ? range() : "a smaller unit, " + example();
}

std::optional<uint64_t> Number::read(Reader& in, const Node& node) const {
  const std::string* text = expect_scalar(in, node, example());
  if (!text) return std::nullopt;
  for (const auto& word : zero_words_)
    if (*text == word) return 0;
  if (unit_ == Unit::none && node.quoted) {
    in.error(node.at, fmt::format("a number in quotes is a text; write {} without quotes", text->substr(0, 40)));
    return std::nullopt;
  }
  std::string problem;
  const auto value = read(*text, problem);
  if (!value) in.error(node.at, problem);
  return value;
}

TypeDoc Number::doc() const {
  const char* kinds[] = {"number", "percentage", "size", "rate", "duration"};
  const std::string kind = kinds[static_cast<size_t>(unit_)];
  std::string json, words;
  for (const auto& word : zero_words_) words += (words.empty() ? "" : ",") + json_quote(word);
  if (unit_ == Unit::none) {
    json = fmt::format(R"({{"type":"integer","minimum":{},"maximum":{}}})", min_, max_);
  } else {
    std::string names;
    for (const auto& name : units(unit_)) names += (names.empty() ? "" : "|") + std::string(name.name);
    json = fmt::format(R"({{"type":"string","pattern":"^(0|[1-9][0-9]*)({})$"}})", names);
  }
  if (!words.empty()) json = fmt::format(R"({{"anyOf":[{},{{"enum":[{}]}}]}})", json, words);
  return {.text = fmt::format("{}, {}", kind, range()), .json = json};
}

std::optional<uint64_t> Number::read(std::string_view text, std::string& problem) const {
  const auto value = parse(text, problem);
  if (!value || (*value >= min_ && *value <= max_)) return value;
  problem = fmt::format("{} is out of range; write {}", text, range());
  return std::nullopt;
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text, std::chrono::milliseconds min,
                                                        std::chrono::milliseconds max, std::string& problem) {
  const auto value = duration(min, max).read(text, problem);
  return value ? std::optional(std::chrono::milliseconds(*value)) : std::nullopt;
}

}  // namespace weir::config
