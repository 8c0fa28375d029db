// The value of an Authorization field. What is taken lies in the buffer, is bounded, and holds no control character.
#include <algorithm>
#include <array>

#include "lb/net/basic_auth.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/http1_checks.hpp"

using namespace weir;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const http1::checks::Exact raw({reinterpret_cast<const char*>(data), size});
  std::array<char, http1::kMaxCredentials> buffer;
  http1::BasicCredentials given;
  if (!http1::parse_basic(raw.view(), buffer, given)) return 0;
  const auto inside = [&](std::string_view part) {
    return part.data() >= buffer.data() && part.data() + part.size() <= buffer.data() + buffer.size() &&
           part.size() <= 255;
  };
  const auto is_control = [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; };
  for (const auto part : {given.user, given.password}) {
    if (!inside(part)) fuzz::require("a part outside the buffer");
    if (std::any_of(part.begin(), part.end(), is_control)) fuzz::require("a control character");
  }
  if (given.user.find(':') != std::string_view::npos) fuzz::require("a colon in the user name");
  if (!http1::is_basic(raw.view())) fuzz::require("taken, but of another scheme");
  return 0;
}
