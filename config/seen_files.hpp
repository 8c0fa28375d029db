// What a configuration was read from, so that it can be noticed when that has changed.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/environment.hpp"

namespace weir::config {

struct SeenFiles {
  struct File {
    size_t limit = 0;  // as Environment::read_file was asked
    bool readable = false;
    uint64_t hash = 0;  // of what was read
    bool operator==(const File&) const = default;
  };
  std::map<std::string, File> files;                         // by path
  std::map<std::string, std::vector<std::string>> patterns;  // what each stood for

  /// The first that is no longer so; empty: all is as it was.
  std::string changed(const Environment& environment) const;
  void add(const SeenFiles& more);
};

/// Works as `base`, and notes in `seen` what was read; which outlives the environment's copies.
Environment recording(Environment base, std::shared_ptr<SeenFiles> seen);

}  // namespace weir::config
