#include "lb/base/endpoint.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "lb/base/state.hpp"
#include "tests/catch.hpp"

using weir::AddressBlock;
using weir::Endpoint;

TEST_CASE("endpoints are read and written alike") {
  const auto text = GENERATE(as<std::string>(), "127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80",
                             "[::]:8080", "[fd00::2]:443", "[::ffff:10.0.0.1]:80", "[fe80::1%1000000]:80",
                             "unix:/run/weir.sock", "unix:relative.sock", "unix:@abstract");
  const auto endpoint = Endpoint::parse(text);
  REQUIRE(endpoint);
  CHECK(endpoint->to_string() == text);
  CHECK(*Endpoint::parse(endpoint->to_string()) == *endpoint);
  CHECK(Endpoint::from_sockaddr(endpoint->address(), endpoint->length) == *endpoint);
}

TEST_CASE("short forms of endpoints") {
  CHECK(Endpoint::parse(":80")->to_string() == "[::]:80");
  CHECK(Endpoint::parse("localhost:9001")->to_string() == "127.0.0.1:9001");
  CHECK(Endpoint::parse("[0:0:0:0:0:0:0:1]:80")->to_string() == "[::1]:80");
}

TEST_CASE("what is no endpoint") {
  const auto text = GENERATE(as<std::string>(), "", ":", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:-1",
                             "127.0.0.1:+1", "127.0.0.1: 80", "127.0.0.1:80 ", "127.0.0.1:65536", "127.0.0.1:000080",
                             "127.0.0.1:8o", "1.2.3:80", "1.2.3.256:80", "01.2.3.4:80", "::1:80", "[::1]", "[::1:80",
                             "[::1]80", "[127.0.0.1]:80", "[]:80", "[::1%]:80", "[::1%no-such-if]:80", "1.2.3.4%1:80",
                             "example.com:80", "unix:", "unix:@", "unix:/" + std::string(107, 'x'));
  CAPTURE(text);
  CHECK_FALSE(Endpoint::parse(text));
}

TEST_CASE("NUL bytes never cut an endpoint short") {
  using namespace std::string_view_literals;
  CHECK_FALSE(Endpoint::parse("127.0.0.1\0:80"sv));
  CHECK_FALSE(Endpoint::parse("unix:/run/a\0b"sv));
  CHECK_FALSE(AddressBlock::parse_address("1.2.3.4\0"sv));
}

TEST_CASE("unix paths use all the room there is") {
  const std::string longest = "unix:/" + std::string(106, 'x');
  REQUIRE(Endpoint::parse(longest));
  CHECK(Endpoint::parse(longest)->to_string() == longest);
  const std::string abstract = "unix:@" + std::string(107, 'y');
  REQUIRE(Endpoint::parse(abstract));
  CHECK(Endpoint::parse(abstract)->to_string() == abstract);
}

TEST_CASE("parts of an endpoint") {
  CHECK(Endpoint::parse("10.1.2.3:81")->host() == "10.1.2.3");
  CHECK(Endpoint::parse("10.1.2.3:81")->port() == 81);
  CHECK(Endpoint::parse("[::1]:82")->host() == "::1");
  CHECK(Endpoint::parse("[::1]:82")->port() == 82);
  CHECK(Endpoint::parse("[::ffff:10.0.0.1]:80")->host() == "10.0.0.1");
  CHECK(Endpoint::parse("unix:/a")->host() == "unix:/a");
  CHECK(Endpoint::parse("unix:/a")->port() == 0);
  CHECK(Endpoint::parse("unix:/a")->is_unix());
  CHECK(Endpoint{}.host().empty());
  CHECK(Endpoint{}.port() == 0);
}

TEST_CASE("an unnamed unix peer is an endpoint too") {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto endpoint = Endpoint::from_sockaddr(reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t));
  CHECK(endpoint.host() == "unix:");
  CHECK(endpoint == endpoint);
  CHECK(AddressBlock::parse("unix")->contains(endpoint));
}

TEST_CASE("equality ignores what the kernel leaves in unused bytes") {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(80);
  inet_pton(AF_INET, "10.0.0.1", &address.sin_addr);
  std::memset(address.sin_zero, 0x5a, sizeof address.sin_zero);
  CHECK(Endpoint::from_sockaddr(reinterpret_cast<sockaddr*>(&address), sizeof address) ==
        *Endpoint::parse("10.0.0.1:80"));
  CHECK_FALSE(*Endpoint::parse("10.0.0.1:80") == *Endpoint::parse("10.0.0.1:81"));
  CHECK_FALSE(*Endpoint::parse("10.0.0.1:80") == *Endpoint::parse("10.0.0.2:80"));
  CHECK_FALSE(*Endpoint::parse("10.0.0.1:80") == *Endpoint::parse("[::ffff:10.0.0.1]:80"));  // different sockets
  CHECK_FALSE(*Endpoint::parse("unix:/a") == *Endpoint::parse("unix:/ab"));
  CHECK_FALSE(*Endpoint::parse("unix:a") == *Endpoint::parse("unix:@a"));
}

TEST_CASE("address blocks") {
  struct Row {
    const char *block, *address;
    bool inside;
  };
  const Row row = GENERATE(Row{"10.0.0.0/8", "10.255.1.2", true}, Row{"10.0.0.0/8", "11.0.0.0", false},
                           Row{"10.0.0.0/8", "::ffff:10.1.1.1", true}, Row{"192.168.1.128/25", "192.168.1.128", true},
                           Row{"192.168.1.128/25", "192.168.1.127", false}, Row{"192.168.1.77/24", "192.168.1.3", true},
                           Row{"127.0.0.1", "127.0.0.1", true}, Row{"127.0.0.1", "127.0.0.2", false},
                           Row{"0.0.0.0/0", "8.8.8.8", true}, Row{"0.0.0.0/0", "::1", false}, Row{"::/0", "::1", true},
                           Row{"::/0", "8.8.8.8", false}, Row{"::1", "::1", true}, Row{"fd00::/8", "fdff::1", true},
                           Row{"fd00::/8", "fe00::1", false}, Row{"2001:db8::/33", "2001:db8:7fff::", true},
                           Row{"2001:db8::/33", "2001:db8:8000::", false}, Row{"::ffff:10.0.0.0/104", "10.9.9.9", true},
                           Row{"unix", "127.0.0.1", false});
  CAPTURE(row.block, row.address);
  const auto block = AddressBlock::parse(row.block);
  const auto address = AddressBlock::parse_address(row.address);
  REQUIRE(block);
  REQUIRE(address);
  CHECK(block->contains(*address) == row.inside);
  CHECK(block->to_string() == row.block);
}

TEST_CASE("unix peers belong to the block unix alone") {
  CHECK(AddressBlock::parse("unix")->contains(*Endpoint::parse("unix:/a")));
  CHECK_FALSE(AddressBlock::parse("::/0")->contains(*Endpoint::parse("unix:/a")));
}

TEST_CASE("what is no address block") {
  const auto text = GENERATE(as<std::string>(), "", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8",
                             "::/129", "10.0.0.0/08x", "localhost", "10.0.0", "fe80::1%1/64", "unix:/a", "/8");
  CAPTURE(text);
  CHECK_FALSE(AddressBlock::parse(text));
}

TEST_CASE("addresses of X-Forwarded-For") {
  CHECK(AddressBlock::parse_address("203.0.113.7")->host() == "203.0.113.7");
  CHECK(AddressBlock::parse_address("2001:DB8::1")->host() == "2001:db8::1");
  CHECK(AddressBlock::parse_address("[2001:db8::1]")->host() == "2001:db8::1");
  const auto bad = GENERATE(as<std::string>(), "", "unknown", "_hidden", "1.2.3.4:80", "[1.2.3.4]", "[", "[]",
                            " 1.2.3.4", "1.2.3.4 ", "0x7f.1", "unix", "::1::", "1.2.3.4.5");
  CAPTURE(bad);
  CHECK_FALSE(AddressBlock::parse_address(bad));
}

TEST_CASE("backend states have names") {
  CHECK(to_string(weir::BackendStatus::unknown) == "unknown");
  CHECK(to_string(weir::BackendStatus::up) == "up");
  CHECK(to_string(weir::BackendStatus::down) == "down");
  CHECK(to_string(weir::BackendStatus::ejected) == "ejected");
}
