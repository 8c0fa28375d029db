// From YAML files to a validated configuration, or to everything that is wrong with them.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/environment.hpp"
#include "config/model.hpp"

namespace weir::config {

struct Problem {
  Location at;  // line 0: the file as a whole
  std::string message;
  /// "weir.yaml:3:12: pool app: timeout.connect: 5 has no unit; write 5s or 5ms"
  std::string to_string() const;
  /// "weir.yaml:2:9: warning: no route leads to pool idle; remove it, or write a route"
  std::string to_warning() const;
};

struct LoadResult {
  std::optional<Config> config;           // only if there are no errors
  std::vector<Problem> errors, warnings;  // by file in the order of reading, then line and column
  bool unreadable = false;                // the file itself could not be read: the one error says why
};

/// Reads `path` and what it includes. Never throws for what stands in the files. `any_kind`: `path` may also be a pipe
/// or a terminal (`weir check <(…)`), whose writer is waited for; without it that is refused, and nothing blocks.
LoadResult load_file(const std::string& path, const Environment& environment = Environment::real(),
                     bool any_kind = false);

/// The same for a text; `name` stands for it in messages and is what relative paths are relative to.
LoadResult load_text(std::string_view text, const std::string& name = "weir.yaml",
                     const Environment& environment = Environment::none());

/// JSON schema (draft 2020-12) of a configuration file, for editors.
std::string json_schema();
/// docs/configuration.md.
std::string reference_markdown();
/// weir.yaml(5), the same as a manual page.
std::string reference_man();

/// The names that `balance` accepts; the registry of lb/balance must have the same.
const std::vector<std::string>& balance_names();

}  // namespace weir::config
