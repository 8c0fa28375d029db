#include "lb/net/http2_stall.hpp"

#include <initializer_list>

#include "tests/catch.hpp"

using namespace weir;
using namespace std::chrono_literals;
using Look = http2::StallLook;
using Act = Look::Act;
using Held = Look::Held;

namespace {

const TimePoint kNow{1000s}, kLongAgo = kNow - 60s, kLately = kNow - 59s;

Act act(std::initializer_list<Held> streams) {
  Look look(kNow, 60s, kLongAgo);
  for (const Held held : streams) look.count(held);
  return look.act();
}

}  // namespace

TEST_CASE("stalls: whose window it is") {
  const Look still(kNow, 60s, kLongAgo), moving(kNow, 60s, kLately);
  CHECK(still.judge(true, 0, kLongAgo) == Held::by_stream);
  CHECK(moving.judge(true, -5, kLongAgo) == Held::by_stream);
  CHECK(still.judge(true, 100, kLongAgo) == Held::by_connection);
  CHECK(moving.judge(true, 100, kLongAgo) == Held::no);  // others take what the connection may send
  CHECK(still.judge(true, 0, kLately) == Held::no);
  CHECK(still.judge(true, 100, kLately) == Held::no);
  CHECK(still.judge(false, 0, kLongAgo) == Held::no);  // nothing to send
}

TEST_CASE("stalls: what is done") {
  CHECK(act({}) == Act::nothing);
  CHECK(act({Held::no, Held::no}) == Act::nothing);
  CHECK(act({Held::by_stream}) == Act::reset_by_stream);
  CHECK(act({Held::by_stream, Held::by_connection, Held::no}) == Act::reset_by_stream);
  CHECK(act({Held::by_connection, Held::by_connection}) == Act::end_connection);
  CHECK(act({Held::by_connection, Held::no}) == Act::reset_by_connection);  // one that waits is no progress for others
}
