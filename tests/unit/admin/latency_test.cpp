#include "lb/admin/latency.hpp"

#include "tests/catch.hpp"

using namespace weir;
using weir::admin::Latency;

namespace {

struct Cells {
  Histogram latency;
};

}  // namespace

TEST_CASE("quantiles are estimated within the bucket", "[latency]") {
  Latency empty;
  CHECK_FALSE(empty.quantile(0.5));

  std::vector<Cells> cells(2);
  for (int i = 0; i < 50; ++i) cells[0].latency.observe(100);    // ≤ 250 µs
  for (int i = 0; i < 50; ++i) cells[1].latency.observe(2'000);  // 1,000 … 2,500 µs
  Latency latency;
  latency.add(cells);
  CHECK(latency.count() == 100);
  CHECK(latency.sum_microseconds == 50 * 100 + 50 * 2'000);
  CHECK(latency.quantile(0.25).value() == Approx(125));
  CHECK(latency.quantile(0.5).value() == Approx(250));
  CHECK(latency.quantile(0.75).value() == Approx(1'750));
  CHECK(latency.quantile(1.0).value() == Approx(2'500));
}

TEST_CASE("what is above the last bound counts as the last bound", "[latency]") {
  std::vector<Cells> cells(1);
  cells[0].latency.observe(600'000'000);
  Latency latency;
  latency.add(cells);
  CHECK(latency.quantile(0.5).value() == Approx(60'000'000));
}
