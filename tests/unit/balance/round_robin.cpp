#include <string>

#include "tests/catch.hpp"
#include "tests/unit/balance/sim_pool.hpp"

using namespace weir;
using namespace weir::balance;

TEST_CASE("round robin: the smooth sequence of nginx", "[round_robin]") {
  struct Known {
    std::vector<uint32_t> weights;
    std::string sequence;
  };
  // From nginx's own rule, by hand; the order is that of the file, ties go to the first.
  const auto known = GENERATE(Known{{5, 1, 1}, "aabacaa"}, Known{{1, 5, 1}, "bbabcbb"}, Known{{1, 1, 1}, "abc"},
                              Known{{4, 2, 1}, "abacaba"}, Known{{3, 3, 1}, "abcabab"}, Known{{7}, "a"},
                              Known{{5000, 1000, 1000}, "aabacaa"});
  SimPool pool(known.weights);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Rng rng(seed);
    auto picker = pool.picker("round_robin", rng);
    std::string seen;
    for (size_t i = 0; i < 2 * known.sequence.size(); ++i) seen += static_cast<char>('a' + pool.pick(*picker, rng));
    INFO("seed " << seed << ": " << seen);
    // It begins anywhere, and then repeats.
    const std::string period = seen.substr(0, known.sequence.size());
    CHECK((known.sequence + known.sequence).find(period) != std::string::npos);
    CHECK(seen == period + period);
  }
}
