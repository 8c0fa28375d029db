#include "lb/proxy/forwarded.hpp"

#include "tests/catch.hpp"

using namespace weir;
using namespace weir::proxy;

namespace {

struct Asked {
  explicit Asked(const std::string& fields) : bytes("GET / HTTP/1.1\r\nHost: 10.0.0.5:8080\r\n" + fields + "\r\n") {
    REQUIRE(http1::parse_request(bytes, {}, head).status == http1::Parse::done);
    head.base = bytes.data();
  }
  std::string bytes;
  http1::RequestHead head;
};

}  // namespace

TEST_CASE("the scheme that the client used") {
  const auto [fields, by_plain, by_tls] = GENERATE(
      table<std::string, bool, bool>({{"", false, true},
                                      {"X-Forwarded-Proto: https\r\n", true, true},
                                      {"X-Forwarded-Proto: HTTPS\r\n", true, true},
                                      {"X-Forwarded-Proto: http\r\n", false, false},
                                      {"X-Forwarded-Proto: wss\r\n", false, true},
                                      {"X-Forwarded-Proto:\r\n", false, true},
                                      {"X-Forwarded-Proto: https, http\r\n", false, true},
                                      {"X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", false, true},
                                      {"X-Forwarded-Proto: http\r\nX-Forwarded-Proto: http\r\n", false, true}}));
  CAPTURE(fields);
  const Asked asked(fields);
  CHECK(client_used_tls(asked.head, true, false) == by_plain);
  CHECK(client_used_tls(asked.head, true, true) == by_tls);
  CHECK_FALSE(client_used_tls(asked.head, false, false));
  CHECK(client_used_tls(asked.head, false, true));
}

TEST_CASE("the host that the client asked for") {
  const std::string own = "10.0.0.5:8080";
  const auto [fields, host] =
      GENERATE_COPY(table<std::string, std::string>({{"", own},
                                                     {"X-Forwarded-Host: shop.example\r\n", "shop.example"},
                                                     {"X-Forwarded-Host: shop.example:8443\r\n", "shop.example:8443"},
                                                     {"X-Forwarded-Host: [2001:db8::1]:80\r\n", "[2001:db8::1]:80"},
                                                     {"X-Forwarded-Host:\r\n", own},
                                                     {"X-Forwarded-Host: a, b\r\n", own},
                                                     {"X-Forwarded-Host: a/b\r\n", own},
                                                     {"X-Forwarded-Host: a?b\r\n", own},
                                                     {"X-Forwarded-Host: a#b\r\n", own},
                                                     {"X-Forwarded-Host: a\\b\r\n", own},
                                                     {"X-Forwarded-Host: u@a\r\n", own},
                                                     {"X-Forwarded-Host: a:x\r\n", own},
                                                     {"X-Forwarded-Host: :80\r\n", own},
                                                     {"X-Forwarded-Host: http://a\r\n", own},
                                                     {"X-Forwarded-Host: a\r\nX-Forwarded-Host: b\r\n", own}}));
  CAPTURE(fields);
  const Asked asked(fields);
  CHECK(client_asked_host(asked.head, true) == host);
  CHECK(client_asked_host(asked.head, false) == own);
}
