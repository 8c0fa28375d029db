// Request heads. The first byte chooses the rules, so that limits are reached with short inputs.
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/http1_checks.hpp"
#include "tests/fuzz/http1_oracle.hpp"

using namespace weir::http1;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  RequestRules rules;
  rules.underscores = static_cast<RequestRules::Underscores>(data[0] % 3);
  rules.tls = data[0] & 4;
  if (data[0] & 8)
    rules = {
        .header_bytes = 200, .header_count = 4, .target_bytes = 40, .underscores = rules.underscores, .tls = rules.tls};
  const checks::Exact exact({reinterpret_cast<const char*>(data) + 1, size - 1});
  const std::string_view bytes = exact.view();

  static RequestHead head;
  ParseResult result;
  weir::fuzz::require(checks::request_splits(bytes, rules, 1 + bytes.size() / 64, head, result));
  if (result.status == Parse::error)
    weir::fuzz::require(result.cause == weir::Cause::none || *result.detail == 0 ? "an error without a cause" : "");
  if (result.status != Parse::done) return 0;
  weir::fuzz::require(checks::check_request(head, bytes, rules));
  weir::fuzz::require(oracle::compare_request(bytes, head));
  weir::fuzz::require(checks::check_path(head.path_view(), {}));
  return 0;
}
