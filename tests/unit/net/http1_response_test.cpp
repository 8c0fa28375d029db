// security-rules A13: answers of origins.
#include "tests/unit/net/http1_support.hpp"

using namespace weir;
using namespace weir::http1;
using namespace weir::http1::test;

TEST_CASE("A13 status lines") {
  for (const std::string line : {"HTTP/1.1 099 Low",
                                 "HTTP/1.1 000 Zero",
                                 "HTTP/1.1 600 High",
                                 "HTTP/1.1 999 High",
                                 "HTTP/1.1 20 Two",
                                 "HTTP/1.1 2000 Four",
                                 "HTTP/1.1 2x0 Letter",
                                 "HTTP/2 200 OK",
                                 "HTTP/2.0 200 OK",
                                 "HTTP/1.2 200 OK",
                                 "HTTP/0.9 200 OK",
                                 "HTTP/1.1  200 OK",
                                 "HTTP/1.1\t200 OK",
                                 "HTTP/1.1 200\tOK",
                                 "ICY 200 OK",
                                 "garbage",
                                 "<html>",
                                 "HTTP/1.1 -20 OK",
                                 "http/1.1 200 OK",
                                 "HTTP/1.1",
                                 "HTTP/1.1 ",
                                 "HTTP/1.1 2",
                                 " HTTP/1.1 200 OK",
                                 "",
                                 "HTTP/1.1 200 O\x01K",
                                 "HTTP/1.1 200 O\x7fK",
                                 "HTTP/1.1 200 O\rK",
                                 "HTTP/1.1 200 OK\n"})
    refuses_response(line + "\r\nContent-Length: 2\r\n\r\n");
  refuses_response(std::string("HTTP/1.1 200\0OK\r\n\r\n", 19));
  refuses_response("HTTP/1.1 200 OK\nContent-Length: 2\n\n");
  const struct {
    const char* line;
    uint16_t status;
    const char* reason;
  } good[] = {{"HTTP/1.1 200 OK", 200, "OK"},
              {"HTTP/1.1 200 ", 200, ""},
              {"HTTP/1.1 200", 200, ""},
              {"HTTP/1.0 404 Not Found", 404, "Not Found"},
              {"HTTP/1.1 599 \xc3\xa9", 599, "\xc3\xa9"},
              {"HTTP/1.1 100 Continue", 100, "Continue"},
              {"HTTP/1.1 299  x\t", 299, " x\t"}};
  for (const auto& [line, status, reason] : good) {
    const Response response(std::string(line) + "\r\n\r\n");
    REQUIRE(response.accepted());
    CHECK(response.head->status == status);
    CHECK(response.head->view(response.head->reason, response.head->reason_length) == reason);
  }
}

TEST_CASE("A13 framing that is wrong or ambiguous") {
  for (const std::string fields :
       {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: -1\r\n", "Content-Length: 5,5\r\n", "Content-Length: \r\n", "Content-Length: 0x5\r\n",
        "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: identity\r\n", "Transfer-Encoding: \r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip\r\n"})
    refuses_response("HTTP/1.1 200 OK\r\n" + fields + "\r\n");
  refuses_response("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");  // RFC 9112 §6.1
}

TEST_CASE("A13 fields") {
  for (const std::string line : {"X: a\x01", "X : b", "X\t: b", ": b", "X", "X: a\r b", "X: a\r\n fold", " X: first",
                                 "X: a\n", "X\xe9: a", "X: a\x7f"})
    refuses_response("HTTP/1.1 200 OK\r\n" + line + "\r\nContent-Length: 2\r\n\r\n");
  refuses_response(std::string("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", 27));
  const Response response("HTTP/1.1 200 OK\r\nX-A:\r\nX-B: \xff \t \r\n\r\n");
  REQUIRE(response.accepted());
  CHECK(response.forwarded() == "X-A: \nX-B: \xff\n");
}

TEST_CASE("A13 a head too large") {
  std::string fields;
  for (int i = 0; i < 200; ++i) fields += "X: 1\r\n";
  CHECK(Response("HTTP/1.1 200 OK\r\n" + fields + "\r\n", Method::GET, {}, 7).accepted());
  const Response many("HTTP/1.1 200 OK\r\n" + fields + "X: 1\r\n\r\n", Method::GET, {}, 7);
  CHECK(many.result.cause == Cause::upstream_header_too_large);
  const std::string head = "HTTP/1.1 200 OK\r\nX: " + std::string(200, 'a') + "\r\n\r\n";
  const auto size = static_cast<uint32_t>(head.size());
  CHECK(Response(head, Method::GET, {.header_bytes = size}).accepted());
  CHECK(Response(head, Method::GET, {.header_bytes = size - 1}).result.cause == Cause::upstream_header_too_large);
  CHECK(Response("HTTP/1.1 200 " + std::string(70000, 'a'), Method::GET, {}, 997).result.cause ==
        Cause::upstream_header_too_large);
}

TEST_CASE("response framing by RFC 9112 §6.3") {
  const struct {
    const char* line;
    const char* fields;
    Method method;
    Framing framing;
  } cases[] = {{"1.1 200", "Content-Length: 5\r\n", Method::GET, Framing::length},
               {"1.1 200", "Content-Length: 0\r\n", Method::GET, Framing::length},
               {"1.1 200", "Transfer-Encoding: Chunked\r\n", Method::GET, Framing::chunked},
               {"1.1 200", "", Method::GET, Framing::until_close},
               {"1.0 200", "", Method::GET, Framing::until_close},
               {"1.1 200", "Content-Length: 5\r\n", Method::HEAD, Framing::none},
               {"1.1 200", "Transfer-Encoding: chunked\r\n", Method::HEAD, Framing::none},
               {"1.1 404", "", Method::HEAD, Framing::none},
               {"1.1 204", "", Method::GET, Framing::none},
               {"1.1 204", "Content-Length: 0\r\n", Method::GET, Framing::none},
               {"1.1 304", "Content-Length: 5\r\n", Method::GET, Framing::none},
               {"1.1 100", "", Method::POST, Framing::none},
               {"1.1 101", "Content-Length: 5\r\n", Method::GET, Framing::none},
               {"1.1 103", "", Method::GET, Framing::none},
               {"1.1 205", "", Method::GET, Framing::until_close},
               {"1.1 200", "", Method::CONNECT, Framing::none},
               {"1.1 400", "Content-Length: 5\r\n", Method::CONNECT, Framing::length}};
  for (const auto& [line, fields, method, framing] : cases) {
    CAPTURE(line, fields);
    const Response response(std::string("HTTP/") + line + " x\r\n" + fields + "\r\n", method);
    REQUIRE(response.accepted());
    CHECK(response.head->framing == framing);
  }
  const Response head("HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n", Method::HEAD);
  CHECK(head.head->has(FieldId::content_length));
  CHECK(head.head->content_length == 77);  // the writer repeats it
}

TEST_CASE("keep-alive of answers") {
  const struct {
    const char *line, *fields;
    bool keep_alive;
  } cases[] = {{"1.1 200", "Content-Length: 0\r\n", true},
               {"1.1 200", "Content-Length: 0\r\nConnection: close\r\n", false},
               {"1.1 200", "Content-Length: 0\r\nConnection: keep-alive\r\nConnection: close\r\n", false},
               {"1.0 200", "Content-Length: 0\r\n", false},
               {"1.0 200", "Content-Length: 0\r\nConnection: keep-alive\r\n", true},
               {"1.0 200", "Content-Length: 0\r\nConnection: keep-alive, close\r\n", false},
               {"1.1 200", "", false},
               {"1.0 200", "Connection: keep-alive\r\n", false},
               {"1.1 200", "Content-Length: 0\r\nConnection: \"x\"\r\n", false},
               {"1.1 204", "", true},
               {"1.1 204", "Content-Length: 0\r\n", true},
               {"1.1 204", "Content-Length: 5\r\n", false},
               {"1.1 204", "Transfer-Encoding: chunked\r\n", false},
               {"1.1 304", "Content-Length: 5\r\n", true},
               {"1.1 101", "Connection: upgrade\r\nUpgrade: x\r\n", false},
               {"1.1 100", "", true}};
  for (const auto& [line, fields, keep_alive] : cases) {
    CAPTURE(line, fields);
    const Response response(std::string("HTTP/") + line + " x\r\n" + fields + "\r\n");
    REQUIRE(response.accepted());
    CHECK(response.head->keep_alive == keep_alive);
  }
  const Response upgrade("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  CHECK(upgrade.head->connection_upgrade);
  CHECK(upgrade.head->find(FieldId::upgrade) == "websocket");
}

TEST_CASE("Connection of an answer may name anything") {
  const Response response(
      "HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding, Via, Set-Cookie\r\nTransfer-Encoding: chunked\r\nVia: "
      "x\r\nSet-Cookie: a\r\nX: 1\r\n\r\n");
  REQUIRE(response.accepted());
  CHECK(response.head->framing == Framing::chunked);  // naming it does not undo the framing
  CHECK(response.forwarded() == "X: 1\n");
}

TEST_CASE("the time-out of Keep-Alive") {
  const std::pair<const char*, uint32_t> cases[] = {
      {"timeout=5", 5}, {"timeout=5, max=100", 5}, {"max=100, Timeout=60", 60}, {"max=100", 0},
      {"timeout=", 0},  {"timeout=x", 0},          {"timeout=-1", 0},           {"timeout=99999999999", UINT32_MAX},
      {"", 0},          {"xtimeout=5", 0}};
  for (const auto& [value, seconds] : cases) {
    CAPTURE(value);
    const Response response(std::string("HTTP/1.1 204 x\r\nKeep-Alive: ") + value + "\r\n\r\n");
    REQUIRE(response.accepted());
    CHECK(response.head->keep_alive_timeout == seconds);
  }
}
