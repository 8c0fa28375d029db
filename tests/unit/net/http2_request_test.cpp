#include "lb/net/http2_request.hpp"

#include <initializer_list>
#include <string>
#include <utility>

#include "tests/catch.hpp"

using namespace weir;
using http2::RequestText;
using Verdict = RequestText::Verdict;

namespace {

using Fields = std::initializer_list<std::pair<std::string, std::string>>;
constexpr const char* kKey = "AAECAwQFBgcICQoLDA0ODw==";

struct Outcome {
  Verdict verdict;
  std::string text;
  bool websocket;
};

Outcome translate(Fields fields, bool body = false, const Http2Limits& limits = {}) {
  net::BufferPool pool;
  RequestText text;
  for (const auto& [name, value] : fields) text.add(pool, limits, name, value);
  Outcome outcome{text.finish(pool, body, kKey), {}, text.websocket()};
  if (outcome.verdict == Verdict::ok) outcome.text = text.view();
  text.release(pool);
  CHECK(pool.used() == 0);
  return outcome;
}

#define BASE \
  {":method", "GET"}, {":scheme", "https"}, {":path", "/a?b"}, { ":authority", "h.test" }

Verdict verdict(Fields fields) { return translate(fields).verdict; }

}  // namespace

TEST_CASE("request text: a head of HTTP/1.1") {
  CHECK(translate({BASE, {"accept", "*/*"}, {"x-a", ""}}).text ==
        "GET /a?b HTTP/1.1\r\nhost: h.test\r\naccept: */*\r\nx-a: \r\n\r\n");
  CHECK(translate({{":path", "*"}, {":authority", "h"}, {":scheme", "http"}, {":method", "OPTIONS"}}).text ==
        "OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n");
  CHECK(translate({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "h"}}).text ==
        "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
}

TEST_CASE("request text: cookies are one field again") {
  CHECK(translate({BASE, {"cookie", "a=1"}, {"accept", "x"}, {"cookie", "b=2"}, {"cookie", "c=3"}}).text ==
        "GET /a?b HTTP/1.1\r\nhost: h.test\r\naccept: x\r\ncookie: a=1; b=2; c=3\r\n\r\n");
}

TEST_CASE("request text: how a body is framed") {
  const std::string begin = "POST / HTTP/1.1\r\nhost: h\r\n";
  const auto post = [](bool body, const char* length) {
    return length
               ? translate({{":method", "POST"},
                            {":scheme", "http"},
                            {":path", "/"},
                            {":authority", "h"},
                            {"content-length", length}},
                           body)
                     .text
               : translate({{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "h"}}, body).text;
  };
  CHECK(post(true, nullptr) == begin + "transfer-encoding: chunked\r\n\r\n");
  CHECK(post(true, "5") == begin + "content-length: 5\r\n\r\n");
  CHECK(post(false, nullptr) == begin + "content-length: 0\r\n\r\n");
  CHECK(translate({BASE}, true).text == "GET /a?b HTTP/1.1\r\nhost: h.test\r\ntransfer-encoding: chunked\r\n\r\n");
}

TEST_CASE("request text: what would be another request in HTTP/1.1 is malformed") {
  for (const char* value : {"a\r\nb: c", "a\nb", "a\x01", "\x7f"})
    CHECK(verdict({BASE, {"x", value}}) == Verdict::malformed);
  CHECK(verdict({BASE, {"x", std::string("a\0b", 3)}}) == Verdict::malformed);
  for (const char* name : {"X", "x y", "x:", "x\r\ny", "", "\xc3\xa4", "x\t"})
    CHECK(verdict({BASE, {name, "v"}}) == Verdict::malformed);
  for (const char* path : {"/a b", "/a\r\nb", "a", "http://x/", "", "/\x7f"})
    CHECK(verdict({{":method", "GET"}, {":scheme", "http"}, {":path", path}, {":authority", "h"}}) ==
          Verdict::malformed);
  CHECK(verdict({{":method", "GET /x"}, {":scheme", "http"}, {":path", "/"}, {":authority", "h"}}) ==
        Verdict::malformed);
  CHECK(verdict({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "h x"}}) ==
        Verdict::malformed);
}

TEST_CASE("request text: pseudo-fields come first, once, and are all there") {
  CHECK(verdict({BASE, {":path", "/b"}}) == Verdict::malformed);
  CHECK(verdict({{":method", "GET"}, {"x", "y"}, {":scheme", "http"}, {":path", "/"}}) == Verdict::malformed);
  CHECK(verdict({BASE, {":status", "200"}}) == Verdict::malformed);
  CHECK(verdict({{":method", "GET"}, {":scheme", "http"}}) == Verdict::malformed);
  CHECK(verdict({{":method", "GET"}, {":path", "/"}}) == Verdict::malformed);
  CHECK(verdict({{":scheme", "http"}, {":path", "/"}}) == Verdict::malformed);
  CHECK(verdict({{":method", "GET"}, {":scheme", "ftp"}, {":path", "/"}}) == Verdict::malformed);
  CHECK(verdict({}) == Verdict::malformed);
}

TEST_CASE("request text: the host is one") {
  CHECK(verdict({BASE, {"host", "H.test"}}) == Verdict::ok);
  CHECK(translate({BASE, {"host", "h.test"}}).text == "GET /a?b HTTP/1.1\r\nhost: h.test\r\n\r\n");
  CHECK(verdict({BASE, {"host", "other.test"}}) == Verdict::malformed);
  CHECK(verdict({BASE, {"host", "h.test"}, {"host", "h.test"}}) == Verdict::malformed);
}

TEST_CASE("request text: what speaks of one connection is malformed") {
  for (const char* name :
       {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"})
    CHECK(verdict({BASE, {name, "x"}}) == Verdict::malformed);
  CHECK(verdict({BASE, {"te", "gzip"}}) == Verdict::malformed);
  CHECK(verdict({BASE, {"te", "trailers"}}) == Verdict::ok);
}

TEST_CASE("request text: CONNECT") {
  const Fields websocket{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"},
                         {":path", "/chat"},     {":authority", "h"},        {"sec-websocket-version", "13"}};
  const auto outcome = translate(websocket, true);
  CHECK(outcome.websocket);
  CHECK(outcome.text == std::string("GET /chat HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                                    "sec-websocket-version: 13\r\nsec-websocket-key: ") +
                            kKey + "\r\n\r\n");
  CHECK(translate(websocket, false).verdict == Verdict::malformed);
  CHECK(translate({{":method", "CONNECT"}, {":authority", "h:443"}}, true).text ==
        "CONNECT * HTTP/1.1\r\nhost: h:443\r\ntransfer-encoding: chunked\r\n\r\n");
  CHECK(verdict({{":method", "CONNECT"}, {":authority", "h:443"}, {":path", "/"}}) == Verdict::malformed);
  CHECK(verdict({BASE, {":protocol", "websocket"}}) == Verdict::malformed);
  CHECK_FALSE(translate({{":method", "CONNECT"},
                         {":protocol", "connect-udp"},
                         {":scheme", "https"},
                         {":path", "/"},
                         {":authority", "h"}},
                        true)
                  .websocket);
}

TEST_CASE("request text: each part of a cookie counts, and each field's 64 bytes") {
  Http2Limits limits;
  limits.fields = 8;
  limits.field_bytes = 1000;
  CHECK(translate({BASE, {"cookie", "a"}, {"cookie", "b"}, {"cookie", "c"}, {"cookie", "d"}}, false, limits).verdict ==
        Verdict::ok);
  CHECK(translate({BASE, {"cookie", "a"}, {"cookie", "b"}, {"cookie", "c"}, {"cookie", "d"}, {"cookie", "e"}}, false,
                  limits)
            .verdict == Verdict::too_large);
  CHECK(translate({BASE, {"x", std::string(600, 'x')}}, false, limits).verdict == Verdict::ok);
  CHECK(translate({BASE, {"x", std::string(700, 'x')}}, false, limits).verdict == Verdict::too_large);
}
