#include "lb/cli_check.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "config/load.hpp"
#include "lb/route/check.hpp"

namespace weir::cli {
namespace {

std::string amount(size_t number, const char* one, const char* many) {
  return fmt::format("{} {}", number, number == 1 ? one : many);
}

std::string summary(const config::Config& config) {
  size_t backends = 0;
  for (const auto& pool : config.pools) backends += pool.backends.size();
  return fmt::format("{}, {}, {}, {}", amount(config.listeners.size(), "listener", "listeners"),
                     amount(config.pools.size(), "pool", "pools"), amount(backends, "backend", "backends"),
                     amount(config.routes.size(), "route", "routes"));
}

}  // namespace

int check(const std::string& file) {
  const auto result = route::load_checked(file);
  for (const auto& error : result.errors) fmt::print(stderr, "{}\n", error.to_string());
  for (const auto& warning : result.warnings) fmt::print(stderr, "{} (a warning)\n", warning.to_string());
  if (result.unreadable) return 1;
  if (!result.config) {
    fmt::print(stderr, "{}: {}; nothing was started or changed\n", file,
               amount(result.errors.size(), "error", "errors"));
    return 2;
  }
  fmt::print("{}: ok: {}", file, summary(*result.config));
  if (!result.warnings.empty()) fmt::print("; {}", amount(result.warnings.size(), "warning", "warnings"));
  fmt::print("\n");
  return 0;
}

int schema() {
  fmt::print("{}\n", config::json_schema());
  return 0;
}

}  // namespace weir::cli
