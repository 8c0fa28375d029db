#include "lb/base/hex.hpp"

#include <fmt/format.h>

#include <string>

#include "lb/base/rng.hpp"
#include "tests/catch.hpp"

using namespace weir;

TEST_CASE("sixteen digits", "[hex]") {
  const auto hex = [](uint64_t value) {
    std::string text(16, ' ');
    write_hex16(value, text.data());
    return text;
  };
  CHECK(hex(0) == "0000000000000000");
  CHECK(hex(0x0123456789abcdef) == "0123456789abcdef");
  CHECK(hex(~uint64_t{0}) == "ffffffffffffffff");
  Rng random(7);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t value = random();
    CHECK(hex(value) == fmt::format("{:016x}", value));
  }
}
