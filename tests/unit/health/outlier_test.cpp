#include "health/outlier.hpp"

#include <vector>

#include "tests/catch.hpp"
#include "tests/unit/health/pool_of.hpp"

namespace weir::health {
using namespace std::chrono_literals;
using test::at;

TEST_CASE("how many may be ejected at once") {
  struct Case {
    size_t backends;
    uint32_t percent, cap;
  };
  const Case cases[] = {{0, 50, 0},    {1, 50, 0},    {1, 100, 1}, {2, 50, 1},     {2, 1, 1},
                        {3, 50, 1},    {4, 50, 2},    {10, 10, 1}, {10, 5, 1},     {10, 0, 0},
                        {10, 100, 10}, {10, 200, 10}, {5, 99, 4},  {1000, 33, 330}};
  for (const auto& c : cases) {
    INFO(c.backends << " backends, " << c.percent << " %");
    CHECK(ejection_cap(c.backends, c.percent) == c.cap);
  }
}

TEST_CASE("the totals are those of all workers") {
  std::vector<BackendCells> cells(3);
  cells[0].requests.add(5);
  cells[1].requests.add(7);
  cells[2].failures.add(2);
  const Totals totals = sum_cells(cells);
  CHECK(totals.requests == 12);
  CHECK(totals.failures == 2);
}

TEST_CASE("the share of failures is that of a sliding window") {
  config::Eject eject;
  eject.error_percent = 50;
  eject.min_requests = 20;
  FailureWindow window;
  Totals totals{1000, 900};  // what was before doesn't count
  window.restart(totals, at(0s));
  CHECK(window.observe(totals, 10s, at(0s)).requests == 0);

  // 10 requests a second, none fails; then 6 of 10 fail: half of the window's requests have failed after about 8.3 s.
  Duration t = 0s;
  const auto step = [&](uint64_t failures) {
    t += 100ms;
    ++totals.requests;
    totals.failures += failures;
    return window.observe(totals, 10s, at(t));
  };
  for (int i = 0; i < 300; ++i) {
    const Totals seen = step(0);
    CHECK(seen.failures == 0);
    CHECK(seen.requests <= 111);
  }
  int until_ejected = 0;
  for (int i = 0; i < 100 && until_ejected == 0; ++i)
    if (FailureWindow::too_many(step(i % 10 < 6), eject)) until_ejected = i + 1;
  CHECK(until_ejected > 75);
  CHECK(until_ejected < 95);

  // Twelve seconds of good answers later nothing is left of it.
  Totals seen;
  for (int i = 0; i < 120; ++i) seen = step(0);
  CHECK(seen.failures == 0);
  CHECK(seen.requests >= 100);
}

TEST_CASE("the window is judged from min_requests on, and only if it is switched on") {
  config::Eject eject;
  eject.error_percent = 10;
  eject.min_requests = 20;
  CHECK_FALSE(FailureWindow::too_many({19, 19}, eject));
  CHECK(FailureWindow::too_many({20, 2}, eject));
  CHECK_FALSE(FailureWindow::too_many({20, 1}, eject));
  eject.error_percent = 0;
  CHECK_FALSE(FailureWindow::too_many({1000, 1000}, eject));
  eject.error_percent = 10;
  eject.min_requests = 0;
  CHECK_FALSE(FailureWindow::too_many({0, 0}, eject));
}

TEST_CASE("failures that are counted late are never more than the requests") {
  FailureWindow window;
  window.restart({100, 0}, at(0s));
  const Totals seen = window.observe({101, 60}, 10s, at(1s));
  CHECK(seen.requests == 1);
  CHECK(seen.failures == 1);
}

TEST_CASE("a window that is rarely observed still slides") {
  FailureWindow window;
  window.restart({0, 0}, at(0s));
  window.observe({100, 100}, 10s, at(5s));
  const Totals seen = window.observe({200, 100}, 10s, at(20s));  // the sample of 5 s is the youngest that is old enough
  CHECK(seen.requests == 100);
  CHECK(seen.failures == 0);
}

TEST_CASE("the time out of service grows with each ejection in a row, up to max") {
  config::Eject eject;
  eject.for_ = 30s;
  eject.max = 100s;
  Ejection ejection;
  Duration now = 0s;
  for (const Duration expected : {30s, 60s, 90s, 100s, 100s, 100s}) {
    CHECK(ejection.begin(eject, at(now)) == expected);
    CHECK(ejection.active());
    CHECK_FALSE(ejection.over(at(now + expected - 1ms)));
    now += expected;
    CHECK(ejection.over(at(now)));
    ejection.end(at(now));
    CHECK_FALSE(ejection.active());
    now += 1s;  // fails again soon
  }
  CHECK(ejection.row() == 4);
}

TEST_CASE("each `for` in service takes one ejection off the row") {
  config::Eject eject;
  eject.for_ = 30s;
  eject.max = 300s;
  Ejection ejection;
  Duration now = 0s;
  for (int i = 1; i <= 4; ++i) {
    now += ejection.begin(eject, at(now));
    ejection.end(at(now));
  }
  CHECK(ejection.row() == 4);
  now += 65s;  // two of them are forgiven
  CHECK(ejection.begin(eject, at(now)) == 90s);
  now += 90s;
  ejection.end(at(now));
  now += 1h;
  CHECK(ejection.begin(eject, at(now)) == 30s);
}

TEST_CASE("a max below `for` doesn't shorten it") {
  config::Eject eject;
  eject.for_ = 30s;
  eject.max = 10s;
  Ejection ejection;
  CHECK(ejection.begin(eject, at(0s)) == 30s);
  ejection.end(at(30s));
  CHECK(ejection.begin(eject, at(31s)) == 30s);
}

}  // namespace weir::health
