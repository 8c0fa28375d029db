#include "lb/route/accept_encoding.hpp"

#include <algorithm>

namespace weir::route {

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool same(std::string_view text, std::string_view lower_case) {
  return std::equal(text.begin(), text.end(), lower_case.begin(), lower_case.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a | 0x20 : a) == b; });
}

}  // namespace

std::optional<int16_t> parse_quality(std::string_view text) {
  if (text.empty() || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  int value = text[0] == '1' ? 1000 : 0;
  text.remove_prefix(1);
  if (text.empty()) return static_cast<int16_t>(value);
  if (text[0] != '.' || text.size() > 4) return std::nullopt;
  int digit_worth = 100;
  for (const char c : text.substr(1)) {
    if (c < '0' || c > '9') return std::nullopt;
    value += (c - '0') * digit_worth;
    digit_worth /= 10;
  }
  if (value > 1000) return std::nullopt;
  return static_cast<int16_t>(value);
}

void AcceptEncoding::note(std::string_view coding, int16_t quality) {
  int16_t* place = nullptr;
  if (coding == "*")
    place = &others_;
  else if (same(coding, "br"))
    place = &codings_[static_cast<size_t>(ContentCoding::br)];
  else if (same(coding, "gzip") || same(coding, "x-gzip"))  // RFC 9110 §8.4.1.3
    place = &codings_[static_cast<size_t>(ContentCoding::gzip)];
  else if (same(coding, "identity"))
    place = &identity_;
  if (place && *place == kUnsaid) *place = quality;
}

void AcceptEncoding::add(std::string_view line) {
  while (!line.empty()) {
    const size_t comma = std::min(line.find(','), line.size());
    const std::string_view element = line.substr(0, comma);
    line.remove_prefix(std::min(comma + 1, line.size()));
    const size_t semicolon = element.find(';');
    int16_t quality = 1000;
    if (semicolon != element.npos) {
      const std::string_view weight = trim(element.substr(semicolon + 1));
      if (weight.size() < 2 || !same(weight.substr(0, 2), "q=")) continue;
      const auto parsed = parse_quality(weight.substr(2));
      if (!parsed) continue;
      quality = *parsed;
    }
    note(trim(element.substr(0, semicolon)), quality);
  }
}

uint16_t AcceptEncoding::quality(ContentCoding coding) const {
  const int16_t own = codings_[static_cast<size_t>(coding)];
  return static_cast<uint16_t>(std::max<int16_t>(own != kUnsaid ? own : others_, 0));
}

std::optional<ContentCoding> AcceptEncoding::choose(std::span<const ContentCoding> offered) const {
  std::optional<ContentCoding> best;
  uint16_t highest = 0;
  for (const ContentCoding coding : offered) {
    if (quality(coding) <= highest) continue;
    best = coding;
    highest = quality(coding);
  }
  // Identity is acceptable unless it is excluded, but wanted more only if its quality was said to be higher. "*" names
  // what no other element names, identity too.
  const int16_t identity = identity_ != kUnsaid ? identity_ : others_;
  if (identity > static_cast<int16_t>(highest)) return std::nullopt;
  return best;
}

}  // namespace weir::route
