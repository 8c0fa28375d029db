// The world outside the configuration text: environment variables and further files. Passed in, so that loading is a
// pure function.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/yaml.hpp"

namespace weir::config {

struct FileText {
  std::optional<std::string> text;  // empty: could not be read
  std::string error;                // then why, e.g. "No such file or directory"
};

struct Environment {
  /// The value of an environment variable, or nothing.
  std::function<std::optional<std::string>(const std::string& name)> variable;
  /// A file's first `limit` + 1 bytes at most (so that the caller sees what is too long). `any_kind`: also a pipe, as
  /// `<(…)` makes.
  std::function<FileText(const std::string& path, size_t limit, bool any_kind)> read_file;
  /// The paths that a pattern stands for, sorted; empty if there are none.
  std::function<std::vector<std::string>(const std::string& pattern)> glob;

  /// `weir run --dev`: a file with a certificate and its key (PEM) that stands in where a listener has none, or one
  /// that isn't there.
  std::optional<std::pair<std::string, std::string>> stand_in = {};  // path, text

  static Environment real();
  /// No variables and no files.
  static Environment none();
};

inline constexpr size_t kMaxExpandedBytes = 64 << 10;  // of one value

/// Replaces `${NAME}` and `${NAME:-default}` in every value of the tree and `$$` by `$`; what comes in stays text and
/// never becomes YAML. Such a value counts as
/// unquoted, so that `"${PORT}"` can be a number.
void expand_variables(Node& root, const Environment& environment, std::vector<Finding>& problems);

}  // namespace weir::config
