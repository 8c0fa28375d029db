#include "health/rules.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/unit/health/pool_of.hpp"

namespace weir::health {
using namespace std::chrono_literals;

namespace {
/// The verdict after each result: '+' and '-' in, 'U' up and 'D' down out.
std::string verdicts(const std::string& results, uint32_t rise, uint32_t fall) {
  RiseFall checks;
  std::string out;
  for (const char c : results) {
    const Verdict before = checks.verdict();
    const bool changed = checks.record(c == '+', rise, fall);
    CHECK(changed == (before != checks.verdict()));
    out += checks.verdict() == Verdict::up ? 'U' : 'D';
  }
  return out;
}
}  // namespace

TEST_CASE("rise and fall") {
  struct Case {
    const char *what, *results, *expected;
    uint32_t rise, fall;
  };
  const Case cases[] = {
      {"the first success decides alone", "+", "U", 2, 3},
      {"the first failure decides alone", "-", "D", 2, 3},
      {"fall failures in a row", "+---", "UUUD", 2, 3},
      {"a success between starts the count again", "+--+---", "UUUUUUD", 2, 3},
      {"rise successes in a row", "-++", "DDU", 2, 3},
      {"a failure between starts the count again", "-+-++", "DDDDU", 2, 3},
      {"rise 1, fall 1 follow every result", "+-+-", "UDUD", 1, 1},
      {"zero is as good as one", "+-+", "UDU", 0, 0},
      {"after the first result fall counts again", "-++--", "DDUUU", 2, 3},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    CHECK(verdicts(c.results, c.rise, c.fall) == c.expected);
  }
  CHECK(RiseFall().verdict() == Verdict::unknown);
}

TEST_CASE("other checks decide with their first result, and keep the verdict until then") {
  RiseFall checks;
  checks.record(true, 2, 3);
  checks.restart();
  CHECK(checks.verdict() == Verdict::up);
  CHECK(checks.record(false, 2, 3));
  CHECK(checks.verdict() == Verdict::down);
  CHECK_FALSE(checks.record(true, 2, 3));

  checks.restart();
  CHECK_FALSE(checks.record(false, 2, 3));  // agrees: decided
  CHECK_FALSE(checks.record(true, 2, 3));
  CHECK(checks.verdict() == Verdict::down);
}

TEST_CASE("slow start: at least 10 %, then in proportion, in steps of 5 %") {
  CHECK(slow_start_permille(0s, 30s) == 100);
  CHECK(slow_start_permille(-1s, 30s) == 100);
  CHECK(slow_start_permille(3s, 30s) == 100);
  CHECK(slow_start_permille(15s, 30s) == 500);
  CHECK(slow_start_permille(16s, 30s) == 500);
  CHECK(slow_start_permille(29999ms, 30s) == 950);
  CHECK(slow_start_permille(30s, 30s) == 1000);
  CHECK(slow_start_permille(1h, 30s) == 1000);
  CHECK(slow_start_permille(0s, 0s) == 1000);
  std::vector<uint32_t> steps;
  for (auto t = 0ms; t <= 30s; t += 10ms) {
    const uint32_t share = slow_start_permille(t, 30s);
    CHECK((steps.empty() || share >= steps.back()));
    if (steps.empty() || share != steps.back()) steps.push_back(share);
  }
  CHECK(steps.size() == 19);
}

TEST_CASE("the interval has a jitter of 10 %") {
  Rng rng(1);
  Duration least = 1h, most = 0s, sum = 0s;
  for (int i = 0; i < 10'000; ++i) {
    const Duration d = jittered(2s, rng);
    least = std::min(least, d);
    most = std::max(most, d);
    sum += d;
  }
  CHECK(least >= 1800ms);
  CHECK(least < 1810ms);
  CHECK(most <= 2200ms);
  CHECK(most > 2190ms);
  CHECK(sum / 10'000 > 1990ms);
  CHECK(sum / 10'000 < 2010ms);
}

TEST_CASE("a thousand backends are not probed in one instant") {
  Rng rng(7);
  const auto worst_instant = [&](auto delay) {
    std::vector<int> starts(2'000);
    for (int i = 0; i < 1'000; ++i) ++starts.at(static_cast<size_t>(delay() / 1ms));
    return *std::max_element(starts.begin(), starts.end());
  };
  CHECK(worst_instant([&] { return first_probe_delay(1'000, 10s, rng); }) <= 8);
  CHECK(worst_instant([&] { return second_probe_delay(2s, rng); }) <= 8);
  for (int i = 0; i < 1'000; ++i) {
    CHECK(first_probe_delay(3, 2s, rng) < 6ms);       // a small pool is known at once
    CHECK(first_probe_delay(100'000, 2s, rng) < 2s);  // and a huge one within an interval
  }
}

TEST_CASE("one backend of many drifts away from the others") {
  Rng rng(3);
  // After 20 rounds the phases of 1,000 backends with the same start fill the interval.
  std::vector<int> bins(10);
  for (int i = 0; i < 1'000; ++i) {
    Duration t = second_probe_delay(2s, rng);
    for (int round = 0; round < 20; ++round) t += jittered(2s, rng);
    ++bins[static_cast<size_t>(t % 2s / 200ms)];
  }
  for (const int bin : bins) {
    CHECK(bin > 60);
    CHECK(bin < 140);
  }
}

TEST_CASE("durations and ranges in words") {
  CHECK(to_words(0ms) == "0ms");
  CHECK(to_words(500ms) == "500ms");
  CHECK(to_words(1s) == "1s");
  CHECK(to_words(1500ms) == "1.5s");
  CHECK(to_words(5min) == "300s");
  CHECK(to_words({config::StatusRange{}}) == "200-299");
  CHECK(to_words({config::StatusRange{200, 200}, config::StatusRange{301, 302}}) == "200, 301-302");
}

}  // namespace weir::health
