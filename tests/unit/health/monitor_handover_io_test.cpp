// How a monitor takes over from the one of the process before it.
#include "health/handed.hpp"
#include "tests/catch.hpp"
#include "tests/unit/health/monitor_fixture.hpp"

namespace weir::health {
using namespace std::chrono_literals;
using namespace test;

TEST_CASE("taking over: silent until then, and then as the old process said, with what was found here after it") {
  Fixture f({answers_status(200), answers_status(500), answers_status(500), answers_status(200)});
  f.config->health.interval = 1h;  // one check each
  f.config->health.rise = 2;
  f.config->health.slow_start = 1h;
  f.config->eject.max = 2h;
  f.monitor.hold();
  f.monitor.apply(f.targets(), false);
  REQUIRE(run_until(f.io, [&] { return f.changes["app"] > 0 && f.monitor.first_round_done(); }));
  for (size_t i = 0; i < 4; ++i) CHECK(f.status(i) == BackendStatus::unknown);
  CHECK(f.log.text().empty());

  const auto said = [&](size_t i, KnownHealth known) {
    return HandedHealth{
        "app", fmt::format("b{}", i), f.backends[i]->address.to_string(), checks_id(f.config->health), known, 1000};
  };
  KnownHealth down, up, ejected;
  down.checks = {Verdict::down, false, 0, 0};
  up.checks = {Verdict::up, false, 2, 0};
  ejected.ejection = {true, monotonic_now() + 1h, {}, 1};
  ejected.reason = "5 failures in a row; out for 3600s";
  auto moved = said(3, ejected), gone = said(3, ejected);
  moved.address = "10.0.0.1:80";
  gone.backend = "b9";
  SECTION("known") {
    f.monitor.take_over({said(0, down), said(1, up), said(2, ejected), moved, gone});
    CHECK(f.status(0) == BackendStatus::down);
    CHECK(f.reason(0) == "check succeeded 1 of 2 times");
    CHECK(f.backends[0]->since_wall_ns == 1000);
    CHECK(f.status(1) == BackendStatus::down);  // the third failure in a row
    CHECK(f.backends[1]->since_wall_ns > 1000);
    CHECK(f.status(2) == BackendStatus::down);
    CHECK(f.status(3) == BackendStatus::up);
    CHECK(f.backends[3]->weight_permille == 100);
    CHECK(f.log.count("backend_down") == 2);
    CHECK(f.log.count("backend_ejected") == 0);
    CHECK(f.backends[2]->ejections == 0);
    const auto known = f.monitor.known();
    REQUIRE(known.size() == 4);
    CHECK(known[0].known.checks == RiseFall::State{Verdict::down, false, 1, 1});
    CHECK(known[2].known.ejection == ejected.ejection);
  }
  SECTION("nothing known") {
    f.monitor.take_over({});
    CHECK(f.status(0) == BackendStatus::up);
    CHECK(f.status(1) == BackendStatus::down);
    CHECK(f.log.count("backend_down") == 2);
    CHECK(f.backends[3]->weight_permille == 1000);
  }
}

TEST_CASE("what was handed over is as good as a first check") {
  Fixture f({stalls(), stalls()});
  f.monitor.hold();
  f.monitor.apply(f.targets(), false);
  f.io.poll();
  std::vector<HandedHealth> known;
  for (size_t i = 0; i < 2; ++i) {
    known.push_back({"app", fmt::format("b{}", i), f.backends[i]->address.to_string(), "another", {}, 0});
    known[i].known.checks.verdict = Verdict::up;
  }
  known[0].checks = checks_id(f.config->health);
  SECTION("by the same checks") {
    known[1].checks = known[0].checks;
    f.monitor.take_over(known);
    CHECK(f.monitor.first_round_done());
    CHECK(f.status(1) == BackendStatus::up);
  }
  SECTION("not by others") {
    f.monitor.take_over(known);
    CHECK_FALSE(f.monitor.first_round_done());
    CHECK(f.status(1) == BackendStatus::up);
  }
}

}  // namespace weir::health
