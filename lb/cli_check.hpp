// `weir check` and `weir schema`: the configuration without the daemon.
#pragma once
#include <string>

#include "config/load.hpp"

namespace weir::cli {

/// Prints every problem to stderr, `FILE:LINE:COLUMN: …` so that editors can jump there, warnings as `…: warning: …`.
/// Returns 0 if the configuration is good (warnings don't count), 2 if it is bad, 1 if the file can't be read. `weir
/// run` and `weir check` say it alike; but a daemon waits for a second at most for who reads it (a log driver that
/// hangs).
enum class Reader { awaited, perhaps_gone };
int report_problems(const std::string& file, const config::LoadResult& result, Reader reader);

/// Loads and reports, with `dev` as `weir run --dev` would; one line on stdout sums a good file up. Returns as
/// report_problems.
int check(const std::string& file, bool dev);

/// Prints the JSON schema.
int schema();

}  // namespace weir::cli
