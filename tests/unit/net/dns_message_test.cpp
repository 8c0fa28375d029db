// Answers of DNS servers, byte by byte.
#include <fstream>
#include <iterator>

#include "lb/net/dns_message.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace weir::net;

namespace {

using Bytes = std::vector<uint8_t>;

/// A message of the fuzzer's corpus, without the byte that chooses the type.
Bytes stored(const std::string& name) {
  std::ifstream in("tests/fuzz/corpus/dns/" + name, std::ios::binary);
  REQUIRE(in);
  Bytes bytes((std::istreambuf_iterator<char>(in)), {});
  bytes.erase(bytes.begin());
  return bytes;
}

std::vector<std::string> texts(const DnsAnswer& answer) {
  std::vector<std::string> out;
  for (const auto& address : answer.addresses) out.push_back(address.host());
  return out;
}

}  // namespace

TEST_CASE("addresses and their TTL") {
  const auto v4 = parse_dns(stored("a"), DnsType::a);
  REQUIRE(v4);
  CHECK(texts(*v4) == std::vector<std::string>{"10.0.0.1", "10.0.0.2"});  // one stands there twice
  CHECK(v4->ttl == 30);
  const auto v6 = parse_dns(stored("aaaa"), DnsType::aaaa);
  REQUIRE(v6);
  CHECK(texts(*v6) == std::vector<std::string>{"fd00::1"});
  CHECK(v6->ttl == 5);
  const auto pointer = parse_dns(stored("pointer"), DnsType::a);
  REQUIRE(pointer);
  CHECK(texts(*pointer) == std::vector<std::string>{"10.0.0.1"});
}

TEST_CASE("aliases are followed, and their TTLs count") {
  const auto answer = parse_dns(stored("alias"), DnsType::a);
  REQUIRE(answer);
  CHECK(answer->addresses.size() == 2);
  CHECK(answer->ttl == 7);
  CHECK_FALSE(parse_dns(stored("loop"), DnsType::a));
}

TEST_CASE("services") {
  const auto answer = parse_dns(stored("srv"), DnsType::srv);
  REQUIRE(answer);
  REQUIRE(answer->services.size() == 2);
  CHECK(answer->services[0] == SrvRecord{"one.test", 80, 1, 2});
  CHECK(answer->services[1] == SrvRecord{"two.test", 8080, 2, 0});
  CHECK(answer->ttl == 60);
  const auto none = parse_dns(stored("srv_none"), DnsType::srv);
  REQUIRE(none);
  CHECK(none->services.empty());
  CHECK_FALSE(parse_dns(stored("srv_bad"), DnsType::srv));
}

TEST_CASE("absence, and how long it may be believed") {
  const auto gone = parse_dns(stored("nxdomain"), DnsType::a);
  REQUIRE(gone);
  CHECK(gone->rcode == 3);
  CHECK(gone->negative_ttl == 1u);
  const auto nothing = parse_dns(stored("nodata"), DnsType::aaaa);
  REQUIRE(nothing);
  CHECK(nothing->addresses.empty());
  CHECK(nothing->rcode == 0);
  CHECK(parse_dns(stored("ttl_negative"), DnsType::a)->ttl == 0);
  CHECK(parse_dns(stored("class"), DnsType::a)->addresses.empty());
}

TEST_CASE("what is malformed is nothing") {
  for (const char* name :
       {"cut", "header", "pointer_loop", "pointer_ahead", "pointer_header", "short_address", "long_name"}) {
    INFO(name);
    CHECK_FALSE(parse_dns(stored(name), DnsType::a));
  }
  CHECK_FALSE(parse_dns({}, DnsType::a));
  CHECK_FALSE(parse_dns(stored("a"), DnsType::aaaa));  // another question
  Bytes whole = stored("srv");
  for (size_t size = 0; size < whole.size(); ++size) CHECK_FALSE(parse_dns({whole.data(), size}, DnsType::srv));
}

TEST_CASE("names that may stand in DNS") {
  for (const char* good : {"a", "app.internal", "_http._tcp.x-1.test"}) CHECK(is_dns_name(good));
  for (const std::string bad : {"", ".", "a.", ".a", "a..b", "a b", "a/b", "ä"}) CHECK_FALSE(is_dns_name(bad));
  CHECK_FALSE(is_dns_name(std::string(64, 'a')));
  CHECK(is_dns_name(std::string(63, 'a')));
}
