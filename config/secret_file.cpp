#include "config/secret_file.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/paths.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

constexpr size_t kFewestBytes = 32, kMostBytes = 256, kMostKeys = 8;

/// What is wrong with a line of the file; the line itself is shown to nobody.
std::string key_problem(std::string_view line, const std::vector<std::string>& before) {
  if (std::any_of(line.begin(), line.end(), [](char c) { return c <= ' ' || c > '~'; }))
    return fmt::format("a key is one word of printable ASCII, without blanks; {}", kMakeSecret);
  if (line.size() < kFewestBytes || line.size() > kMostBytes)
    return fmt::format("a key of {} characters; {} to {} are allowed: {}", line.size(), kFewestBytes, kMostBytes,
                       kMakeSecret);
  if (std::find(before.begin(), before.end(), line) != before.end()) return "this key is here twice; keep one";
  if (before.size() == kMostKeys) return fmt::format("these are more than {} keys; remove old ones", kMostKeys);
  return {};
}

/// One key a line; empty lines and those that begin with # say nothing.
void read_keys_file(Reader& in, Place at, const std::string& path, const std::string& text,
                    std::vector<std::string>& keys) {
  const int file = static_cast<int>(in.files.size());
  in.files.push_back(path);
  const size_t problems = in.errors.size();
  int number = 0;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    std::string line = text.substr(start, end - start);
    start = end + 1;
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with('#')) continue;
    if (const std::string problem = key_problem(line, keys); !problem.empty()) {
      in.error({file, number, 1}, problem);
    } else {
      keys.push_back(std::move(line));
    }
  }
  if (keys.empty() && in.errors.size() == problems)
    in.error(at, fmt::format("{} holds no key; {}, one a line", path, kMakeSecret));
}

}  // namespace

void read_secret_file(Reader& in, const Node& node, std::string& file_path, std::vector<std::string>& keys) {
  constexpr size_t kMostFileBytes = 16 << 10;
  const std::string* path = expect_scalar(in, node, "the path of a file with keys");
  if (!path) return;
  const std::string resolved = beside(in.files.at(static_cast<size_t>(node.at.file)), *path);
  const FileText file = in.environment.read_file(resolved, kMostFileBytes, false);
  if (!file.text) return in.error(node.at, fmt::format("{} can't be read ({}); {}", resolved, file.error, kMakeSecret));
  if (file.text->size() > kMostFileBytes)
    return in.error(node.at, fmt::format("{} is longer than 16 KiB; write a key a line", resolved));
  file_path = resolved;
  read_keys_file(in, node.at, resolved, *file.text, keys);
}

}  // namespace weir::config
