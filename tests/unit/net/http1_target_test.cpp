// security-rules B1–B5 and the limits of D on request heads.
#include "tests/unit/net/http1_support.hpp"

using namespace weir;
using namespace weir::http1;
using namespace weir::http1::test;

TEST_CASE("B1 versions and malformed request lines") {
  for (const std::string version : {"2.0", "1.2", "0.9", "3.0", "1.9", "9.9"})
    refuses("GET / HTTP/" + version + "\r\nHost: a\r\n\r\n", Cause::version_not_supported);
  refuses("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Cause::version_not_supported);
  for (const std::string line : {"GET /",
                                 "GET / HTTP/11",
                                 "GET / http/1.1",
                                 "GET / HTTP/1.1 ",
                                 "GET / HTTP/1.1x",
                                 "GET / HTTP/1",
                                 "GET / HTTP/1.",
                                 "GET / HTTP/1.10",
                                 "GET / HTTPS/1.1",
                                 "GET / HTTP/-1.1",
                                 " GET / HTTP/1.1",
                                 "GET  / HTTP/1.1",
                                 "GET /  HTTP/1.1",
                                 "GET\t/ HTTP/1.1",
                                 "G@T / HTTP/1.1",
                                 "GET / /x HTTP/1.1",
                                 "GET",
                                 "GET ",
                                 "\x16\x03\x01\x02",
                                 "\xff"})
    refuses(line + "\r\nHost: a\r\n\r\n", Cause::bad_request);
  refuses(std::string("GET / HTTP/1.1\0\r\nHost: a\r\n\r\n", 27), Cause::bad_request);
  const Request old("GET / HTTP/1.0\r\n\r\n");
  REQUIRE(old.accepted());
  CHECK(old.head->minor == 0);
}

TEST_CASE("B1 methods: at most 32 bytes, in the case they were sent") {
  refuses(std::string(33, 'M') + " / HTTP/1.1\r\nHost: a\r\n\r\n", Cause::method_not_implemented);
  refuses(std::string(300, 'M'), Cause::method_not_implemented);
  const Request longest(std::string(32, 'M') + " / HTTP/1.1\r\nHost: a\r\n\r\n");
  REQUIRE(longest.accepted());
  CHECK(longest.head->method_view() == std::string(32, 'M'));
  const struct {
    const char* name;
    Method method;
  } methods[] = {{"GET", Method::GET},      {"HEAD", Method::HEAD},     {"POST", Method::POST},
                 {"PUT", Method::PUT},      {"DELETE", Method::DELETE}, {"OPTIONS", Method::OPTIONS},
                 {"PATCH", Method::PATCH},  {"get", Method::other},     {"Get", Method::other},
                 {"GETS", Method::other},   {"BREW", Method::other},    {"trace", Method::other},
                 {"connect", Method::other}};
  for (const auto& [name, method] : methods) {
    const Request request(std::string(name) + " / HTTP/1.1\r\nHost: a\r\n\r\n");
    REQUIRE(request.accepted());
    CHECK(request.head->method == method);
    CHECK(request.head->method_view() == name);
  }
}

TEST_CASE("B2 bytes of the target") {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string c(1, static_cast<char>(byte));
    const bool legal = byte > 0x20 && byte < 0x7f && byte != '#';
    for (const std::string& target : {"/a" + c + "b", "/0123456789abcdefghij" + c + "klmnopqrst", "/a?b" + c + "c"}) {
      const bool in_path = target.find('?') > target.find(c);
      if (!legal || (in_path && byte == '\\')) {
        refuses(with_target(target), Cause::bad_request);
        continue;
      }
      const Request request(with_target(target));
      REQUIRE(request.accepted());
      CHECK(request.head->view(request.head->target, request.head->target_length) == target);
    }
  }
}

TEST_CASE("B2 a target over the limit is refused as soon as it is") {
  const std::string longest = "/" + std::string(8191, 'a');
  CHECK(Request(with_target(longest), {}, 997).accepted());
  const Request over(with_target(longest + "a"), {}, 997);
  CHECK(over.result.cause == Cause::uri_too_long);
  CHECK(over.head->target_length == 8192);  // for the log
  refuses("GET /" + std::string(40, 'a'), Cause::uri_too_long, {.target_bytes = 40});
  refuses("GET /" + std::string(40, 'a') + "#", Cause::uri_too_long, {.target_bytes = 40});
  refuses("GET /" + std::string(30, 'a') + "#" + std::string(40, 'a'), Cause::bad_request, {.target_bytes = 40});
}

TEST_CASE("B3 Host: exactly one, and valid") {
  refuses("GET / HTTP/1.1\r\n\r\n", Cause::bad_request);
  refuses("GET / HTTP/1.1\r\nX: 1\r\n\r\n", Cause::bad_request);
  refuses("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Cause::bad_request);
  refuses("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", Cause::bad_request);
  refuses("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", Cause::bad_request);
  for (const std::string host : {"",
                                 "a,b",
                                 "a b",
                                 "user@a",
                                 "user:pw@a",
                                 "a/b",
                                 "a?b",
                                 "a#b",
                                 "a\\b",
                                 "a:x",
                                 "a:80x",
                                 "a:99999",
                                 "a:65536",
                                 "a:000080",
                                 "a:80:80",
                                 ":80",
                                 "[::1",
                                 "[]",
                                 "[::g]",
                                 "[::1]x",
                                 "[::1]:x",
                                 "[1.2.3.4]",
                                 "[fe80::1%25eth0]",
                                 "::1",
                                 "<a>",
                                 "\"a\"",
                                 "a\xe9",
                                 "http://a",
                                 "%",
                                 "%4",
                                 "%zz",
                                 "a|b",
                                 "a^b",
                                 "a{b}",
                                 "a`b",
                                 "[v1.a]",
                                 "[:::1]"})
    refuses(with_host(host), Cause::bad_request);
  for (const std::string host :
       {"a", "a:8080", "a:", "a:65535", "[::1]", "[::1]:80", "[2001:DB8::1]:", "[::ffff:1.2.3.4]", "127.0.0.1",
        "A.Example.COM:1", "a-b_c.example", "xn--bcher-kva.example", "a.example.", "%61.example", "a!$&'()*+;=~b"}) {
    const Request request(with_host(host));
    REQUIRE(request.accepted());
    CHECK(request.head->host() == host);
    CHECK(request.forwarded() == "Host: " + host + "\n");
  }
  const Request old("GET / HTTP/1.0\r\n\r\n");
  REQUIRE(old.accepted());
  CHECK(old.head->host() == "");
}

TEST_CASE("B4 absolute form: its authority replaces Host") {
  const struct {
    const char *target, *host, *path, *query;
  } good[] = {{"http://o.example:81/abs?x=1", "o.example:81", "/abs", "x=1"},
              {"HTTP://o.example", "o.example", "/", ""},
              {"http://o.example?q", "o.example", "/", "q"},
              {"http://o.example/", "o.example", "/", ""},
              {"http://[::1]:8/a/b", "[::1]:8", "/a/b", ""},
              {"http://o.example/?p=C:\\x", "o.example", "/", "p=C:\\x"}};
  for (const auto& [target, host, path, query] : good) {
    const Request request(with_target(target));
    REQUIRE(request.accepted());
    CHECK(request.head->absolute_form);
    CHECK(request.head->host() == host);
    CHECK(request.head->path_view() == path);
    CHECK(request.head->query_view() == query);
    CHECK(request.head->find(FieldId::host) == "a.example");
  }
  for (const std::string target :
       {"https://o.example/", "ftp://o.example/", "http:///x", "http://", "http://u@o/", "http:/x", "http:o", "://o/",
        "http://o\\x/", "http://o/a\\b", "http://a,b/", "o.example:80", "o.example", "x", "?x", "ws://o/"})
    refuses(with_target(target), Cause::bad_request);
  CHECK(Request(with_target("https://o.example/"), {.tls = true}).accepted());
  refuses(with_target("http://o.example/"), Cause::bad_request, {.tls = true});
  refuses("GET http://o.example/ HTTP/1.1\r\n\r\n", Cause::bad_request);  // RFC 9112 §3.2: Host is needed all the same
  refuses("GET http://o.example/ HTTP/1.1\r\nHost: a,b\r\n\r\n", Cause::bad_request);
  const Request old("GET http://o.example/x HTTP/1.0\r\n\r\n");
  REQUIRE(old.accepted());
  CHECK(old.head->host() == "o.example");
}

TEST_CASE("B4 origin form: path and query") {
  const struct {
    const char *target, *path, *query;
    bool has_query;
  } good[] = {{"/", "/", "", false},
              {"/?", "/", "", true},
              {"/a/b?c=d?e", "/a/b", "c=d?e", true},
              {"//x/y", "//x/y", "", false},
              {"/f?t=a%0D%0Ab&n=%2Fhome&p=C:\\x&q=100%", "/f", "t=a%0D%0Ab&n=%2Fhome&p=C:\\x&q=100%", true}};
  for (const auto& [target, path, query, has_query] : good) {
    const Request request(with_target(target));
    REQUIRE(request.accepted());
    CHECK_FALSE(request.head->absolute_form);
    CHECK(request.head->path_view() == path);
    CHECK(request.head->query_view() == query);
    CHECK(request.head->has_query == has_query);
  }
}

TEST_CASE("B5 CONNECT and TRACE are not allowed, * is for OPTIONS") {
  for (const std::string line :
       {"CONNECT o.example:443 HTTP/1.1", "CONNECT / HTTP/1.1", "TRACE / HTTP/1.1", "TRACE * HTTP/1.0"})
    refuses(line + "\r\nHost: a\r\n\r\n", Cause::method_not_allowed);
  for (const std::string method : {"GET", "POST", "options", "HEAD"})
    refuses(method + " * HTTP/1.1\r\nHost: a\r\n\r\n", Cause::bad_request);
  for (const std::string target : {"*x", "**", "*?x"})
    refuses("OPTIONS " + target + " HTTP/1.1\r\nHost: a\r\n\r\n", Cause::bad_request);
  const Request star("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
  REQUIRE(star.accepted());
  CHECK(star.head->path_view() == "*");
  // RFC 9112 §3.2.4: the last proxy turns an absolute form without path into the asterisk.
  const Request absolute("OPTIONS http://o.example:8001 HTTP/1.1\r\nHost: a\r\n\r\n");
  REQUIRE(absolute.accepted());
  CHECK(absolute.head->path_view() == "*");
  const Request with_query("OPTIONS http://o.example?x HTTP/1.1\r\nHost: a\r\n\r\n");
  REQUIRE(with_query.accepted());
  CHECK(with_query.head->path_view() == "/");
}

TEST_CASE("D a head over limits.header_bytes or limits.header_count is refused") {
  const std::string head = with_fields("X-Padding: " + std::string(500, 'a') + "\r\n");
  const auto size = static_cast<uint32_t>(head.size());
  CHECK(Request(head, {.header_bytes = size}).accepted());
  refuses(head, Cause::header_too_large, {.header_bytes = size - 1});
  refuses(head, Cause::header_too_large, {.header_bytes = 100});
  refuses("GET / HTTP/1.1\r\nX: " + std::string(100, 'a'), Cause::header_too_large, {.header_bytes = 100});
  // What is wrong behind the limit is never looked at.
  refuses("GET / HTTP/1.1\r\nX: " + std::string(100, 'a') + std::string(1, '\0'), Cause::header_too_large,
          {.header_bytes = 100});

  std::string many;
  for (int i = 0; i < 99; ++i) many += "X: 1\r\n";
  CHECK(Request(with_fields(many)).accepted());
  refuses(with_fields(many + "X: 1\r\n"), Cause::header_too_large);
  std::string most;
  for (uint32_t i = 1; i < kMaxFields; ++i) most += "X: 1\r\n";
  CHECK(Request(with_fields(most), {.header_count = 1000}, 7).accepted());
  const Request over(with_fields(most + "X: 1\r\n"), {.header_count = 1000}, 7);  // never more than there is room for
  CHECK(over.result.cause == Cause::header_too_large);
  const Request name(with_fields(std::string(70000, 'n') + ": 1\r\n"), {.header_bytes = 1 << 20}, 9973);
  CHECK(name.result.cause == Cause::header_too_large);
}

TEST_CASE("empty lines before a request are skipped, at most two") {
  CHECK(skip_empty_lines("") == 0);
  CHECK(skip_empty_lines("GET") == 0);
  CHECK(skip_empty_lines("\r\nGET") == 2);
  CHECK(skip_empty_lines("\r\n\r\nGET") == 4);
  CHECK(skip_empty_lines("\r\n\r\n\r\nGET") == 4);
  CHECK(skip_empty_lines("\r\n\r") == 2);
  CHECK(skip_empty_lines("\n\nGET") == 0);
  CHECK(Request("\r").result.status == Parse::need_more);
  CHECK(Request("").result.status == Parse::need_more);
  refuses("\r\n", Cause::bad_request);
  refuses("\nGET / HTTP/1.1\r\n", Cause::bad_request);
}
