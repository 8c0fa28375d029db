// The queue of spans, their JSON, and what follows an answer of the collector.
#include <set>
#include <string>
#include <vector>

#include "lb/net/otlp_json.hpp"
#include "lb/net/span_exporter.hpp"
#include "lb/net/span_queue.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace weir::trace;

namespace {

const Endpoint kAddress = *Endpoint::parse("10.0.0.1:8080"), kSocket = *Endpoint::parse("unix:/run/app.sock");

struct Example {
  AttemptSpan tries[2] = {{"a", &kAddress, 100, 900, 0, Cause::connect_refused, false},
                          {"b", &kSocket, 1000, 4000, 200, Cause::none, true}};
  RequestSpan request;
  Example() {
    request.wall_ns = 1'769'860'800'123'456'789;
    request.duration_us = 5000;
    request.span = 0xb7ad6b7169203331;
    request.attempts = 2;
    request.status = 200;
    request.answered = true;
    request.trace_id = "0af7651916cd43dd8448eb211c80319c";
    request.parent_id = "00f067aa0ba902b7";
    request.trace_state = "rojo=1";
    request.method = "GET";
    request.path = "/a\"b";
    request.host = "shop.example:8443";
    request.client = "192.0.2.7";
    request.peer = "10.9.9.9";
    request.user_agent = "curl/8.0";
    request.request_id = "id";
    request.listener = "web";
    request.route = "default";
    request.pool = "app";
    request.tries = tries;
  }
};

std::string json(const RequestSpan& request) {
  std::string out = "[";
  append_request(request, out);
  return out + "]";
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("what is written is taken, whole", "[trace]") {
  SpanQueue queue(2, 64);
  const Example example;
  CHECK(queue.write(0, example.request));
  CHECK(queue.write(1, example.request));
  CHECK(queue.waiting() == 2);
  size_t seen = 0;
  const auto check = [&](const RequestSpan& taken) {
    ++seen;
    CHECK(json(taken) == json(example.request));
    CHECK(taken.spans() == 3);
  };
  CHECK(queue.take(check, 1) == 1);
  CHECK(queue.waiting() == 1);
  CHECK(queue.take(check, 100) == 1);
  CHECK(queue.take(check, 100) == 0);
  CHECK(seen == 2);
}

TEST_CASE("the queue is bounded over all workers", "[trace]") {
  SpanQueue queue(3, 64);
  const Example example;
  size_t taken = 0;
  for (size_t i = 0; i < 100; ++i) taken += queue.write(i % 3, example.request);
  CHECK(taken == 64);
  CHECK(queue.waiting() == 64);
  CHECK(queue.take([](const RequestSpan&) {}, 10) == 10);
  for (size_t i = 0; i < 100; ++i) taken += queue.write(0, example.request);
  CHECK(taken == 74);
}

TEST_CASE("long texts are cut, and fill the ring before the queue is full", "[trace]") {
  SpanQueue queue(1, 64);
  Example example;
  const std::string path(100'000, 'p');
  example.request.path = example.request.user_agent = example.request.host = path;
  size_t taken = 0;
  for (size_t i = 0; i < 64; ++i) taken += queue.write(0, example.request);
  CHECK((taken > 5 && taken < 64));
  CHECK(queue.waiting() == taken);
  queue.take([&](const RequestSpan& request) { CHECK(request.path.size() == RequestSpan::kTextBytes); }, 1);
}

TEST_CASE("a span of a request and those of its attempts", "[trace]") {
  Example example;
  const std::string text = json(example.request);
  CHECK(text.starts_with(
      R"([{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","traceState":"rojo=1",)"
      R"("parentSpanId":"00f067aa0ba902b7","flags":769,"kind":2,"name":"GET default",)"
      R"("startTimeUnixNano":"1769860800123456789","endTimeUnixNano":"1769860800128456789","attributes":[)"
      R"({"key":"url.scheme","value":{"stringValue":"http"}},{"key":"http.request.method","value":{"stringValue":"GET"}},)"
      R"({"key":"url.path","value":{"stringValue":"/a\"b"}},{"key":"server.address","value":{"stringValue":"shop.example"}},)"
      R"({"key":"server.port","value":{"intValue":"8443"}},)"));
  CHECK(has(text, R"({"key":"http.response.status_code","value":{"intValue":"200"}})"));
  CHECK(has(text, R"({"key":"weir.backend","value":{"stringValue":"b"}})"));
  CHECK(has(text, R"("parentSpanId":"b7ad6b7169203331","flags":257,"kind":3,"name":"GET",)"
                  R"("startTimeUnixNano":"1769860800123556789","endTimeUnixNano":"1769860800124456789",)"));
  CHECK(has(text, R"({"key":"error.type","value":{"stringValue":"connect_refused"}})"));
  CHECK(has(text, R"("status":{"code":2}},{)"));  // the first attempt
  CHECK(has(text, R"({"key":"http.request.resend_count","value":{"intValue":"1"}})"));
  CHECK(has(text, R"({"key":"server.address","value":{"stringValue":"unix:/run/app.sock"}})"));
  CHECK(text.ends_with(R"({"key":"weir.connection.reused","value":{"boolValue":true}}],"status":{}}])"));
}

TEST_CASE("names of spans are few, whatever strangers send", "[trace]") {
  Example example;
  example.request.method = "BREW";
  example.request.route = "";
  const std::string text = json(example.request);
  CHECK(has(text, R"("kind":2,"name":"HTTP",)"));
  CHECK(has(text, R"({"key":"http.request.method","value":{"stringValue":"_OTHER"}})"));
  CHECK(has(text, R"({"key":"http.request.method_original","value":{"stringValue":"BREW"}})"));
}

TEST_CASE("which requests are errors", "[trace]") {
  const auto status = [](uint16_t code, bool answered, Cause cause) {
    Example example;
    example.request.tries = {};
    example.request.status = code;
    example.request.answered = answered;
    example.request.cause = cause;
    const std::string text = json(example.request);
    CHECK(has(text, "http.response.status_code") == answered);
    return has(text, R"("status":{"code":2})");
  };
  CHECK_FALSE(status(200, true, Cause::none));
  CHECK_FALSE(status(404, true, Cause::no_route));
  CHECK_FALSE(status(401, true, Cause::credentials_wrong));
  CHECK_FALSE(status(302, true, Cause::auth_refused));
  CHECK_FALSE(status(301, true, Cause::redirect));
  CHECK_FALSE(status(499, false, Cause::client_gone));
  CHECK(status(500, true, Cause::none));
  CHECK(status(502, true, Cause::connect_refused));
  CHECK(status(200, true, Cause::upstream_truncated));
  CHECK(status(503, false, Cause::draining));
}

TEST_CASE("rejected spans", "[trace]") {
  CHECK(rejected_spans("") == 0);
  CHECK(rejected_spans("{}") == 0);
  CHECK(rejected_spans(R"({"partialSuccess":{}})") == 0);
  CHECK(rejected_spans(R"({"partialSuccess":{"rejectedSpans":"12","errorMessage":"x"}})") == 12);
  CHECK(rejected_spans(R"({"partialSuccess": {"rejectedSpans" : 7}})") == 7);
  CHECK(rejected_spans(R"({"rejectedSpans")") == 0);
  CHECK(rejected_spans(R"({"rejectedSpans":"x"})") == 0);
  CHECK(rejected_spans(R"({"rejectedSpans":"99999999999999999999"})") == 999'999'999);
}

TEST_CASE("what follows an answer of the collector", "[trace]") {
  for (const uint16_t sent : {200, 202, 204}) CHECK(judge(sent) == Verdict::sent);
  for (const uint16_t again : {0, 429, 502, 503, 504}) CHECK(judge(again) == Verdict::repeat);
  for (const uint16_t never : {301, 400, 401, 404, 413, 500, 501}) CHECK(judge(never) == Verdict::give_up);
}

TEST_CASE("pauses grow, are never in step, and are bounded", "[trace]") {
  Rng random(1);
  std::set<int64_t> drawn;
  for (int i = 0; i < 100; ++i) {
    const auto first = pause_after(1, "", random), third = pause_after(3, "", random);
    CHECK((first >= kFirstPause / 2 && first <= kFirstPause));
    CHECK((third >= 2 * kFirstPause && third <= 4 * kFirstPause));
    drawn.insert(first.count());
  }
  CHECK(drawn.size() > 10);
  CHECK(pause_after(1, "3", random) == Milliseconds(3000));
  CHECK(pause_after(1, "0", random) <= kFirstPause);
  CHECK(pause_after(1, "999999999999999999999", random) <= kLongestPause);
  CHECK(pause_after(1, "600", random) == kLongestPause);
  CHECK(pause_after(1, "Wed, 21 Oct 2026 07:28:00 GMT", random) <= kFirstPause);
  CHECK(pause_after(40, "", random) <= kLongestPause);
}
