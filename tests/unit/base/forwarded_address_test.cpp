#include "lb/base/forwarded_address.hpp"

#include "tests/catch.hpp"

using weir::Endpoint;

TEST_CASE("elements of X-Forwarded-For: with a port, mapped, with a zone") {
  const auto [text, host] = GENERATE(table<std::string, std::string>({{"9.9.9.9", "9.9.9.9"},
                                                                      {"9.9.9.9:1234", "9.9.9.9"},
                                                                      {"9.9.9.9:0", "9.9.9.9"},
                                                                      {"2001:DB8:0::1", "2001:db8::1"},
                                                                      {"[2001:db8::1]", "2001:db8::1"},
                                                                      {"[2001:db8::1]:65535", "2001:db8::1"},
                                                                      {"2001:db8::1:443", "2001:db8::1:443"},
                                                                      {"::ffff:9.9.9.9", "9.9.9.9"},
                                                                      {"::FFFF:909:909", "9.9.9.9"},
                                                                      {"[::ffff:9.9.9.9]:80", "9.9.9.9"},
                                                                      {"fe80::1%eth77", "fe80::1"},
                                                                      {"[fe80::1%25]:80", "fe80::1"}}));
  CAPTURE(text);
  const auto address = weir::parse_forwarded(text);
  REQUIRE(address);
  weir::AddressText room;
  CHECK(weir::write_address(*address, room) == host);
}

TEST_CASE("what is no element of X-Forwarded-For") {
  const auto text =
      GENERATE(as<std::string>(), "", ":", ":80", "unknown", "_hidden", "9.9.9.9:", "9.9.9.9:65536", "9.9.9.9:+1",
               "9.9.9.9:1x", "9.9.9.9:123456", "9.9.9.9:80:80", "9.9.9.9%eth0", "[9.9.9.9]", "[9.9.9.9]:80", "[::1]80",
               "[::1]:", "[::1]:65536", "[::1", "::1]", "::1]:80", "[]:80", "fe80::1%", "host:80", "unix:", "[::1]]");
  CAPTURE(text);
  CHECK_FALSE(weir::parse_forwarded(text));
}

TEST_CASE("an address is written without allocating as host() writes it") {
  weir::AddressText room;
  for (const std::string text : {"127.0.0.1:80", "[::1]:80", "[::ffff:192.0.2.1]:80"})
    CHECK(weir::write_address(*Endpoint::parse(text), room) == Endpoint::parse(text)->host());
  CHECK(weir::write_address(*Endpoint::parse("[1111:2222:3333:4444:5555:6666:7777:8888]:1"), room) ==
        "1111:2222:3333:4444:5555:6666:7777:8888");
  CHECK(weir::write_address(*Endpoint::parse("unix:/a"), room).empty());
}
