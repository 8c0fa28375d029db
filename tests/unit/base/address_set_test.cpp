// The set answers what its blocks answer one by one.
#include "lb/base/address_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "lb/base/rng.hpp"
#include "tests/catch.hpp"

using namespace weir;

namespace {

std::vector<AddressBlock> blocks(const std::vector<std::string>& texts) {
  std::vector<AddressBlock> parsed;
  for (const auto& text : texts) {
    INFO(text);
    const auto block = AddressBlock::parse(text);
    REQUIRE(block);
    parsed.push_back(*block);
  }
  return parsed;
}

}  // namespace

TEST_CASE("edges of blocks") {
  const AddressSet set(blocks({"10.0.0.0/8", "192.0.2.1", "192.0.2.3/32", "fd00::/8", "2001:db8::1", "0.0.0.0/32"}));
  for (const char* in :
       {"10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "192.0.2.1", "192.0.2.3", "fd00::", "[fd00::1]",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::1", "0.0.0.0", "fd00::1%eth0"})
    CHECK(set.contains(in));
  for (const char* out : {"9.255.255.255", "11.0.0.0", "192.0.2.0", "192.0.2.2", "192.0.2.4", "fc00::1", "fe00::",
                          "2001:db8::", "2001:db8::2", "0.0.0.1", "255.255.255.255", "unix:", "", "nonsense", "10.0.0"})
    CHECK_FALSE(set.contains(out));
}

TEST_CASE("everything, of one kind") {
  const AddressSet v4(blocks({"0.0.0.0/0"})), v6(blocks({"::/0"})), local(blocks({"unix"})), none(blocks({}));
  CHECK(v4.contains("255.255.255.255"));
  CHECK_FALSE(v4.contains("::1"));
  CHECK(v6.contains("::1"));
  CHECK_FALSE(v6.contains("127.0.0.1"));  // as AddressBlock has it
  CHECK_FALSE(v6.contains("::ffff:127.0.0.1"));
  CHECK(local.contains("unix:"));
  CHECK_FALSE(local.contains("127.0.0.1"));
  CHECK_FALSE(none.contains("127.0.0.1"));
}

TEST_CASE("the set and its blocks agree on random addresses") {
  Rng rng(7);
  for (int round = 0; round < 200; ++round) {
    // Few different bytes, so that blocks overlap and addresses hit.
    const auto v4 = [&] { return fmt::format("{}.{}.{}.{}", rng.below(3), rng.below(3), rng.below(3), rng.below(3)); };
    const auto v6 = [&] { return fmt::format("{:x}:{:x}::{:x}", rng.below(3) + 1, rng.below(3), rng.below(3)); };
    std::vector<std::string> texts;
    for (uint32_t i = 0, n = rng.below(12); i < n; ++i)
      texts.push_back(rng.below(2) ? fmt::format("{}/{}", v4(), rng.below(33))
                                   : fmt::format("{}/{}", v6(), rng.below(129)));
    const auto parsed = blocks(texts);
    const AddressSet set(parsed);
    for (int i = 0; i < 100; ++i) {
      const std::string text = rng.below(2) ? v4() : v6();
      const auto address = AddressBlock::parse_address(text);
      REQUIRE(address);
      const bool expected =
          std::any_of(parsed.begin(), parsed.end(), [&](const auto& b) { return b.contains(*address); });
      INFO(text << " in " << fmt::format("{}", texts.size()));
      CHECK(set.contains(text) == expected);
    }
  }
}
