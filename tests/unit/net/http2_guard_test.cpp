#include "lb/net/http2_guard.hpp"

#include "tests/catch.hpp"

using namespace weir;
using namespace std::chrono_literals;
using http2::Guard;

namespace {

enum Type : uint8_t { data, headers, priority, reset, settings, ping = 6, continuation = 9 };
const TimePoint kStart{1000s};

int until_flood(Guard& guard, uint8_t type, TimePoint now, Http2Flood expected, uint32_t length = 4) {
  for (int i = 1; i < 100'000; ++i) {
    const auto flood = guard.on_frame(type, 0, length, now);
    if (flood == Http2Flood::none) continue;
    CHECK(flood == expected);
    return i;
  }
  return 0;
}

}  // namespace

TEST_CASE("guard: resets have a burst, and come back by the minute") {
  Guard guard({}, kStart);
  CHECK(until_flood(guard, reset, kStart, Http2Flood::resets) == 1001);
  CHECK(until_flood(guard, reset, kStart + 30s, Http2Flood::resets) == 1001);
  CHECK(until_flood(guard, reset, kStart + 33s, Http2Flood::resets) == 101);
}

TEST_CASE("guard: errors") {
  Guard guard({}, kStart);
  for (int i = 0; i < 50; ++i) CHECK(guard.on_error(kStart) == Http2Flood::none);
  CHECK(guard.on_error(kStart) == Http2Flood::errors);
  CHECK(guard.on_error(kStart + 100ms) == Http2Flood::none);
  CHECK(guard.on_error(kStart + 100ms) == Http2Flood::errors);
}

TEST_CASE("guard: settings and pings, a minute's worth at once; acknowledgements are free") {
  Guard guard({}, kStart);
  CHECK(until_flood(guard, settings, kStart, Http2Flood::settings) == 101);
  CHECK(until_flood(guard, ping, kStart, Http2Flood::pings) == 101);
  CHECK(guard.on_frame(settings, 1, 0, kStart) == Http2Flood::none);
  CHECK(guard.on_frame(ping, 1, 8, kStart) == Http2Flood::none);
}

TEST_CASE("guard: a message pays for the pings before it") {
  Guard guard({}, kStart);
  for (int i = 0; i < 1000; ++i) {
    CHECK(guard.on_frame(ping, 0, 8, kStart) == Http2Flood::none);
    if (i % 3 == 0) guard.on_frame(headers, 5, 10, kStart);
    if (i % 3 == 1) guard.on_frame(data, 0, 10, kStart);
    if (i % 3 == 2) guard.on_message_sent();
  }
}

TEST_CASE("guard: priorities are counted by streams") {
  Guard guard({}, kStart);
  CHECK(until_flood(guard, priority, kStart, Http2Flood::priorities) == 101);
  Guard another({}, kStart);
  for (int i = 0; i < 2; ++i) another.on_frame(headers, 5, 10, kStart);
  CHECK(until_flood(another, priority, kStart, Http2Flood::priorities) == 301);
}

TEST_CASE("guard: empty DATA in a row") {
  Guard guard({}, kStart);
  CHECK(until_flood(guard, data, kStart, Http2Flood::empty_data, 0) == 11);
  Guard another({}, kStart);
  for (int i = 0; i < 100; ++i) CHECK(another.on_frame(data, 0, i % 10 ? 0 : 1, kStart) == Http2Flood::none);
  CHECK(another.on_frame(data, 1, 0, kStart) == Http2Flood::none);
}

TEST_CASE("guard: CONTINUATION of one block") {
  Guard guard({}, kStart);
  guard.on_frame(headers, 0, 10, kStart);
  CHECK(until_flood(guard, continuation, kStart, Http2Flood::continuations) == 9);
  Guard another({}, kStart);
  for (int block = 0; block < 10; ++block) {
    another.on_frame(headers, 0, 10, kStart);
    for (int i = 0; i < 8; ++i) CHECK(another.on_frame(continuation, 0, 10, kStart) == Http2Flood::none);
  }
}
