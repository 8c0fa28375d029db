// Chunked bodies. The first bytes choose the limits and the lengths of the pieces.
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/http1_checks.hpp"
#include "tests/fuzz/http1_oracle.hpp"

using namespace weir::http1;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kChoices = 4;
  if (size < kChoices) return 0;
  const std::string_view choices{reinterpret_cast<const char*>(data), kChoices};
  ChunkDecoder::Limits limits;
  if (choices[0] & 1) limits = {.extension_bytes = 20, .trailers = 2, .trailer_bytes = 40};
  const std::string_view bytes{reinterpret_cast<const char*>(data) + kChoices, size - kChoices};

  std::string broken;
  const checks::Decoded whole = checks::decode(bytes, {}, limits, broken);
  weir::fuzz::require(broken);
  for (const std::string_view sizes : {std::string_view("\0", 1), choices.substr(1)}) {
    const checks::Decoded pieces = checks::decode(bytes, sizes, limits, broken);
    weir::fuzz::require(broken);
    weir::fuzz::require(pieces == whole ? "" : "another answer with other pieces");
  }
  if (whole.status == ChunkDecoder::Status::error)
    weir::fuzz::require(whole.cause == weir::Cause::none ? "an error without a cause" : "");
  if (whole.status == ChunkDecoder::Status::done)
    weir::fuzz::require(oracle::compare_chunked(bytes, whole.consumed, whole.body));
  return 0;
}
