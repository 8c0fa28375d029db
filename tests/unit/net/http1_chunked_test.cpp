// security-rules A7–A9: chunked bodies, with all pieces of one length and with random ones.
#include "lb/base/rng.hpp"
#include "tests/unit/net/http1_support.hpp"

using namespace weir;
using namespace weir::http1;
using namespace weir::http1::test;
using Status = ChunkDecoder::Status;

namespace {

checks::Decoded decode(const std::string& text, const ChunkDecoder::Limits& limits = {}) {
  CAPTURE(text.substr(0, 300));
  std::string broken;
  const checks::Decoded whole = checks::decode(text, {}, limits, broken);
  Rng rng(7);
  for (int i = 0; i < 12; ++i) {
    std::string sizes;
    if (i < 4) {
      sizes = std::string(1, static_cast<char>(i));  // pieces of 1, 2, 3, 4 bytes
    } else {
      for (int turn = 0; turn < 16; ++turn) sizes += static_cast<char>(rng.below(i < 8 ? 4 : 40));
    }
    CHECK(checks::decode(text, sizes, limits, broken) == whole);
  }
  for (size_t cut = 1; cut < text.size() && cut < 256; ++cut) {  // each split point by itself
    const std::string sizes{static_cast<char>(cut - 1), '\xff'};
    CHECK(checks::decode(text, sizes, limits, broken) == whole);
  }
  CHECK(broken == "");
  if (whole.status == Status::done) CHECK(oracle::compare_chunked(text, whole.consumed, whole.body) == "");
  return whole;
}

void refuses_body(const std::string& text, Cause cause = Cause::bad_framing, const ChunkDecoder::Limits& limits = {}) {
  const checks::Decoded result = decode(text, limits);
  CAPTURE(text.substr(0, 300), result.detail);
  CHECK(result.status == Status::error);
  CHECK(result.cause == cause);
  CHECK(result.detail != "");
}

void accepts_body(const std::string& text, const std::string& body, const ChunkDecoder::Limits& limits = {}) {
  const checks::Decoded result = decode(text + "GET /next", limits);  // pipelined bytes are left alone
  CAPTURE(text.substr(0, 300), result.detail);
  CHECK(result.status == Status::done);
  CHECK(result.body == body);
  CHECK(result.consumed == text.size());
}

}  // namespace

TEST_CASE("chunked bodies are decoded") {
  accepts_body("0\r\n\r\n", "");
  accepts_body("5\r\nhello\r\n0\r\n\r\n", "hello");
  accepts_body("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world");
  accepts_body("A\r\n0123456789\r\na\r\n\r\n0\r\n\r\n0\r\n\r\n0\r\n\r\n", "0123456789\r\n0\r\n\r\n0\r\n");
  accepts_body("000000000000000a\r\n0123456789\r\n0\r\n\r\n", "0123456789");
  accepts_body("1F\r\n" + std::string(31, 'x') + "\r\n0\r\n\r\n", std::string(31, 'x'));
  CHECK(decode("5\r\nhel").status == Status::need_more);
  CHECK(decode("5\r\nhel").body == "hel");
  CHECK(decode("").status == Status::need_more);
}

TEST_CASE("A7 chunk sizes are hex, at most 16 digits, without blanks, and data ends with CRLF") {
  for (const std::string text : {"g\r\n",
                                 "0x3\r\nabc\r\n",
                                 "-3\r\nabc\r\n",
                                 "+3\r\nabc\r\n",
                                 " 3\r\nabc\r\n",
                                 "3 \r\nabc\r\n",
                                 "3\t\r\nabc\r\n",
                                 "3 ;a\r\nabc\r\n",
                                 "\r\nabc\r\n",
                                 ";a\r\n",
                                 "00000000000000003\r\nabc\r\n",
                                 "fffffffffffffffff\r\n",
                                 "ffffffffffffffff\r\n",
                                 "8000000000000000\r\n",
                                 "3\nabc\r\n",
                                 "3_0\r\n",
                                 "3\r\r\nabc\r\n",
                                 "3,3\r\n",
                                 "3\rabc",
                                 "3\r\nabcd\r\n",
                                 "3\r\nabc\n0\r\n\r\n",
                                 "3\r\nabc0\r\n\r\n",
                                 "3\r\nabc\rX",
                                 "0\r\n\rX",
                                 "0\n\r\n",
                                 "0\r\n\n"})
    refuses_body(text);
  refuses_body(std::string("3\0\r\nabc\r\n", 10));
  std::string broken;
  const checks::Decoded largest = checks::decode("7fffffffffffffff\r\nabc", {}, {}, broken);
  CHECK(largest.status == Status::need_more);
  CHECK(largest.body == "abc");
  ChunkDecoder decoder;
  CHECK(decoder.next("7fffffffffffffff\r\nabc").data == "abc");
  CHECK(decoder.remaining() == 0x7fffffffffffffff - 3);
}

TEST_CASE("A8 chunk extensions are checked, bounded and dropped") {
  for (const std::string extension : {";a", ";a=b", ";a=\"b\"", ";a=\"b;\\\"c\\\\\t \xff\"", ";a=b;c;d=\"\"", "; a=b",
                                      ";a = b", ";a =\tb ;c", ";\ta;b", ";a=\"x\" ;b"})
    accepts_body("3" + extension + "\r\nabc\r\n0" + extension + "\r\n\r\n", "abc");
  for (const std::string extension :
       {";",         ";;",       ";=b",         ";a=",         ";a=;",          ";a b",      ";a=b c",     ";a=\"b",
        ";a=\"b\"c", ";a\n",     ";a=\"\r\n\"", ";a=\"\x01\"", ";a=\"\\\x01\"", ";a\x7f",    ";a\rb",      ";a,b",
        ";(a)",      ";a=b\xff", ";a ",         "; ",          ";a=b ",         ";a=\"b\" ", ";a=\"b\" c", ";a= "})
    refuses_body("3" + extension + "\r\nabc\r\n0\r\n\r\n");
  const ChunkDecoder::Limits limits{.extension_bytes = 10, .trailers = 2, .trailer_bytes = 20};
  accepts_body("1;aaaaaaaaa\r\nx\r\n0\r\n\r\n", "x", limits);  // 9 bytes, and the last chunk has none
  accepts_body("1;aaaa\r\nx\r\n0;aaaa\r\n\r\n", "x", limits);
  refuses_body("1;aaaaaaaaaaa\r\nx\r\n0\r\n\r\n", Cause::bad_framing, limits);
  refuses_body("1;aaaa\r\nx\r\n1;aaaa\r\nx\r\n0;a\r\n\r\n", Cause::bad_framing, limits);  // counted over the message
}

TEST_CASE("A9 trailers are checked, bounded and dropped") {
  accepts_body("1\r\nx\r\n0\r\nX-A: 1\r\nX-B:\r\n\r\n", "x");
  accepts_body("0\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\nHost: evil\r\nAuthorization: x\r\n\r\n", "");
  accepts_body("0\r\nX: a\tb \xff\r\n\r\n", "");
  for (const std::string line : {"X 1", "X : 1", "X\t: 1", " fold: 1", ": 1", "X", "X: \x01", "X: \x7f", "X: 1\n",
                                 "X: 1\r", "X: a\r\n fold", "X\xe9: 1"})
    refuses_body("0\r\n" + line + "\r\n\r\n");
  refuses_body(std::string("0\r\nX: \0\r\n\r\n", 11));
  std::string many;
  for (int i = 0; i < 16; ++i) many += "X: 1\r\n";
  accepts_body("0\r\n" + many + "\r\n", "");
  refuses_body("0\r\n" + many + "X: 1\r\n\r\n", Cause::header_too_large);
  refuses_body("0\r\nX: " + std::string(5000, 'a') + "\r\n\r\n", Cause::header_too_large);
  const ChunkDecoder::Limits limits{.extension_bytes = 10, .trailers = 4, .trailer_bytes = 20};
  accepts_body("0\r\nX: aaaaa\r\nX: aaaaa\r\n\r\n", "", limits);
  refuses_body("0\r\nX: aaaaa\r\nX: aaaaaa\r\n\r\n", Cause::header_too_large, limits);
}

TEST_CASE("a decoder that is done or has failed takes nothing more") {
  ChunkDecoder done;
  CHECK(done.next("0\r\n\r\nrest").consumed == 5);
  CHECK(done.next("rest").status == Status::done);
  CHECK(done.next("rest").consumed == 0);
  ChunkDecoder failed;
  CHECK(failed.next("x").status == Status::error);
  CHECK(failed.next("0\r\n\r\n").status == Status::error);
  CHECK(failed.cause() == Cause::bad_framing);
}

TEST_CASE("data is handed out in place") {
  const std::string text = "5\r\nhello\r\n0\r\n\r\n";
  ChunkDecoder decoder;
  const ChunkDecoder::Step step = decoder.next(text);
  CHECK(step.status == Status::data);
  CHECK(step.data.data() == text.data() + 3);
  CHECK(step.data == "hello");
  CHECK(step.consumed == 8);
}
