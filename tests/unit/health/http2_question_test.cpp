#include "health/http2_question.hpp"

#include "tests/catch.hpp"

using namespace weir::health;

namespace {

std::string prefixed(const std::string& message) {
  return std::string(4, '\0') + static_cast<char>(message.size()) + message;
}

}  // namespace

TEST_CASE("a health request of gRPC, byte by byte") {
  CHECK(write_health_request("") == prefixed(""));
  CHECK(write_health_request("a.B") == prefixed("\x0a\x03"
                                                "a.B"));
  CHECK(write_health_request(std::string(200, 'x')) ==
        std::string("\0\0\0\0\xcb\x0a\xc8\x01", 8) + std::string(200, 'x'));
}

TEST_CASE("a health response of gRPC") {
  CHECK(read_health_response(prefixed("\x08\x01")) == 1);
  CHECK(read_health_response(prefixed("\x08\x02")) == 2);
  CHECK(read_health_response(prefixed("")) == 0);
  CHECK(read_health_response(prefixed("\x12\x02xy\x08\x01")) == 1);  // a field that it doesn't know
  for (const std::string& bad : {std::string(), std::string("\0\0\0\0\2\x08", 6), std::string("\1\0\0\0\2\x08\x01", 7),
                                 prefixed("\x08"), prefixed("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
                                 prefixed("\x12\x7f"), prefixed("\x0d\x01"), prefixed("\x08\xff\xff\x7f")})
    CHECK(read_health_response(bad) == -1);
}
