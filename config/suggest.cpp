#include "config/suggest.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

namespace weir::config {

size_t edit_distance(std::string_view a, std::string_view b, size_t limit) {
  const size_t gap = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (gap > limit) return limit + 1;
  std::vector<size_t> before(b.size() + 1), previous(b.size() + 1), row(b.size() + 1);
  std::iota(previous.begin(), previous.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t k = 1; k <= b.size(); ++k) {
      row[k] = std::min({previous[k] + 1, row[k - 1] + 1, previous[k - 1] + (a[i - 1] != b[k - 1])});
      if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1]) row[k] = std::min(row[k], before[k - 2] + 1);
    }
    if (*std::min_element(row.begin(), row.end()) > limit) return limit + 1;
    before.swap(previous);
    previous.swap(row);
  }
  return std::min(previous[b.size()], limit + 1);
}

std::string nearest(std::string_view word, const std::vector<std::string>& words) {
  if (word.empty() || word.size() > 64) return {};
  std::string best;
  size_t best_distance = (word.size() < 4 ? 1 : word.size() < 9 ? 2 : 3) + size_t{1};
  for (size_t i = 0; i < words.size() && i < 2000; ++i) {
    const size_t distance = edit_distance(word, words[i], best_distance - 1);
    if (distance >= best_distance || distance >= words[i].size()) continue;
    best_distance = distance;
    best = words[i];
  }
  return best;
}

std::string suggest(std::string_view word, const std::vector<std::string>& words, std::string_view what,
                    std::string_view otherwise) {
  if (const std::string best = nearest(word, words); !best.empty()) return fmt::format("did you mean \"{}\"?", best);
  if (words.empty() || words.size() > 24) return std::string(otherwise);
  return fmt::format("{}: {}", what, fmt::join(words, ", "));
}

std::string suggest_and_list(std::string_view word, const std::vector<std::string>& words, std::string_view what) {
  constexpr size_t kListed = 50;
  const std::string near = nearest(word, words);
  const auto end = words.begin() + static_cast<ptrdiff_t>(std::min(words.size(), kListed));
  return fmt::format("{}; {}: {}{}", near.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near), what,
                     words.empty() ? "none" : fmt::format("{}", fmt::join(words.begin(), end, ", ")),
                     words.size() > kListed ? fmt::format(" and {} more", words.size() - kListed) : "");
}

}  // namespace weir::config
