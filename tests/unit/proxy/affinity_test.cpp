#include "lb/proxy/affinity.hpp"

#include "lb/base/hash.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

struct Drained {
  BackendState backend{"app", "b", *Endpoint::parse("127.0.0.1:1"), 2};
  config::Affinity affinity;
  TimePoint ordered;

  /// A quarter of an hour after the backend became known.
  Drained() {
    affinity.drain = 30min;
    affinity.idle = 5min;
    ordered = backend.created + 15min;
    backend.count_sessions();
    backend.ordered_at_ns = ordered.time_since_epoch().count();
    backend.order = BackendOrder::drain;
  }
  void answer(uint64_t session, TimePoint at) {
    backend.cells[session % 2].session_tick = tick_of(at);
    if (at >= ordered) backend.sessions.load()->add(mix_hash(session, 1), tick_of(at));
  }
  proxy::SessionsLeft left(Duration since_order) const {
    return proxy::sessions_left(affinity, backend, ordered + since_order);
  }
};

}  // namespace

TEST_CASE("a backend without a session is done at once") {
  Drained b;
  CHECK(b.left(0s).about == 0);
  CHECK(b.left(0s).until_over == Duration::zero());
  CHECK(b.left(0s).until_deadline == 30min);
}

TEST_CASE("sessions of before an order, and of before a start, may still come") {
  Drained b;
  b.answer(1, b.ordered - 2min);
  CHECK(b.left(0s).about == 0);
  CHECK(b.left(0s).until_over > 2min + 59s);
  CHECK(b.left(3min + 1s).until_over == Duration::zero());

  Drained young;
  young.ordered = young.backend.created;
  young.backend.ordered_at_ns = young.ordered.time_since_epoch().count();
  CHECK(young.left(0s).until_over > 4min + 59s);
}

TEST_CASE("a session counts for as long as it is not idle, and never beyond the deadline") {
  Drained b;
  b.answer(1, b.ordered + 1min);
  b.answer(2, b.ordered + 4min);
  CHECK(b.left(4min).about == 2);
  CHECK(b.left(7min).about == 1);
  CHECK(b.left(7min).until_over > 1min + 59s);
  CHECK(b.left(9min + 1s).about == 0);
  CHECK(b.left(9min + 1s).until_over == Duration::zero());
  b.answer(1, b.ordered + 29min);
  CHECK(b.left(29min).until_over == 1min);
  CHECK(b.left(30min).about == 0);
  CHECK(b.left(30min).until_deadline == Duration::zero());
}

TEST_CASE("an ill backend gets nobody's requests, so it need not wait for them") {
  Drained b;
  b.answer(1, b.ordered + 1s);
  b.backend.health = BackendStatus::down;
  CHECK(b.left(2s).until_over == Duration::zero());
  b.backend.health = BackendStatus::up;
  CHECK(b.left(2s).until_over > 4min);
}

TEST_CASE("with idle: off only the deadline counts") {
  Drained b;
  b.affinity.idle = 0ms;
  b.answer(1, b.ordered + 1s);
  CHECK(b.left(20min).about == 1);
  CHECK(b.left(20min).until_over == 10min);
  CHECK(b.left(30min).until_over == Duration::zero());
}
