// Response heads. The first byte chooses the method of the request and the rules.
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/http1_checks.hpp"
#include "tests/fuzz/http1_oracle.hpp"

using namespace weir::http1;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr Method kMethods[] = {Method::GET, Method::HEAD, Method::POST, Method::CONNECT};
  const Method method = kMethods[data[0] & 3];
  ResponseRules rules;
  if (data[0] & 8) rules = {.header_bytes = 200, .header_count = 4};
  const checks::Exact exact({reinterpret_cast<const char*>(data) + 1, size - 1});
  const std::string_view bytes = exact.view();

  static ResponseHead head;
  ParseResult result;
  weir::fuzz::require(checks::response_splits(bytes, method, rules, 1 + bytes.size() / 64, head, result));
  if (result.status == Parse::error)
    weir::fuzz::require(result.cause == weir::Cause::none || *result.detail == 0 ? "an error without a cause" : "");
  if (result.status != Parse::done) return 0;
  weir::fuzz::require(checks::check_head(head, bytes));
  if (head.status < 100 || head.status > 599) weir::fuzz::require("status out of range");
  weir::fuzz::require(oracle::compare_response(bytes, method, head));
  return 0;
}
