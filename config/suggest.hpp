// "did you mean": the nearest known word.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace weir::config {

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment) that turn `a` into `b`;
/// `limit` + 1 if more.
size_t edit_distance(std::string_view a, std::string_view b, size_t limit);

/// The word nearest to `word`, if one is near enough to be meant; empty otherwise. Looks at no more than 2,000 words.
std::string nearest(std::string_view word, const std::vector<std::string>& words);

/// `did you mean "NEAREST"?`, or `WHAT: a, b, c` with all the words (`WHAT` as "the keys here are"), or what
/// `otherwise` says if there are none or too many of them.
std::string suggest(std::string_view word, const std::vector<std::string>& words, std::string_view what,
                    std::string_view otherwise = "");

/// ` (did you mean "NEAREST"?); WHAT: a, b, c`, with the first 50 of them; for answers to one question at a time, which
/// have room for both.
std::string suggest_and_list(std::string_view word, const std::vector<std::string>& words, std::string_view what);

/// Of what has a `name` each.
template <class T>
std::vector<std::string> names_of(const std::vector<T>& values) {
  std::vector<std::string> names;
  for (const auto& value : values) names.push_back(value.name);
  return names;
}

}  // namespace weir::config
