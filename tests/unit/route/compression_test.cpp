#include "lb/route/compression.hpp"

#include "tests/catch.hpp"

using namespace weir;
using namespace std::chrono_literals;
using route::ResponseFacts;

namespace {

ResponseFacts page() {
  ResponseFacts facts;
  facts.status = 200;
  facts.length = 5000;
  facts.content_type = "text/html; charset=utf-8";
  return facts;
}

}  // namespace

TEST_CASE("what may be compressed") {
  const config::Compress how;
  CHECK_FALSE(route::unfit(how, page()));
  ResponseFacts facts = page();
  facts.length.reset();  // unknown
  CHECK_FALSE(route::unfit(how, facts));
  for (const uint16_t status : {200, 201, 404, 416, 500, 503}) {
    facts.status = status;
    CHECK_FALSE(route::unfit(how, facts));
  }
  for (const uint16_t status : {100, 101, 199, 204, 205, 206, 304}) {
    facts.status = status;
    CHECK(route::unfit(how, facts) == CompressionSkip::status);
  }
  facts = page();
  facts.range = true;
  CHECK(route::unfit(how, facts) == CompressionSkip::status);
  facts = page();
  facts.encoded = true;
  CHECK(route::unfit(how, facts) == CompressionSkip::encoded);
  facts = page();
  facts.no_transform = true;
  CHECK(route::unfit(how, facts) == CompressionSkip::no_transform);
  facts = page();
  facts.length = 1023;
  CHECK(route::unfit(how, facts) == CompressionSkip::size);
  facts.length = 1024;
  CHECK_FALSE(route::unfit(how, facts));
  config::Compress any_size;
  any_size.min_size = 0;
  facts.length = 1;
  CHECK_FALSE(route::unfit(any_size, facts));
  facts.length = 0;
  CHECK(route::unfit(any_size, facts) == CompressionSkip::size);
}

TEST_CASE("media types") {
  const config::Compress how;
  for (const std::string_view type :
       {"text/html", "TEXT/CSS ; x", "application/json", "application/problem+json", "image/svg+xml",
        "application/xml;charset=x", "text/event-stream", "application/wasm"}) {
    INFO(type);
    CHECK(route::matches_type(how.types, type));
  }
  for (const std::string_view type : {"", "text", "text/", "image/png", "application/jsonx", "xapplication/json",
                                      "application/gzip", "+json", "video/mp4", "application/octet-stream"}) {
    INFO(type);
    CHECK_FALSE(route::matches_type(how.types, type));
  }
  config::Compress all;
  all.types = {"application/*"};
  for (const std::string_view type : {"application/grpc", "application/grpc+proto", "Application/gRPC-web"}) {
    ResponseFacts facts = page();
    facts.content_type = type;
    CHECK(route::unfit(all, facts) == CompressionSkip::type);
  }
  CHECK(route::is_event_stream("Text/Event-Stream; charset=utf-8"));
  CHECK_FALSE(route::is_event_stream("text/event-streams"));
}

TEST_CASE("entity tags") {
  CHECK(route::is_strong("\"a\""));
  CHECK(route::is_strong("\"\""));
  for (const std::string_view tag : {"", "\"", "W/\"a\"", "a", "\"a"}) CHECK_FALSE(route::is_strong(tag));
  CHECK(route::names_weak_form("W/\"a\"", "\"a\""));
  CHECK(route::names_weak_form("\"x\", W/\"a\", \"y\"", "\"a\""));
  CHECK(route::names_weak_form("\"a\", W/\"a\"", "\"a\""));
  CHECK_FALSE(route::names_weak_form("\"a\"", "\"a\""));
  CHECK_FALSE(route::names_weak_form("W/\"ab\"", "\"a\""));
  CHECK_FALSE(route::names_weak_form("*", "\"a\""));
}

TEST_CASE("a share of the time") {
  route::TimeShare share;
  TimePoint now{1h};
  CHECK_FALSE(share.used_up(now, 25));
  share.take(now, 25, 49ms);
  CHECK_FALSE(share.used_up(now, 25));
  share.take(now, 25, 1ms);
  CHECK(share.used_up(now, 25));  // a quarter of the window
  CHECK(share.used_up(now, 10));
  CHECK_FALSE(share.used_up(now, 100));
  CHECK_FALSE(share.used_up(now + 1ms, 25));
  CHECK_FALSE(share.used_up(now, 25));  // time that goes back changes nothing
}

TEST_CASE("over a long time no more than the share is taken, and no less is given") {
  for (const uint32_t percent : {1u, 25u, 60u, 99u}) {
    route::TimeShare share;
    TimePoint now{1h};
    const TimePoint began = now;
    Duration taken{};
    while (now - began < 20s) {
      if (share.used_up(now, percent)) {
        now += 100us;
        continue;
      }
      now += 1ms;  // a piece takes so long
      share.take(now, percent, 1ms);
      taken += 1ms;
    }
    const double part = static_cast<double>(taken.count()) / static_cast<double>((now - began).count());
    CHECK(part <= percent / 100.0 * 1.02 + 0.001);
    CHECK(part >= percent / 100.0 * 0.97);
  }
}
