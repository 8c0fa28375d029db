// A sign of life only while every thread answers; told once when one doesn't.
#include "lb/net/watchdog.hpp"

#include <string>

#include "lb/base/log.hpp"
#include "tests/catch.hpp"

using weir::net::Watchdog;

namespace {

struct Threads {
  std::vector<std::vector<std::function<void()>>> posted{2};
  size_t alive = 0;
  std::string events;
  weir::log::Sink before = weir::log::set_sink([this](std::string_view line) { events += line; });
  boost::asio::io_context control;
  Watchdog watchdog{control, [this](size_t i, std::function<void()> work) { posted[i].push_back(std::move(work)); },
                    [this] { ++alive; }};
  ~Threads() { weir::log::set_sink(before); }

  void turn(size_t thread) {
    for (auto& work : posted[thread]) work();
    posted[thread].clear();
  }
};

}  // namespace

TEST_CASE("the watchdog is answered while all threads answer", "[watchdog]") {
  Threads threads;
  threads.watchdog.start(2, std::chrono::milliseconds(3));
  CHECK(threads.alive == 1);
  for (size_t round = 2; round < 5; ++round) {
    threads.turn(0);
    threads.turn(1);
    threads.control.run_one();
    CHECK(threads.alive == round);
  }
  CHECK(threads.events.empty());
}

TEST_CASE("one silent thread silences the watchdog until it answers", "[watchdog]") {
  Threads threads;
  threads.watchdog.start(2, std::chrono::milliseconds(3));
  for (int i = 0; i < 3; ++i) {
    threads.turn(0);
    threads.control.run_one();
  }
  CHECK(threads.alive == 1);
  CHECK(threads.events.find("worker_silent worker=1") != std::string::npos);
  CHECK(threads.events.find("worker_silent") == threads.events.rfind("worker_silent"));
  CHECK(threads.posted[1].size() == 1);  // nothing piles up with a thread that hangs
  threads.turn(0);
  threads.turn(1);
  threads.control.run_one();
  CHECK(threads.alive == 2);
}

TEST_CASE("nobody watches", "[watchdog]") {
  Threads threads;
  threads.watchdog.start(2, std::chrono::microseconds(0));
  CHECK(threads.alive == 0);
  CHECK(threads.control.run() == 0);
}
