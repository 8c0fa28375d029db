#include "lb/proxy/worker.hpp"

#include <boost/asio/io_context.hpp>
#include <set>
#include <vector>

#include "lb/proxy/exchange.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace weir::proxy;

namespace {

struct Stopped {  // a worker whose thread never ran
  boost::asio::io_context control{1};
  ProcessState process{1};
  health::Monitor monitor{control, 1, [](const std::string&) {}};
  Shared shared{process, monitor, {}, {}, {}, {}};
  Worker worker{0, shared, 1};

  std::vector<Exchange*> burst(size_t count) {
    std::vector<Exchange*> taken;
    for (size_t i = 0; i < count; ++i) taken.push_back(worker.take_exchange());
    return taken;
  }
  void end(const std::vector<Exchange*>& taken) {
    for (Exchange* exchange : taken) worker.recycle(exchange);
  }
};

}  // namespace

TEST_CASE("what a burst has left is given back, once it was not needed for a whole period") {
  Stopped on;
  on.end(on.burst(1000));
  on.worker.give_back_exchanges();
  CHECK(on.worker.exchanges() == 1000);  // the burst was in this period
  on.end(on.burst(300));
  on.worker.give_back_exchanges();
  CHECK(on.worker.exchanges() == 300 + Worker::kExchangesKept);
  on.worker.give_back_exchanges();
  CHECK(on.worker.exchanges() == Worker::kExchangesKept);
  on.worker.give_back_exchanges();
  CHECK(on.worker.exchanges() == Worker::kExchangesKept);
  const auto again = on.burst(400);
  CHECK(std::set<Exchange*>(again.begin(), again.end()).size() == 400);
  on.end(again);
}

TEST_CASE("exchanges in use stay") {
  Stopped on;
  const auto used = on.burst(500);
  const auto burst = on.burst(500);
  on.end(burst);
  on.worker.give_back_exchanges();
  on.worker.give_back_exchanges();
  CHECK(on.worker.exchanges() == 500 + Worker::kExchangesKept);
  for (Exchange* exchange : used) CHECK(exchange->serial() == 0);  // AddressSanitizer looks
  on.end(used);
}

TEST_CASE("nothing is given back while a grant may name it") {
  Stopped on;
  PoolState state("app", 1);
  const auto admission = std::make_shared<Admission>(state);
  config::PoolLimits limits;
  limits.inflight = 1;
  limits.queue = 1;
  const auto burst = on.burst(600);
  REQUIRE(admission->try_admit(limits));
  const Ticket ticket{&on.worker, burst[0], 0};
  Turn turn;
  REQUIRE(admission->wait(ticket, limits, turn) == Admission::Wait::queued);
  admission->release(limits, false);                             // posts the grant; nobody runs it yet
  CHECK(admission->forget(ticket) == Admission::Left::granted);  // too late
  on.end(burst);
  on.worker.give_back_exchanges();
  on.worker.give_back_exchanges();
  CHECK(on.worker.exchanges() == 600);
}
