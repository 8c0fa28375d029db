#include "config/seen_files.hpp"

#include <algorithm>
#include <utility>

#include "lb/base/hash.hpp"

namespace weir::config {

namespace {

SeenFiles::File look(const FileText& file, size_t limit) {
  return {limit, file.text.has_value(), file.text ? stable_hash(*file.text) : 0};
}

}  // namespace

std::string SeenFiles::changed(const Environment& environment) const {
  for (const auto& [pattern, found] : patterns)  // first: one of its files may well be gone
    if (environment.glob(pattern) != found) return pattern;
  for (const auto& [path, file] : files)
    if (look(environment.read_file(path, file.limit, false), file.limit) != file) return path;
  return {};
}

void SeenFiles::add(const SeenFiles& more) {
  files.insert(more.files.begin(), more.files.end());
  patterns.insert(more.patterns.begin(), more.patterns.end());
}

Environment recording(Environment base, std::shared_ptr<SeenFiles> seen) {
  Environment out = base;
  out.read_file = [base, seen](const std::string& path, size_t limit, bool any_kind) {
    FileText file = base.read_file(path, limit, any_kind);
    const auto [known, fresh] = seen->files.emplace(path, look(file, limit));
    if (!fresh && known->second.limit < limit) known->second = look(file, limit);
    return file;
  };
  out.glob = [base, seen](const std::string& pattern) {
    auto found = base.glob(pattern);
    seen->patterns.emplace(pattern, found);
    return found;
  };
  return out;
}

}  // namespace weir::config
