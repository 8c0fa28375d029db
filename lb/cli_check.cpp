#include "lb/cli_check.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <ctime>

#include "config/load.hpp"
#include "lb/dev_certificate.hpp"
#include "lb/proxy/tls.hpp"
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

int report_problems(const std::string& file, const config::LoadResult& result) {
  if (result.unreadable) {
    for (const auto& error : result.errors) fmt::print(stderr, "weir: {}\n", error.to_string());
    return 1;
  }
  for (const auto& error : result.errors) fmt::print(stderr, "{}\n", error.to_string());
  for (const auto& warning : result.warnings) fmt::print(stderr, "{}\n", warning.to_warning());
  if (result.config) return 0;
  fmt::print(stderr, "{}: {}; nothing was started or changed\n", file, amount(result.errors.size(), "error", "errors"));
  return 2;
}

int check(const std::string& file, bool dev) {
  auto world = config::Environment::real();
  if (dev) imagine_dev_certificate(world);
  auto result = route::load_checked(file, world, true);
  proxy::check_tls(result, std::time(nullptr));
  if (const int code = report_problems(file, result)) return code;
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
