// The monitor against real servers in this process. Waits are on conditions; intervals are short so that the tests are.
#include "health/monitor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "health/monitor_impl.hpp"
#include "lb/net/socket.hpp"
#include "tests/catch.hpp"
#include "tests/unit/health/monitor_fixture.hpp"

namespace weir::health {
using namespace std::chrono_literals;
using namespace test;

TEST_CASE("the operator's orders: obeyed at once, whatever the checks say") {
  Fixture f({answers_status(200), answers_status(200)});
  f.monitor.apply(f.targets(), false);
  REQUIRE(run_until(f.io, [&] { return f.monitor.first_round_done(); }));
  f.changes.clear();
  CHECK(f.monitor.order(f.backends[0], BackendOrder::drain, "uid 0"));
  CHECK(f.changes["app"] == 1);
  CHECK(f.status(0) == BackendStatus::draining);
  CHECK(f.backends[0]->health == BackendStatus::up);
  CHECK(f.reason(0) == "drained by uid 0");
  CHECK(f.log.line("backend_draining").find("reason=\"drained by uid 0\" usable=1/1") != std::string::npos);
  CHECK_FALSE(f.monitor.order(f.backends[0], BackendOrder::drain, "uid 1"));
  f.monitor.apply(f.targets(), true);
  CHECK(f.status(0) == BackendStatus::draining);

  CHECK(f.monitor.order(f.backends[1], BackendOrder::disable, "uid 0"));
  CHECK(f.status(1) == BackendStatus::disabled);
  CHECK(f.log.count("pool_unavailable") == 1);
  // Failures of what is still in flight eject nobody, and checks bring nobody back.
  f.fail_requests(1, f.config->eject.after);
  f.io.restart();
  f.io.run_for(300ms);
  CHECK(f.status(1) == BackendStatus::disabled);
  CHECK(f.monitor.order(f.backends[1], BackendOrder::serve, "uid 0"));
  CHECK(f.status(1) == BackendStatus::up);
  CHECK(f.log.count("backend_enabled") == 1);
  CHECK(f.log.count("pool_available") == 1);
  f.monitor.stop();
  CHECK_FALSE(f.monitor.order(f.backends[1], BackendOrder::drain, "uid 0"));
}

TEST_CASE("checks take a backend out and bring it back, with a line each") {
  Fixture f({answers_status(200), answers_status(500)});
  f.monitor.apply(f.targets(), false);
  CHECK(f.status(0) == BackendStatus::unknown);
  CHECK_FALSE(f.monitor.first_round_done());
  REQUIRE(run_until(f.io, [&] { return f.monitor.first_round_done(); }));
  CHECK(f.status(0) == BackendStatus::up);
  CHECK(f.status(1) == BackendStatus::down);
  CHECK(f.reason(1) == "status 500, expected 200-299");
  CHECK(f.backends[1]->since_wall_ns > 0);
  CHECK(f.backends[0]->transitions == 0);
  CHECK(f.backends[1]->transitions == 1);
  CHECK(f.backends[0]->weight_permille == 1000);
  CHECK(f.log.line("backend_down")
            .find(fmt::format("pool=app backend=b1 address={} reason=\"status 500, expected 200-299\" "
                              "usable=1/2",
                              f.servers[1]->address.to_string())) != std::string::npos);
  CHECK(f.log.count("backend_up") == 0);  // the first success of b0 is no news

  f.servers[1]->behaviour() = answers_status(200);
  REQUIRE(f.wait_for(1, BackendStatus::up));
  CHECK(f.log.line("backend_up").find("reason=\"2 checks in a row succeeded\" usable=2/2") != std::string::npos);
  REQUIRE(run_until(f.io, [&] { return f.changes["app"] >= 2; }));
  CHECK(f.backends[1]->checks_ok >= 2);
  CHECK(f.backends[1]->checks_failed >= 1);

  // Going down takes three failures now.
  const uint64_t failed_before = f.backends[0]->checks_failed;
  f.servers[0]->behaviour() = resets();
  REQUIRE(f.wait_for(0, BackendStatus::down));
  CHECK(f.backends[0]->checks_failed - failed_before == 3);
  CHECK(f.reason(0) == "connection reset");
}

TEST_CASE("a pool without a usable backend is worth an error, its return a line") {
  Fixture f({answers_status(503), answers_status(503)});
  f.monitor.apply(f.targets(), false);
  REQUIRE(f.wait_for(0, BackendStatus::down));
  REQUIRE(f.wait_for(1, BackendStatus::down));
  CHECK(f.log.line("pool_unavailable").find("pool=app usable=0/2") != std::string::npos);
  CHECK(f.log.count("pool_available") == 0);
  f.servers[0]->behaviour() = answers_status(200);
  REQUIRE(f.wait_for(0, BackendStatus::up));
  CHECK(f.log.line("pool_available").find("pool=app usable=1/2") != std::string::npos);
  CHECK(f.log.count("pool_unavailable") == 1);
  CHECK(f.log.count("pool_available") == 1);
}

TEST_CASE("failures in a row eject; the backend returns when its time is over") {
  Fixture f({answers_status(200), answers_status(200)});
  f.config->health.type = config::Health::Type::none;
  f.config->eject.for_ = 1s;
  f.config->eject.max = 1h;
  f.monitor.apply(f.targets(), false);
  CHECK(f.monitor.first_round_done());  // nothing to wait for
  f.fail_requests(0, 4);
  f.io.poll();
  CHECK(f.status(0) == BackendStatus::unknown);
  f.fail_requests(0, 1);
  REQUIRE(f.wait_for(0, BackendStatus::ejected));
  CHECK(f.reason(0) == "5 failures in a row; out for 1s");
  CHECK(f.backends[0]->consecutive_failures == 0);
  CHECK(f.backends[0]->ejections == 1);
  CHECK(f.log.line("backend_ejected").find("usable=1/2") != std::string::npos);
  f.fail_requests(0, 5);  // the last of its requests, or those of a panic
  REQUIRE(run_until(f.io, [&] { return f.backends[0]->consecutive_failures == 0; }));
  CHECK(f.backends[0]->ejections == 1);

  REQUIRE(f.wait_for(0, BackendStatus::unknown));
  CHECK(f.log.line("backend_returned").find("reason=\"the time of its ejection is over\" usable=2/2") !=
        std::string::npos);
  CHECK(f.backends[0]->transitions == 2);
  f.fail_requests(0, 5);
  REQUIRE(f.wait_for(0, BackendStatus::ejected));
  CHECK(f.reason(0) == "5 failures in a row; out for 2s");
}

TEST_CASE("no more are ejected than eject.at_most allows, and the log says so once") {
  Fixture f({answers_status(200), answers_status(200)});
  f.config->health.type = config::Health::Type::none;
  f.config->eject.for_ = 1h;
  f.monitor.apply(f.targets(), false);
  f.fail_requests(0, 5);
  REQUIRE(f.wait_for(0, BackendStatus::ejected));
  for (int i = 0; i < 2; ++i) {
    f.fail_requests(1, 5);
    REQUIRE(run_until(f.io, [&] { return f.backends[1]->consecutive_failures == 0; }));
    CHECK(f.status(1) == BackendStatus::unknown);
    CHECK(f.log.count("backend_not_ejected") == 1);
  }
  CHECK(f.backends[1]->ejections == 0);
}

TEST_CASE("a success between the report and the control thread saves it") {
  Fixture f({answers_status(200), answers_status(200)});
  f.config->health.type = config::Health::Type::none;
  f.monitor.apply(f.targets(), false);
  f.fail_requests(0, 5);
  f.backends[0]->consecutive_failures.store(0);
  f.io.poll();
  CHECK(f.status(0) == BackendStatus::unknown);
}

TEST_CASE("the share of failures ejects") {
  Fixture f({answers_status(200), answers_status(200)});
  f.config->health.type = config::Health::Type::none;
  f.config->eject.error_percent = 50;
  f.config->eject.for_ = 1h;
  f.config->eject.max = 1h;
  f.backends[0]->cells[0].requests.add(1000);  // from before it was watched
  f.backends[0]->cells[0].failures.add(1000);
  f.monitor.apply(f.targets(), false);
  f.backends[0]->cells[0].requests.add(30);
  f.backends[0]->cells[1].requests.add(10);
  f.backends[0]->cells[1].failures.add(25);
  f.backends[1]->cells[1].requests.add(40);
  f.backends[1]->cells[1].failures.add(19);
  REQUIRE(f.wait_for(0, BackendStatus::ejected));
  CHECK(f.reason(0) == "25 of 40 requests failed within 10s; out for 3600s");
  CHECK(f.status(1) == BackendStatus::unknown);
}

TEST_CASE("failures of a backend that nobody watches are nothing") {
  Fixture f({answers_status(200), answers_status(200)});
  f.monitor.apply(f.targets(), false);
  auto stranger = std::make_shared<BackendState>("old", "x", f.servers[0]->address, 2);
  stranger->consecutive_failures = 99;
  f.monitor.report_failures(stranger);
  REQUIRE(run_until(f.io, [&] { return f.monitor.first_round_done(); }));
  CHECK(stranger->status == BackendStatus::unknown);
}

TEST_CASE("applied again, unchanged backends keep their counts; changed checks begin anew; removed ones end") {
  Fixture f({answers_status(200), answers_status(500)});
  f.monitor.apply(f.targets(), false);
  REQUIRE(f.wait_for(1, BackendStatus::down));
  REQUIRE(f.wait_for(0, BackendStatus::up));

  SECTION("unchanged") {
    // Two of three failures before the reload, the third after it.
    f.config->health.interval = 10ms;
    f.servers[0]->behaviour() = answers_status(404);
    const uint64_t before = f.backends[0]->checks_failed;
    REQUIRE(run_until(f.io, [&] { return f.backends[0]->checks_failed == before + 2; }));
    f.config = std::make_shared<config::Pool>(*f.config);
    f.monitor.apply(f.targets(), true);
    CHECK(f.status(1) == BackendStatus::down);
    CHECK(f.status(0) == BackendStatus::up);
    CHECK(f.reason(0) == "check failed 2 of 3 times: status 404, expected 200-299");
    CHECK(f.backends[0]->weight_permille == 1000);
    REQUIRE(f.wait_for(0, BackendStatus::down));
    CHECK(f.backends[0]->checks_failed == before + 3);
  }
  SECTION("another path: its first answer decides") {
    f.config = std::make_shared<config::Pool>(*f.config);
    f.config->health.path = "/other";
    f.monitor.apply(f.targets(), true);
    f.servers[1]->behaviour() = answers_status(200);
    const uint64_t ok_before = f.backends[1]->checks_ok;
    CHECK(f.status(1) == BackendStatus::down);
    REQUIRE(f.wait_for(1, BackendStatus::up));
    CHECK(f.backends[1]->checks_ok == ok_before + 1);
    CHECK(f.servers[1]->last_request.starts_with("GET /other "));
  }
  SECTION("removed: not probed any more") {
    f.config = std::make_shared<config::Pool>(*f.config);
    f.config->backends.pop_back();
    const auto removed = f.backends.back();
    f.backends.pop_back();
    f.monitor.apply(f.targets(), true);
    f.io.poll();
    const uint64_t checks = removed->checks_ok + removed->checks_failed;
    const size_t accepted = f.servers[1]->accepted;
    const uint64_t other = f.backends[0]->checks_ok;
    REQUIRE(run_until(f.io, [&] { return f.backends[0]->checks_ok >= other + 20; }));
    CHECK(f.servers[1]->accepted <= accepted + 1);  // one may have been under way
    CHECK(removed->checks_ok + removed->checks_failed == checks);
  }
  SECTION("added: usable at once, with slow start") {
    f.config = std::make_shared<config::Pool>(*f.config);
    f.config->health.slow_start = 1h;
    f.servers.push_back(std::make_unique<FakeBackend>(f.io, answers_status(200)));
    config::Backend backend;
    backend.name = "b2";
    backend.address = f.servers.back()->address;
    f.config->backends.push_back(backend);
    f.backends.push_back(std::make_shared<BackendState>("app", "b2", backend.address, 2));
    f.monitor.apply(f.targets(), true);
    CHECK(f.status(2) == BackendStatus::unknown);
    CHECK(f.backends[2]->weight_permille == 100);
    CHECK(f.backends[0]->weight_permille == 1000);
    REQUIRE(f.wait_for(2, BackendStatus::up));
    CHECK(f.backends[2]->weight_permille == 100);
  }
  SECTION("the whole pool removed") {
    f.monitor.apply({}, true);
    f.io.poll();
    const uint64_t checks = f.backends[0]->checks_ok;
    for (int i = 0; i < 5; ++i) f.io.run_one_for(20ms);
    CHECK(f.backends[0]->checks_ok == checks);
  }
}

TEST_CASE("a lowered eject.after is noticed although the count has passed it") {
  Fixture f({answers_status(200), answers_status(200)});
  f.config->health.type = config::Health::Type::none;
  f.monitor.apply(f.targets(), false);
  f.fail_requests(0, 4);
  f.config = std::make_shared<config::Pool>(*f.config);
  f.config->eject.after = 2;
  f.monitor.apply(f.targets(), true);
  CHECK(f.wait_for(0, BackendStatus::ejected));
}

TEST_CASE("slow start grows to the full weight, and the pool is told each step") {
  Fixture f({answers_status(500), answers_status(200)});
  f.config->health.slow_start = 400ms;
  f.monitor.apply(f.targets(), false);
  REQUIRE(f.wait_for(0, BackendStatus::down));
  f.servers[0]->behaviour() = answers_status(200);
  REQUIRE(f.wait_for(0, BackendStatus::up));
  CHECK(f.backends[0]->weight_permille < 1000);
  const int before = f.changes["app"];
  REQUIRE(run_until(f.io, [&] { return f.backends[0]->weight_permille == 1000; }));
  f.io.poll();
  CHECK(f.changes["app"] > before);
}

TEST_CASE("changes of many backends at once build the table once") {
  Fixture f(std::vector<Behaviour>(20, answers_status(200)));
  f.config->health.type = config::Health::Type::none;
  f.config->eject.at_most_percent = 100;
  f.config->eject.for_ = 1h;
  f.monitor.apply(f.targets(), false);
  f.io.poll();
  f.changes.clear();
  for (size_t i = 0; i < 20; ++i) f.fail_requests(i, 5);
  f.io.poll();
  for (size_t i = 0; i < 20; ++i) CHECK(f.status(i) == BackendStatus::ejected);
  CHECK(f.changes["app"] == 1);
}

TEST_CASE("stopped, it leaves nothing in the io_context and says nothing more") {
  Fixture f({answers_status(200), stalls()});
  f.monitor.apply(f.targets(), false);
  REQUIRE(run_until(f.io, [&] { return !f.servers[1]->last_request.empty() && f.backends[0]->checks_ok > 0; }));
  f.fail_requests(0, 5);
  f.monitor.stop();
  f.monitor.stop();  // harmless
  const auto checks = f.backends[0]->checks_ok + f.backends[0]->checks_failed;
  const auto changes = f.changes;
  f.servers.clear();
  f.io.restart();
  f.io.run();  // returns, although a check with a time-out of 30 s was under way
  CHECK(f.backends[0]->checks_ok + f.backends[0]->checks_failed == checks);
  CHECK(f.status(0) == BackendStatus::up);
  CHECK(f.changes == changes);
  f.monitor.apply(f.targets(), true);
  f.io.restart();
  CHECK(f.io.run() == 0);
}

TEST_CASE("destroyed with reports and checks under way") {
  asio::io_context io{1};
  FakeBackend server(io, stalls());
  auto pool = std::make_shared<config::Pool>();
  pool->name = "app";
  pool->health.type = config::Health::Type::http;
  pool->backends.resize(1);
  pool->backends[0].address = server.address;
  auto backend = std::make_shared<BackendState>("app", "b0", server.address, 1);
  {
    Monitor monitor(io, 1, [](const std::string&) { FAIL("nobody is left to be told"); });
    monitor.apply({{pool, std::make_shared<PoolState>("app", 1), {backend}}}, false);
    REQUIRE(run_until(io, [&] { return !server.last_request.empty(); }));
    monitor.report_failures(backend);
  }
  for (int i = 0; i < 5; ++i) io.poll();
  CHECK(backend.use_count() == 1);
}

TEST_CASE("more backends than probes at once: all get their turn, none is called slow for waiting") {
  // One server that stalls stands for many backends, so that every probe lasts as long as its time-out.
  const size_t n = kMaxProbes + 100;
  if (net::raise_descriptor_limit() < 2 * n) {
    WARN("too few descriptors for this test");
    return;
  }
  asio::io_context io{1};
  FakeBackend server(io, stalls());
  auto pool = std::make_shared<config::Pool>();
  pool->name = "app";
  pool->health.type = config::Health::Type::http;
  pool->health.timeout = 300ms;
  pool->health.interval = 1ms;
  pool->health.fall = 1'000'000;
  std::vector<std::shared_ptr<BackendState>> backends;
  pool->backends.resize(n);
  for (size_t i = 0; i < n; ++i) {
    pool->backends[i].address = server.address;
    backends.push_back(std::make_shared<BackendState>("app", fmt::format("b{}", i), server.address, 1));
  }
  LogCapture log;
  Monitor monitor(io, 1, [](const std::string&) {});
  monitor.apply({{pool, std::make_shared<PoolState>("app", 1), backends}}, false);
  // Two rounds although all want to be probed all the time: nobody is passed over for those who are back in the queue.
  REQUIRE(run_until(io, [&] {
    return std::all_of(backends.begin(), backends.end(), [](const auto& b) { return b->checks_failed >= 2; });
  }));
  uint64_t most = 0;
  for (const auto& backend : backends) most = std::max(most, backend->checks_failed.load());
  CHECK(most <= 4);
}

TEST_CASE("workers report while the control thread probes") {
  Fixture f({answers_status(200), answers_status(200), answers_status(200)});
  f.config->eject.for_ = 1ms;
  f.monitor.apply(f.targets(), false);
  std::atomic<bool> end{false};
  std::vector<std::thread> workers;
  for (size_t worker = 0; worker < 2; ++worker)
    workers.emplace_back([&, worker] {
      while (!end) {
        auto& backend = f.backends[worker];
        backend->cells[worker].requests.add();
        backend->cells[worker].failures.add();
        if (backend->consecutive_failures.fetch_add(1) + 1 == 5) f.monitor.report_failures(backend);
        std::this_thread::sleep_for(backend->status.load() == BackendStatus::ejected ? 1ms : 100us);
      }
    });
  const bool seen = run_until(f.io, [&] { return f.backends[0]->ejections + f.backends[1]->ejections >= 5; });
  end = true;
  for (auto& worker : workers) worker.join();
  CHECK(seen);
  CHECK(f.backends[2]->ejections == 0);
  f.monitor.stop();
}

}  // namespace weir::health
