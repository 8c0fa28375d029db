#include "lb/proxy/refused_head.hpp"

#include "tests/catch.hpp"

using namespace weir;
using http1::FieldId;

namespace {

/// A head at which parsing stops, as it is kept.
struct Refused {
  explicit Refused(std::string text) : bytes(std::move(text)) {
    REQUIRE(http1::parse_request(bytes, {}, head).status != http1::Parse::done);
    proxy::keep_for_the_record(head);
    REQUIRE(head.size <= bytes.size());
    kept = bytes.substr(0, head.size);  // what Exchange::begin() copies
    head.base = kept.data();
  }
  std::string_view target() const { return head.view(head.target, head.target_length); }
  std::string bytes, kept;
  http1::RequestHead head;
};

}  // namespace

TEST_CASE("what is sound of a refused head is kept, wherever the fault is") {
  const Refused refused(
      "POST /a?b HTTP/1.1\r\nAccept: text/html\r\nHost: h:80\r\nX-Forwarded-For: 9.9.9.9\r\nUser-Agent: "
      "probe\r\nContent-Length: 5\r\nExpect: 200-ok\r\n\r\n");
  CHECK(refused.head.method_view() == "POST");
  CHECK(refused.head.method == http1::Method::POST);
  CHECK(refused.target() == "/a?b");
  CHECK(refused.head.path_view() == "/a");
  CHECK(refused.head.query_view() == "b");
  CHECK(refused.head.host() == "h:80");
  CHECK(refused.head.find(FieldId::user_agent) == "probe");
  CHECK(refused.kept.ends_with("probe"));
}

TEST_CASE("nothing else of a refused head is") {
  const Refused refused(
      "GET / HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\nX-Forwarded-For: 9.9.9.9\r\nX-Request-Id: 1\r\n"
      "Transfer-Encoding: chunked\r\nX_Y: 1\r\nX-Bad : 1\r\n\r\n");
  CHECK(refused.head.field_count == 0);
  CHECK(refused.head.seen == 0);
  for (const auto id : {FieldId::accept, FieldId::x_forwarded_for, FieldId::x_request_id, FieldId::transfer_encoding})
    CHECK_FALSE(refused.head.has(id));
  CHECK(refused.head.framing == http1::Framing::none);
  CHECK(refused.head.underscores_dropped == 0);
  CHECK(refused.head.keep_alive);
}

TEST_CASE("a request line that is none leaves nothing") {
  for (const std::string text :
       {"\x16\x03\x01", "G\x1bT / HTTP/1.1\r\n\r\n", "GET\t/ HTTP/1.1\r\n\r\n", "GET", "\r\r"}) {
    CAPTURE(text);
    const Refused refused(text);
    CHECK(refused.head.size == 0);
    CHECK(refused.head.method_view().empty());
    CHECK(refused.target().empty());
  }
}

TEST_CASE("a target that breaks off is kept as far as it is sound") {
  for (const std::string text : {"GET /ab\x01"
                                 "c HTTP/1.1\r\n",
                                 "GET /ab", "GET /ab HTTP/3.0\r\n", "GET /ab\r\n"}) {
    CAPTURE(text);
    const Refused refused(text);
    CHECK(refused.head.method_view() == "GET");
    CHECK(refused.target() == "/ab");
    CHECK(refused.head.path_view() == "/ab");
    CHECK(refused.head.host().empty());
  }
}
