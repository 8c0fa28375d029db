// A made-up world for the loader, and helpers that load texts and look at what comes out.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "config/load.hpp"
#include "tests/catch.hpp"

namespace weir::config::test {

/// Files and variables by name; a pattern is PREFIX*SUFFIX.
struct World {
  std::map<std::string, std::string> variables, files;

  Environment environment() const {
    return {.variable =
                [this](const std::string& name) {
                  const auto found = variables.find(name);
                  return found == variables.end() ? std::nullopt : std::optional(found->second);
                },
            .read_file =
                [this](const std::string& path, size_t limit, bool) {
                  const auto found = files.find(path);
                  if (found == files.end()) return FileText{std::nullopt, "No such file or directory"};
                  return FileText{found->second.substr(0, limit + 1), {}};
                },
            .glob =
                [this](const std::string& pattern) {
                  const size_t star = pattern.find('*');
                  const std::string prefix = pattern.substr(0, star), suffix = pattern.substr(star + 1);
                  std::vector<std::string> paths;
                  for (const auto& [path, text] : files)
                    if (path.starts_with(prefix) && path.ends_with(suffix)) paths.push_back(path);
                  return paths;
                }};
  }
};

inline const std::string kMinimal = R"(listeners: { web: { bind: ":8080" } }
pools:     { app: { backends: { a: "http://127.0.0.1:9001", b: "http://127.0.0.1:9002" } } }
routes:    [ { pool: app } ]
)";

inline std::string all(const std::vector<Problem>& problems) {
  std::string text;
  for (const auto& problem : problems) text += problem.to_string() + "\n";
  return text;
}

/// Loads a text that must be right.
inline Config good(const std::string& text, const Environment& environment = Environment::none()) {
  LoadResult result = load_text(text, "weir.yaml", environment);
  INFO(all(result.errors));
  REQUIRE(result.config);
  return *result.config;
}

/// A text in which @@ marks a place: the text without it, and the place as "line:column".
struct Marked {
  std::string text, place;
  explicit Marked(std::string with_mark) : text(std::move(with_mark)) {
    const size_t mark = text.find("@@");
    if (mark == std::string::npos) return;
    text.erase(mark, 2);
    const auto begin = text.begin(), here = begin + static_cast<std::ptrdiff_t>(mark);
    const size_t line_start = mark == 0 ? std::string::npos : text.rfind('\n', mark - 1);
    place = fmt::format("{}:{}", std::count(begin, here, '\n') + 1,
                        line_start == std::string::npos ? mark + 1 : mark - line_start);
  }
};

inline std::string place_of(const Problem& problem) { return fmt::format("{}:{}", problem.at.line, problem.at.column); }

/// Checks that a text with a mark has exactly one error, at the mark, with these words in it.
inline void check_error(const std::string& with_mark, const std::string& words,
                        const Environment& environment = Environment::none()) {
  const Marked marked(with_mark);
  INFO(marked.text);
  const LoadResult result = load_text(marked.text, "weir.yaml", environment);
  INFO("wanted at " << marked.place << ": " << words << "\ngot:\n" << all(result.errors));
  CHECK_FALSE(result.config);
  CHECK_FALSE(result.unreadable);
  CHECK(result.errors.size() == 1);
  if (result.errors.empty()) return;
  CHECK(place_of(result.errors[0]) == marked.place);
  CHECK(result.errors[0].message.find(words) != std::string::npos);
}

/// The minimal file with one place of it exchanged.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  REQUIRE(text.find(from, at + 1) == std::string::npos);
  return text.replace(at, from.size(), to);
}

/// The repository's folder, from the build: __FILE__ is a relative path under ccache's base_dir.
inline std::string source_folder() { return WEIR_SOURCE_DIR "/"; }

}  // namespace weir::config::test
