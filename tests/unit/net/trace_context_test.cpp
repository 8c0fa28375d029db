#include "lb/net/trace_context.hpp"

#include <set>
#include <string>

#include "tests/catch.hpp"

using namespace weir;
using namespace weir::trace;

namespace {

const std::string kTrace = "0af7651916cd43dd8448eb211c80319c", kParent = "b7ad6b7169203331";

bool valid(const std::string& value) { return parse_traceparent(value).has_value(); }

http1::RequestHead parsed(const std::string& lines, std::string& bytes) {
  bytes = "GET / HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n";
  http1::RequestHead head;
  REQUIRE(http1::parse_request(bytes, {}, head).status == http1::Parse::done);
  head.base = bytes.data();
  return head;
}

bool found(const std::string& lines) {
  std::string bytes;
  return find_traceparent(parsed(lines, bytes)).has_value();
}

bool good_state(const std::string& lines) {
  std::string bytes;
  return valid_tracestate(parsed(lines, bytes));
}

}  // namespace

TEST_CASE("a traceparent", "[trace]") {
  const std::string value = "00-" + kTrace + "-" + kParent + "-01";
  const auto parent = parse_traceparent(value);
  REQUIRE(parent);
  CHECK(parent->trace_id == kTrace);
  CHECK(parent->parent_id == kParent);
  CHECK(parent->sampled);
  CHECK_FALSE(parse_traceparent("00-" + kTrace + "-" + kParent + "-00")->sampled);
  CHECK(parse_traceparent("00-" + kTrace + "-" + kParent + "-ff")->sampled);        // unknown flags
  CHECK_FALSE(parse_traceparent("00-" + kTrace + "-" + kParent + "-02")->sampled);  // not this one
}

TEST_CASE("what is no traceparent", "[trace]") {
  const std::string good = "00-" + kTrace + "-" + kParent + "-01";
  for (size_t i = 0; i < good.size(); ++i) {
    INFO(i);
    CHECK_FALSE(valid(good.substr(0, i)));
    std::string other = good;
    other[i] = 'g';
    CHECK_FALSE(valid(other));
    other[i] = 'A';  // upper case is none (§3.2.2.3)
    CHECK_FALSE(valid(other));
  }
  CHECK_FALSE(valid(good + "-"));
  CHECK_FALSE(valid(good + "-more"));
  CHECK_FALSE(valid(good + " "));
  CHECK_FALSE(valid("ff-" + kTrace + "-" + kParent + "-01"));
  CHECK_FALSE(valid("00-" + std::string(32, '0') + "-" + kParent + "-01"));
  CHECK_FALSE(valid("00-" + kTrace + "-" + std::string(16, '0') + "-01"));
}

TEST_CASE("a version to come: the part that is known", "[trace]") {
  const std::string rest = kTrace + "-" + kParent + "-01";
  CHECK(valid("01-" + rest));
  CHECK(valid("cc-" + rest + "-what-the-future-will-be-like"));
  CHECK_FALSE(valid("cc-" + rest + ".what-the-future-will-be-like"));
}

TEST_CASE("a request has one traceparent, or none", "[trace]") {
  const std::string line = "00-" + kTrace + "-" + kParent + "-01\r\n";
  CHECK(found("traceparent: " + line));
  CHECK(found("TraceParent:   " + line));
  CHECK_FALSE(found(""));
  CHECK_FALSE(found("traceparent: " + line + "traceparent: " + line));
  CHECK_FALSE(found("trace-parent: " + line));
}

TEST_CASE("tracestate", "[trace]") {
  CHECK(good_state(""));
  CHECK(good_state("tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE\r\n"));
  CHECK(good_state("tracestate: a=1 , \t,b=2,\r\ntracestate: fw529a3039@dt=FfAAA, 1a-_*/@vendor=!\r\n"));
  for (const char* bad : {"foo", "Foo=1", "foo =1", "foo=", "=1", "foo=bar=baz", "foo@=1", "@foo=1", "foo@@bar=1",
                          "foo@bar@baz=1", "1foo=1", "foo=\xc3\xa4", "foo.bar=1"}) {
    INFO(bad);
    CHECK_FALSE(good_state(std::string("tracestate: ") + bad + "\r\n"));
  }
  std::string many;
  for (int i = 0; i < 32; ++i) many += "k" + std::to_string(i) + "=v,";
  CHECK(good_state("tracestate: " + many + "\r\n"));
  CHECK_FALSE(good_state("tracestate: " + many + "\r\ntracestate: a=b\r\n"));
  CHECK(good_state("tracestate: " + std::string(256, 'k') + "=" + std::string(256, 'v') + "\r\n"));
  CHECK_FALSE(good_state("tracestate: " + std::string(257, 'k') + "=v\r\n"));
  CHECK_FALSE(good_state("tracestate: k=" + std::string(257, 'v') + "\r\n"));
}

TEST_CASE("each attempt has an id of its own", "[trace]") {
  for (const uint64_t span : {uint64_t{1}, uint64_t{0x9e3779b97f4a7c15}, ~uint64_t{0}}) {
    std::set<uint64_t> ids{0, span};
    for (uint32_t n = 1; n <= 20; ++n) CHECK(ids.insert(attempt_span(span, n)).second);
  }
}
