// Paths written in a file are relative to that file.
#pragma once
#include <string>

namespace weir::config {

/// `path` as seen from the folder of `file`.
inline std::string beside(const std::string& file, const std::string& path) {
  const size_t slash = file.rfind('/');
  return path.starts_with('/') || slash == std::string::npos ? path : file.substr(0, slash + 1) + path;
}

}  // namespace weir::config
