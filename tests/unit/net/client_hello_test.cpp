// What a TLS client says first: names, fragments, and what is refused.
#include "lb/net/client_hello.hpp"

#include <array>
#include <string>

#include "tests/catch.hpp"

using weir::net::ClientHello;
using weir::net::HelloParse;
using weir::net::kMaxClientHello;
using weir::net::parse_client_hello;
using Status = HelloParse::Status;

namespace {

std::string number(size_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> 8 * i);
  return text;
}

std::string vector(const std::string& text, int length_bytes) { return number(text.size(), length_bytes) + text; }

std::string extension(size_t type, const std::string& value) { return number(type, 2) + vector(value, 2); }

std::string name(const std::string& host, char kind = 0) {
  return extension(0, vector(std::string(1, kind) + vector(host, 2), 2));
}

/// `extensions`: without their length; "-": none at all.
std::string message(const std::string& extensions, const std::string& session = "") {
  std::string body = "\3\3" + std::string(32, 'r') + vector(session, 1) + vector("\x13\x01\x13\x02", 2) +
                     vector(std::string(1, '\0'), 1);
  if (extensions != "-") body += vector(extensions, 2);
  return "\1" + vector(body, 3);
}

std::string record(const std::string& payload, char kind = 22) {
  return kind + std::string("\3\1") + vector(payload, 2);
}

struct Result {
  Status status;
  std::string name, detail;
};

Result parse(const std::string& bytes) {
  std::array<char, kMaxClientHello> room;
  ClientHello hello;
  const auto result = parse_client_hello(bytes, room, hello);
  return {result.status, std::string(hello.server_name), result.detail};
}

void check_refused(const std::string& bytes, const std::string& detail) {
  const Result result = parse(bytes);
  INFO(result.detail);
  CHECK(result.status == Status::error);
  CHECK(result.detail.find(detail) != std::string::npos);
}

}  // namespace

TEST_CASE("ClientHello: its server name") {
  CHECK(parse(record(message(name("WWW.Example.com")))).name == "www.example.com");
  CHECK(parse(record(message(extension(43, "\2\3\4") + name("a.test")))).name == "a.test");
  for (const auto& without : {message("-"), message(""), message(extension(16, vector("\2h2", 2)))}) {
    const Result result = parse(record(without));
    CHECK(result.status == Status::ok);
    CHECK(result.name.empty());
  }
}

TEST_CASE("ClientHello: what stands behind its record is not looked at") {
  CHECK(parse(record(message(name("a.test"))) + "whatever").status == Status::ok);
}

TEST_CASE("ClientHello: each beginning of it asks for more") {
  const std::string whole = record(message(name("a.test")));
  for (size_t i = 0; i < whole.size(); ++i) CHECK(parse(whole.substr(0, i)).status == Status::need_more);
}

TEST_CASE("ClientHello: in records of one byte") {
  std::string bytes;
  for (const char c : message(name("a.test"))) bytes += record(std::string(1, c));
  CHECK(parse(bytes).name == "a.test");
  for (size_t i = 0; i < bytes.size(); i += 7) CHECK(parse(bytes.substr(0, i)).status == Status::need_more);
}

TEST_CASE("ClientHello: what is none is refused at its first wrong byte") {
  check_refused("G", "not TLS");
  check_refused("SSH-2.0-OpenSSH_9.2\r\n", "not TLS");
  check_refused("\x80\x2e\x01\x03\x01", "not TLS");  // SSL 2
  check_refused("\x16\x02", "not TLS, or older");
  check_refused("\x16\x03\x09", "unknown version");
  check_refused(record("\2x", 21), "alert");
  check_refused(record("\2"), "no ClientHello");
  check_refused(std::string("\x16\x03\x01\0\0", 5), "empty");
  check_refused("\x16\x03\x01\x40\x01", "longer than TLS allows");
}

TEST_CASE("ClientHello: its parts must be as long as they say") {
  const std::string good = message(name("a.test"));
  check_refused(record(good + "x"), "something stands behind");
  check_refused(record("\1" + vector(good.substr(4) + "x", 3)), "extensions are not as long");
  check_refused(record("\1" + vector(good.substr(4, good.size() - 5), 3)), "extensions are not as long");
  check_refused(record(message(name("a.test").substr(0, 9))), "cut off");
  check_refused(record(message("", std::string(33, 's'))), "not in order");
  check_refused(record("\1" + vector("\3\3" + std::string(32, 'r'), 3)), "not in order");
  check_refused(record("\1" + vector("\2\3" + std::string(32, 'r'), 3)), "unknown version");
}

TEST_CASE("ClientHello: a server name that is none") {
  for (const char* host : {"", ".", ".a", "a.", "a..b", "a b", "a/b", "a:443", "a\nb", "\xc3\xa4.test"})
    check_refused(record(message(name(host))), "no name of a host");
  check_refused(record(message(name(std::string(254, 'a')))), "no name of a host");
  CHECK(parse(record(message(name(std::string(253, 'a'))))).name.size() == 253);
  check_refused(record(message(name("a.test") + name("b.test"))), "twice");
  check_refused(record(message(name("a.test", 1))), "unknown kind");
  check_refused(record(message(extension(0, ""))), "not in order");
  const std::string two = '\0' + vector("a.test", 2) + '\0' + vector("b.test", 2);
  check_refused(record(message(extension(0, vector(two, 2)))), "not the only one");
}

TEST_CASE("ClientHello: more than 16 KiB are never waited for") {
  const std::string huge = "\1" + number(kMaxClientHello, 3);
  check_refused(record(huge), "longer than 16 KiB");
  std::string bytes;  // a fair size, in records that make it too long
  for (const char c : message(extension(99, std::string(5000, 'x')))) bytes += record(std::string(1, c));
  check_refused(bytes, "longer than 16 KiB");
  CHECK(parse(bytes.substr(0, kMaxClientHello - 1)).status == Status::need_more);
  const std::string fits = record(message(extension(99, std::string(16000, 'x')) + name("a.test")));
  CHECK(parse(fits).name == "a.test");
}
