#include "lb/net/proxy_protocol.hpp"

#include <string>

#include "tests/catch.hpp"

using namespace weir;
using namespace weir::net;
using Status = ProxyParse::Status;

namespace {

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string two(size_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)}; }
std::string tlv(char type, const std::string& value) { return type + two(value.size()) + value; }
std::string v2(int command, int protocol, const std::string& rest) {
  return kSignature + static_cast<char>(command) + static_cast<char>(protocol) + two(rest.size()) + rest;
}
const std::string kFour("\xc0\x00\x02\x01\x0a\x00\x00\x05\x30\x39\x01\xbb", 12);  // 192.0.2.1:12345 → 10.0.0.5:443

ProxyHeader ok(const std::string& bytes) {
  INFO(bytes);
  ProxyHeader header;
  const auto result = parse_proxy_header(bytes, header);
  INFO(result.detail);
  CHECK(result.status == Status::ok);
  return header;
}

ProxyParse refused(const std::string& bytes) {
  INFO(bytes);
  ProxyHeader header;
  const auto result = parse_proxy_header(bytes, header);
  CHECK(result.status == Status::error);
  CHECK(std::string(result.detail) != "");
  return result;
}

std::string with_checksum(const std::string& tlvs, uint32_t flip = 0) {
  std::string bytes = v2(0x21, 0x11, kFour + tlv(3, std::string(4, '\0')) + tlvs);
  const uint32_t crc = crc32c(0, bytes) ^ flip;
  for (size_t i = 0; i < 4; ++i) bytes[16 + 12 + 3 + i] = static_cast<char>(crc >> (24 - 8 * i));
  return bytes;
}

}  // namespace

TEST_CASE("PROXY version 1", "[proxy_protocol]") {
  const std::string line = "PROXY TCP4 192.0.2.1 10.0.0.5 12345 443\r\n";
  auto header = ok(line + "GET / HTTP/1.1\r\n");
  CHECK(header.size == line.size());
  CHECK(header.source.to_string() == "192.0.2.1:12345");
  CHECK(header.destination.to_string() == "10.0.0.5:443");
  CHECK_FALSE(header.local);
  header = ok("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n");
  CHECK(header.source.to_string() == "[2001:db8::1]:0");
  CHECK(header.destination.port() == 65535);
  CHECK(ok("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:10.0.0.5 1 2\r\n").source.host() == "192.0.2.1");
  CHECK(ok("PROXY UNKNOWN\r\n").local);
  CHECK(ok("PROXY UNKNOWN what ever\r\n").local);
  for (size_t i = 0; i < line.size(); ++i)
    CHECK(parse_proxy_header(line.substr(0, i), header).status == Status::need_more);
}

TEST_CASE("PROXY version 1, broken", "[proxy_protocol]") {
  for (const char* line :
       {"PROXY TCP4 192.0.2.1 10.0.0.5 12345 443\n", "PROXY TCP4 192.0.2.1 10.0.0.5 12345\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.5 12345 443 \r\n", "PROXY TCP4  192.0.2.1 10.0.0.5 12345 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.5 012 443\r\n", "PROXY TCP4 192.0.2.1 10.0.0.5 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.5 -1 443\r\n", "PROXY TCP4 192.0.2 10.0.0.5 1 443\r\n",
        "PROXY TCP4 ::1 ::1 1 443\r\n", "PROXY TCP6 192.0.2.1 10.0.0.5 1 443\r\n",
        "PROXY UDP4 192.0.2.1 10.0.0.5 1 2\r\n", "PROXY TCP4\r\n", "PROXY \r\n", "PROXY UNKNOWNS\r\n"})
    CHECK(refused(line).failure == ProxyFailure::broken);
  refused("PROXY UNKNOWN " + std::string(100, 'x'));
  refused("PROXY UNKNOWN " + std::string(100, 'x') + "\r\n");
  for (const char* other : {"GET / HTTP/1.1\r\n", "\x16\x03\x01", "proxy TCP4", "\r\n\r\nX", "PROXIES"})
    CHECK(refused(other).failure == ProxyFailure::missing);
}

TEST_CASE("PROXY version 2", "[proxy_protocol]") {
  auto header = ok(v2(0x21, 0x11, kFour) + "more");
  CHECK(header.size == 28);
  CHECK(header.source.to_string() == "192.0.2.1:12345");
  CHECK(header.destination.to_string() == "10.0.0.5:443");
  const std::string six = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + '\1' + std::string(15, '\0') +
                          '\1' + two(12345) + two(443);
  CHECK(ok(v2(0x21, 0x21, six)).source.to_string() == "[2001:db8::1]:12345");
  std::string names = "/run/a" + std::string(102, '\0') + std::string(1, '\0') + "b" + std::string(106, '\0');
  header = ok(v2(0x21, 0x31, names));
  CHECK(header.source.to_string() == "unix:/run/a");
  CHECK(header.destination.to_string() == "unix:@b");
  ok(v2(0x21, 0x31, std::string(108, 'x') + std::string(108, '\0')));
  CHECK(ok(v2(0x20, 0, "")).local);
  CHECK(ok(v2(0x20, 0x11, "anything")).local);
  CHECK(ok(v2(0x21, 0, "")).local);
  CHECK(ok(v2(0x21, 0x12, kFour)).local);  // datagrams
  const std::string whole = v2(0x21, 0x11, kFour + tlv(4, "pad"));
  for (size_t i = 0; i < whole.size(); ++i)
    CHECK(parse_proxy_header(whole.substr(0, i), header).status == Status::need_more);
}

TEST_CASE("PROXY version 2: TLVs", "[proxy_protocol]") {
  const std::string bytes =
      v2(0x21, 0x11, kFour + tlv(4, "") + tlv(1, "h2") + tlv(2, "www.example.com") + tlv('\xea', "vpce-1"));
  ProxyHeader header;
  REQUIRE(parse_proxy_header(bytes, header).status == Status::ok);
  CHECK(header.alpn == "h2");
  CHECK(header.authority == "www.example.com");
  ok(with_checksum(tlv(2, "a.test")));
  CHECK(refused(with_checksum(tlv(2, "a.test"), 1)).failure == ProxyFailure::checksum);
  for (const auto& tlvs : {std::string("\4"), std::string("\4\0", 2), std::string("\4\0\1", 3), tlv(3, "abc"),
                           tlv(2, "a") + tlv(2, "b"), tlv(1, "h2") + tlv(1, "h2"), tlv(2, ""), tlv(2, "a b"),
                           tlv(2, "a\r\nX: y"), tlv(2, std::string(256, 'a')), tlv(2, std::string("a\0b", 3))})
    CHECK(refused(v2(0x21, 0x11, kFour + tlvs)).failure == ProxyFailure::broken);
  CHECK(crc32c(0, "123456789") == 0xe3069283);
}

TEST_CASE("PROXY version 2, broken", "[proxy_protocol]") {
  refused(v2(0x11, 0x11, kFour));
  refused(v2(0x22, 0x11, kFour));
  refused(v2(0x21, 0x41, kFour));
  refused(v2(0x21, 0x13, kFour));
  refused(v2(0x21, 0x11, kFour.substr(1)));
  refused(v2(0x21, 0x21, kFour));
  refused(kSignature + "\x21\x11" + two(4081));
  ProxyHeader header;
  CHECK(parse_proxy_header(kSignature + "\x21\x11" + two(4080), header).status == Status::need_more);
}

TEST_CASE("PROXY headers as they are written", "[proxy_protocol]") {
  ProxyBytes room;
  ProxyHeader header;
  CHECK(write_proxy_header(header, room).empty());
  header.version = ProxyVersion::v1;
  CHECK(write_proxy_header(header, room) == "PROXY UNKNOWN\r\n");
  header.source = *Endpoint::parse("192.0.2.1:12345");
  header.destination = *Endpoint::parse("10.0.0.5:443");
  CHECK(write_proxy_header(header, room) == "PROXY TCP4 192.0.2.1 10.0.0.5 12345 443\r\n");
  header.source = *Endpoint::parse("[::ffff:192.0.2.1]:12345");  // of a dual-stack listener
  CHECK(write_proxy_header(header, room) == "PROXY TCP4 192.0.2.1 10.0.0.5 12345 443\r\n");
  header.version = ProxyVersion::v2;
  CHECK(write_proxy_header(header, room) == v2(0x21, 0x11, kFour));
  header.alpn = "h2";
  header.authority = "a.test";
  CHECK(write_proxy_header(header, room) == v2(0x21, 0x11, kFour + tlv(1, "h2") + tlv(2, "a.test")));
  header.local = true;
  CHECK(write_proxy_header(header, room) == v2(0x20, 0, ""));
  header.local = false;
  header.destination = *Endpoint::parse("[::1]:443");
  CHECK(write_proxy_header(header, room) == v2(0x20, 0, ""));
  header.source = header.destination = *Endpoint::parse("unix:/run/weir.sock");
  const std::string name = "/run/weir.sock" + std::string(108 - 14, '\0');
  header.alpn = header.authority = {};
  CHECK(write_proxy_header(header, room) == v2(0x21, 0x31, name + name));
  header.version = ProxyVersion::v1;
  CHECK(write_proxy_header(header, room) == "PROXY UNKNOWN\r\n");
}
