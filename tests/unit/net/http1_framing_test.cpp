// security-rules A1–A6, A12, A15 on requests.
#include "tests/unit/net/http1_support.hpp"

using namespace weir;
using namespace weir::http1;
using namespace weir::http1::test;

TEST_CASE("A1 Content-Length and Transfer-Encoding together are refused in any order") {
  for (const std::string length : {"Content-Length: 5\r\n", "content-length: 0\r\n"}) {
    for (const std::string coding :
         {"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip\r\n", "TRANSFER-ENCODING: CHUNKED\r\n"}) {
      refuses(with_fields(length + coding), Cause::bad_framing);
      refuses(with_fields(coding + length), Cause::bad_framing);
      refuses(with_fields(coding + "X-Between: 1\r\n" + length), Cause::bad_framing);
    }
  }
}

TEST_CASE("A2 Transfer-Encoding is exactly one chunked") {
  for (const std::string value :
       {"\"chunked\"", "chunked;q=1", "chunked ;q=1", "", ",", "chunked,", ",chunked", "chunked, chunked",
        "chunked, gzip", "chunked chunked", "gzip;q=1, chunked", "gzip,,chunked", "chun ked", "chunked;", "(chunked)"})
    refuses(with_fields("Transfer-Encoding: " + value + "\r\n"), Cause::bad_framing);
  refuses(with_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), Cause::bad_framing);
  refuses(with_fields("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), Cause::bad_framing);
  for (const std::string value :
       {"gzip, chunked", "gzip", "identity", "xchunked", "chunkedx", "gzip , deflate,chunked", "cow"})
    refuses(with_fields("Transfer-Encoding: " + value + "\r\n"), Cause::unsupported_transfer_coding);
  for (const std::string value : {"chunked", "Chunked", "CHUNKED", "  chunked \t"}) {
    const Request request(with_fields("Transfer-Encoding:" + value + "\r\n"));
    REQUIRE(request.accepted());
    CHECK(request.head->framing == Framing::chunked);
    CHECK(request.forwarded() == "Host: a.example\n");
  }
}

TEST_CASE("A3 Transfer-Encoding in HTTP/1.0 is refused") {
  refuses("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Cause::bad_framing);
  refuses("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", Cause::bad_framing);
}

TEST_CASE("A4 Content-Length is 1 to 19 digits, once") {
  for (const std::string value :
       {"", "+5", "-5", "0x5", "5_0", "5,5", "5, 5", "5,6", "5 5", "5.0", "5;", "\"5\"", "five", "5\xb2",
        "12345678901234567890", "00000000000000000005", "9999999999999999999", "9223372036854775808"})
    refuses(with_fields("Content-Length: " + value + "\r\n"), Cause::bad_framing);
  refuses(with_fields("Content-Length: 5\r\nContent-Length: 5\r\n"), Cause::bad_framing);
  refuses(with_fields("Content-Length: 5\r\nContent-Length: 6\r\n"), Cause::bad_framing);
  refuses(with_fields("Content-Length: 5\r\nX: 1\r\nCONTENT-LENGTH: 5\r\n"), Cause::bad_framing);
  struct {
    const char* value;
    uint64_t length;
  } const good[] = {{"0", 0}, {"5", 5}, {" 0005\t", 5}, {"9223372036854775807", INT64_MAX}, {"0000000000000000007", 7}};
  for (const auto& [value, length] : good) {
    const Request request(with_fields(std::string("Content-Length:") + value + "\r\n"));
    REQUIRE(request.accepted());
    CHECK(request.head->framing == Framing::length);
    CHECK(request.head->content_length == length);
    CHECK(request.forwarded() == "Host: a.example\n");
  }
}

TEST_CASE("A5 line ends are CRLF, values hold no control bytes and are not folded") {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string value = std::string("a") + static_cast<char>(byte) + "b";
    const bool legal = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
    if (!legal) {
      refuses(with_fields("X: " + value + "\r\n"), Cause::bad_request);
      refuses(with_fields("X: 0123456789abcdefghij" + value + "klmnopqrstuv\r\n"), Cause::bad_request);
      continue;
    }
    const Request request(with_fields("X: " + value + "\r\n"));
    REQUIRE(request.accepted());
    CHECK(request.head->value(request.head->fields[1]) == value);
  }
  for (const std::string fields : {"X: 1\n", "X: 1\r\r\n", "X: 1\r 2\r\n", "X: 1\r\n 2\r\n", "X: 1\r\n\t2\r\n",
                                   "X:\r\n 2\r\n", "X: \v\r\n", " X: 1\r\n"})
    refuses(with_fields(fields), Cause::bad_request);
  refuses("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Cause::bad_request);
  refuses("GET / HTTP/1.1\nHost: a\n\n", Cause::bad_request);
  refuses("GET / HTTP/1.1\r\nHost: a\r\n\n", Cause::bad_request);
  refuses("GET / HTTP/1.1\r\nHost: a\r\n\rX", Cause::bad_request);
  refuses("GET / HTTP/1.1\rHost: a\r\n\r\n", Cause::bad_request);
}

TEST_CASE("A6 header names are tokens with the colon right after them") {
  for (const std::string line :
       {": x", "X : x", "X\t: x", "X Y: x", "X", "X\xe9: x", "(X): x", "X/Y: x", "X@: x", "\"X\": x", "X{}: x",
        "X\\: x", ":", "Content-Length : 5", "Transfer-Encoding\t: chunked"})
    refuses(with_fields(line + "\r\n"), Cause::bad_request);
  refuses(with_fields(std::string("X\0: x\r\n", 7)), Cause::bad_request);
  const Request request(with_fields("!#$%&'*+-.^`|~09AZaz: x\r\nX:\r\nX-B:y\r\nX-C: \t z \t\r\n"));
  REQUIRE(request.accepted());
  CHECK(request.forwarded() == "Host: a.example\n!#$%&'*+-.^`|~09AZaz: x\nX: \nX-B: y\nX-C: z\n");
}

TEST_CASE("A12 the one expectation is 100-continue") {
  for (const std::string value : {"100-Continue", "100-continue"}) {
    const Request request(with_fields("Expect: " + value + "\r\nContent-Length: 3\r\n"));
    REQUIRE(request.accepted());
    CHECK(request.head->expect_continue);
    CHECK(request.forwarded() == "Host: a.example\nExpect: " + value + "\n");
  }
  for (const std::string value : {"", "200-ok", "100-continue, x", "100-continue;q=1", "\"100-continue\""})
    refuses(with_fields("Expect: " + value + "\r\n"), Cause::expectation_failed);
  refuses(with_fields("Expect: 100-continue\r\nExpect: other\r\n"), Cause::expectation_failed);

  const Request old("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
  REQUIRE(old.accepted());
  CHECK_FALSE(old.head->expect_continue);
  CHECK(old.forwarded() == "Host: a\n");
}

TEST_CASE("A15 a body is framed whatever the method") {
  for (const std::string method : {"GET", "HEAD", "DELETE", "OPTIONS", "POST", "PATCH", "PUT", "BREW"}) {
    const Request length(with_fields("Content-Length: 7\r\n", method + " / HTTP/1.1"));
    REQUIRE(length.accepted());
    CHECK(length.head->framing == Framing::length);
    CHECK(length.head->content_length == 7);
    const Request chunked(with_fields("Transfer-Encoding: chunked\r\n", method + " / HTTP/1.1"));
    REQUIRE(chunked.accepted());
    CHECK(chunked.head->framing == Framing::chunked);
    const Request none(with_fields("", method + " / HTTP/1.1"));
    REQUIRE(none.accepted());
    CHECK(none.head->framing == Framing::none);
  }
}
