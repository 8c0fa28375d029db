#include "lb/cli_check.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <system_error>

#include "config/load.hpp"
#include "lb/base/clock.hpp"
#include "lb/base/log_output.hpp"
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

void tell(const std::string& text, Reader reader) {
  if (reader == Reader::awaited) return fmt::print(stderr, "{}", text);
  try {
    const TimePoint until = monotonic_now() + std::chrono::seconds(1);
    LogOutput::standard(STDERR_FILENO).write(text, 50, [&] { return monotonic_now() < until; });
  } catch (const std::system_error&) {  // it is closed
  }
}

}  // namespace

int report_problems(const std::string& file, const config::LoadResult& result, Reader reader) {
  std::string text;
  for (const auto& error : result.errors) text += (result.unreadable ? "weir: " : "") + error.to_string() + "\n";
  if (!result.unreadable) {
    for (const auto& warning : result.warnings) text += warning.to_warning() + "\n";
    if (!result.config)
      text += fmt::format("{}: {}; nothing was started or changed\n", file,
                          amount(result.errors.size(), "error", "errors"));
  }
  tell(text, reader);
  return result.unreadable ? 1 : result.config ? 0 : 2;
}

int check(const std::string& file, bool dev) {
  auto world = config::Environment::real();
  if (dev) imagine_dev_certificate(world);
  auto result = route::load_checked(file, world, true);
  proxy::check_tls(result, std::time(nullptr));
  if (const int code = report_problems(file, result, Reader::awaited)) return code;
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
