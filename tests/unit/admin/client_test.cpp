#include "lb/admin/client.hpp"

#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "tests/catch.hpp"

using namespace weir::admin;

TEST_CASE("where the admin API is") {
  for (const char* text : {"/run/weir/admin.sock", "unix:/run/weir/admin.sock"}) {
    const auto target = parse_target(text);
    CHECK(target.is_unix);
    CHECK(target.path == "/run/weir/admin.sock");
    CHECK(target.shown() == "/run/weir/admin.sock");
  }
  for (const char* text : {"http://lb1.internal:9901", "http://lb1.internal:9901/", "lb1.internal:9901"}) {
    const auto target = parse_target(text);
    CHECK_FALSE(target.is_unix);
    CHECK(target.host == "lb1.internal");
    CHECK(target.port == "9901");
    CHECK(target.shown() == "http://lb1.internal:9901");
  }
  CHECK(parse_target("http://[::1]:9901").host == "::1");
  CHECK(parse_target("http://[::1]:9901").shown() == "http://[::1]:9901");
  for (const char* text : {"", "admin.sock", "unix:admin.sock", "https://lb1:9901", "http://lb1", "http://lb1:9901/x",
                           "http://me@lb1:9901", "lb1:port", ":9901", "http://lb1:999999"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_target(text), ClientError);
  }
  CHECK_THROWS_AS(parse_target("/" + std::string(200, 'x')), ClientError);
}

TEST_CASE("tokens in files") {
  char path[] = "/tmp/weir-token-XXXXXX";
  const int fd = ::mkstemp(path);
  REQUIRE(fd >= 0);
  ::close(fd);
  const auto write = [&](const std::string& text) { std::ofstream(path) << text; };
  write("secret\n");
  CHECK(read_token(path) == "secret");
  for (const char* text : {"", "\n", "a b", "a\nb"}) {
    write(text);
    CHECK_THROWS_AS(read_token(path), ClientError);
  }
  ::unlink(path);
  CHECK_THROWS_AS(read_token(path), ClientError);
}
