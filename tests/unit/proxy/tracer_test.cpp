// Which traces are recorded.
#include <cmath>
#include <string>

#include "lb/base/hex.hpp"
#include "lb/base/rng.hpp"
#include "lb/proxy/runtime.hpp"
#include "tests/catch.hpp"

using namespace weir;
using weir::proxy::Tracer;

namespace {

bool samples(uint32_t millionths, const std::string& id) {
  return Tracer{nullptr, true, Tracer::below_for(millionths)}.samples(id.data());
}

}  // namespace

TEST_CASE("a share of all ids", "[trace]") {
  for (const char* id : {"00000000", "7fffffff", "9fffffff", "a0000000", "ffffffff"}) {
    INFO(id);
    CHECK_FALSE(samples(0, id));
    CHECK(samples(1'000'000, id));
  }
  CHECK((samples(500'000, "7fffffff") && !samples(500'000, "80000000")));
  CHECK((samples(625'000, "9fffffff") && !samples(625'000, "a0000000")));
  CHECK((samples(10'000, "028f5c27") && !samples(10'000, "028f5c28")));
  Rng random(3);
  for (const uint32_t millionths : {10'000u, 250'000u, 700'000u}) {
    int sampled = 0;
    for (int i = 0; i < 100'000; ++i) {
      std::string id(16, ' ');
      write_hex16(random(), id.data());
      sampled += samples(millionths, id);
    }
    CHECK(std::abs(sampled - static_cast<int>(millionths / 10)) < 700);
  }
}
