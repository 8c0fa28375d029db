// Paths. The first byte chooses the rules.
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/http1_checks.hpp"

using namespace weir::http1;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const PathRules rules{.reject_escaped_slash = (data[0] & 1) != 0, .reject_params = (data[0] & 2) != 0};
  const checks::Exact raw({reinterpret_cast<const char*>(data) + 1, size - 1});
  weir::fuzz::require(checks::check_path(raw.view(), rules));
  return 0;
}
