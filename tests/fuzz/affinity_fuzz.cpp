// Affinity cookies. What is taken for one is what write() makes for that backend, session and time, byte for byte; and
// the other pairs of a Cookie field come through untouched. The first byte chooses between the two.
#include <string>
#include <string_view>

#include "lb/net/cookies.hpp"
#include "lb/route/affinity.hpp"
#include "tests/fuzz/fuzz.hpp"

using weir::route::Affinity;

namespace {

constexpr int64_t kNow = 1'800'000'000;
const Affinity& affinity() {
  static const Affinity one("app",
                            {"a-key-of-forty-characters-12345678901234", "an-older-key-of-forty-chars-123456789012"},
                            {"a", "b"}, std::chrono::hours(8));
  return one;
}

std::string check_cookie(std::string_view text) {
  weir::route::AffinityCookie parts;
  const bool formed = weir::route::parse_affinity_cookie(text, parts);
  const auto found = affinity().read(text, kNow);
  if (!formed) return found.verdict == Affinity::Verdict::forged ? "" : "a text without the form is no forged cookie";
  if (std::string(parts.signed_part) + "." + std::string(parts.signature) != text) return "the parts are not the whole";
  if (parts.expiry <= 0) return "a time before all times";
  if (found.verdict != Affinity::Verdict::valid) return "";
  char room[Affinity::kMostBytes];
  const size_t size = affinity().write(found.backend, found.session, parts.expiry - 8 * 3600, room);
  return std::string_view(room, size) == text ? "" : "two cookies for one backend, session and time";
}

std::string check_pieces(std::string_view field) {
  std::string all;
  bool first = true;
  weir::http1::for_each_cookie(field, [&](std::string_view piece) {
    if (!first) all += ';';
    first = false;
    all += piece;
    std::string_view value;
    if (weir::http1::is_cookie(piece, "weir_affinity", value) && value.size() >= piece.size()) std::abort();
    return true;
  });
  return all == field || all + ";" == field ? "" : "the pieces are not the field";
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  weir::fuzz::require(data[0] & 1 ? check_pieces(text) : check_cookie(text));
  return 0;
}
