// `weir check` and `weir schema`: the configuration without the daemon.
#pragma once
#include <string>

namespace weir::cli {

/// Prints every problem to stderr, `FILE:LINE:COLUMN: …` so that editors can jump there; with none, one line on stdout
/// that sums the file up. Returns 0 if the configuration is good (warnings don't count), 2 if it is bad, 1 if the file
/// can't be read.
int check(const std::string& file);

/// Prints the JSON schema.
int schema();

}  // namespace weir::cli
