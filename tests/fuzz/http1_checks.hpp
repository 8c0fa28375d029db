// What must hold for every input, shared by the fuzz targets and the unit tests. A violation is described, empty means
// none.
#pragma once
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "lb/net/http1.hpp"

namespace weir::http1::checks {

/// Bytes on the heap without one byte to spare, so that AddressSanitizer sees any read behind them.
class Exact {
 public:
  explicit Exact(std::string_view bytes) : data_(new char[bytes.size()]), size_(bytes.size()) {
    if (size_ != 0) std::memcpy(data_.get(), bytes.data(), size_);
  }
  std::string_view view() const { return {data_.get(), size_}; }
  char* data() { return data_.get(); }

 private:
  std::unique_ptr<char[]> data_;
  size_t size_;
};

inline bool equal_results(const ParseResult& a, const ParseResult& b) {
  return a.status == b.status && a.cause == b.cause && std::string_view(a.detail) == b.detail;
}

inline bool equal_heads(const Head& a, const Head& b) {
  if (a.size != b.size || a.field_count != b.field_count || a.minor != b.minor || a.framing != b.framing) return false;
  if (a.keep_alive != b.keep_alive || a.connection_upgrade != b.connection_upgrade) return false;
  if (a.content_length != b.content_length || a.seen != b.seen) return false;
  for (size_t i = 0; i < a.field_count; ++i) {
    const Field &x = a.fields[i], &y = b.fields[i];
    if (x.name != y.name || x.name_length != y.name_length || x.value != y.value || x.value_length != y.value_length)
      return false;
    if (x.id != y.id || x.drop != y.drop) return false;
  }
  return true;
}

/// Offsets of an accepted head stay inside it, in order, and the fields are what the bytes say.
std::string check_head(const Head& head, std::string_view bytes);
std::string check_request(const RequestHead& head, std::string_view bytes, const RequestRules& rules);

/// Parses all prefixes whose length is a multiple of `step`, and the whole: more is asked for until the answer is
/// known, and it stays. The whole is left in `head`, and its bytes in `kept`.
std::string request_splits(std::string_view bytes, const RequestRules& rules, size_t step, RequestHead& head,
                           ParseResult& result);
std::string response_splits(std::string_view bytes, Method method, const ResponseRules& rules, size_t step,
                            ResponseHead& head, ParseResult& result);

/// A chunked body in pieces of `piece` bytes (0: all at once).
struct Decoded {
  ChunkDecoder::Status status = ChunkDecoder::Status::need_more;
  size_t consumed = 0;
  std::string body;
  Cause cause = Cause::none;
  std::string detail;
  bool operator==(const Decoded&) const = default;
};
/// `sizes` gives the length of each piece in turn, modulo its size; empty: all at once. `broken` is set if a step
/// breaks the contract.
Decoded decode(std::string_view bytes, std::string_view sizes, const ChunkDecoder::Limits& limits, std::string& broken);

/// B6: the forms are canonical, and normalising them again changes nothing.
std::string check_path(std::string_view raw, const PathRules& rules);

}  // namespace weir::http1::checks
