// security-rules C2–C4: which fields of requests and answers go no further.
#include "tests/unit/net/http1_support.hpp"

using namespace weir;
using namespace weir::http1;
using namespace weir::http1::test;

TEST_CASE("C2 names with underscores are dropped, refused or passed") {
  const std::string text = with_fields("X_A: 1\r\nContent_Length: 5\r\nX-B: 2\r\n_: 3\r\n");
  const Request dropped(text);
  REQUIRE(dropped.accepted());
  CHECK(dropped.forwarded() == "Host: a.example\nX-B: 2\n");
  CHECK(dropped.head->underscores_dropped == 3);
  CHECK(dropped.head->framing == Framing::none);
  refuses(text, Cause::bad_request, {.underscores = RequestRules::Underscores::reject});
  const Request allowed(text, {.underscores = RequestRules::Underscores::allow});
  REQUIRE(allowed.accepted());
  CHECK(allowed.forwarded() == "Host: a.example\nX_A: 1\nX-B: 2\n_: 3\n");
  CHECK(allowed.head->underscores_dropped == 1);  // what others take for a field of ours
  CHECK(Request(with_fields("X: a_b\r\n"), {.underscores = RequestRules::Underscores::reject})
            .accepted());  // values may have them
}

TEST_CASE("C2 what an application takes for one of our fields is dropped, though underscores are allowed") {
  const RequestRules allow{.underscores = RequestRules::Underscores::allow};
  for (const std::string name : {"X_Forwarded_For", "x_forwarded_proto", "X-Forwarded_Host", "X_FORWARDED_ANYTHING",
                                 "X_Forwarded", "X_Real_IP", "X_Client_Cert_Subject", "X_Remote_User", "X-Remote_User",
                                 "X_Request_Id", "Transfer_Encoding", "Proxy_Authorization", "Keep_Alive"}) {
    CAPTURE(name);
    const Request request(with_fields(name + ": 1\r\n"), allow);
    REQUIRE(request.accepted());
    CHECK(request.forwarded() == "Host: a.example\n");
    CHECK(request.head->underscores_dropped == 1);
  }
  const std::string others = "X_Forward: 1\nX_Real_IPs: 1\nX_Client: 1\n_X_Real_IP: 1\nX-Forwarded-For: 1\n";
  const Request request(
      with_fields("X_Forward: 1\r\nX_Real_IPs: 1\r\nX_Client: 1\r\n_X_Real_IP: 1\r\nX-Forwarded-For: 1\r\n"), allow);
  REQUIRE(request.accepted());
  CHECK(request.forwarded() == "Host: a.example\n" + others);
}

TEST_CASE("C3 what Connection names is removed") {
  const struct {
    const char *fields, *forwarded;
  } cases[] = {{"Connection: X-A, x-b\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n", "X-C: 3\n"},
               {"X-A: 1\r\nConnection: close\r\nX-B: 2\r\nConnection: x-a,, ,X-B\r\n", ""},
               {"Connection: accept, server\r\nAccept: */*\r\nServer: x\r\naccept: 1\r\n", ""},
               {"Connection:\r\nX-A: 1\r\n", "X-A: 1\n"},
               {"Connection: X\r\nX-A: 1\r\n", "X-A: 1\n"}};
  for (const auto& [fields, forwarded] : cases) {
    const Request request(with_fields(fields));
    REQUIRE(request.accepted());
    CHECK(request.forwarded() == std::string("Host: a.example\n") + forwarded);
  }
}

TEST_CASE("C3 Connection may not name what matters") {
  for (const std::string name : {"Host",
                                 "Content-Length",
                                 "Transfer-Encoding",
                                 "Authorization",
                                 "Cookie",
                                 "X-Forwarded-For",
                                 "X-Forwarded-Host",
                                 "X-Forwarded-Port",
                                 "X-Forwarded-Proto",
                                 "X-Forwarded-Anything",
                                 "Forwarded",
                                 "X-Real-IP",
                                 "X-Request-Id",
                                 "Via",
                                 "hOST",
                                 "x-forwarded-",
                                 "X-Forwarded",
                                 "X-Remote-User",
                                 "X-Client-Cert-Subject",
                                 "traceparent",
                                 "tracestate",
                                 "X_Remote_User"}) {
    refuses(with_fields("Connection: " + name + "\r\n"), Cause::bad_request);
    refuses(with_fields("Connection: close, " + name + "\r\nX: 1\r\n"), Cause::bad_request);
  }
  for (const std::string value : {"close;x", "\"close\"", "a b", "close, (x)", "a=b"})
    refuses(with_fields("Connection: " + value + "\r\n"), Cause::bad_request);
  std::string options = "a";
  for (int i = 0; i < 63; ++i) options += ",a";
  CHECK(Request(with_fields("Connection: " + options + "\r\n")).accepted());
  refuses(with_fields("Connection: " + options + ",a\r\n"), Cause::bad_request);
}

TEST_CASE("C4 hop-by-hop fields of requests are dropped") {
  const Request request(with_fields(
      "Connection: upgrade\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nProxy-Authorization: Basic "
      "x\r\nProxy: http://evil\r\nTE: trailers\r\nTrailer: X\r\n"
      "Upgrade: websocket\r\nHTTP2-Settings: AAM\r\nContent-Length: 0\r\nX: 1\r\nProxy-Status: a\r\nProxies: b\r\n"));
  REQUIRE(request.accepted());
  CHECK(request.forwarded() == "Host: a.example\nX: 1\nProxy-Status: a\nProxies: b\n");
  CHECK(request.head->connection_upgrade);
  CHECK(request.head->find(FieldId::upgrade) == "websocket");
  CHECK(request.head->has(FieldId::te));
  CHECK(request.head->keep_alive);  // Proxy-Connection means nothing
}

TEST_CASE("C4 hop-by-hop fields of answers are dropped") {
  const Response response(
      "HTTP/1.1 200 OK\r\nConnection: X-Internal, keep-alive\r\nX-Internal: 1\r\nKeep-Alive: "
      "timeout=5\r\nProxy-Connection: x\r\nProxy-Authenticate: Basic\r\nTE: x\r\n"
      "Trailer: X\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\nProxy-Status: origin\r\nX_Under: 1\r\nSet-Cookie: "
      "a=1\r\nSet-Cookie: b=2\r\n\r\n");
  REQUIRE(response.accepted());
  CHECK(response.forwarded() == "Proxy-Status: origin\nX_Under: 1\nSet-Cookie: a=1\nSet-Cookie: b=2\n");
  CHECK(response.head->find(FieldId::upgrade) == "h2c");
}

TEST_CASE("keep-alive of requests") {
  const struct {
    const char *version, *connection;
    bool keep_alive;
  } cases[] = {{"1.1", "", true},
               {"1.1", "close", false},
               {"1.1", "keep-alive", true},
               {"1.1", "Close, Keep-Alive", false},
               {"1.1", "keep-alive, CLOSE", false},
               {"1.0", "", false},
               {"1.0", "close", false},
               {"1.0", "Keep-Alive", true},
               {"1.0", "keep-alive, close", false},
               {"1.0", "upgrade", false},
               {"1.1", "closed", true},
               {"1.1", "x, close", false}};
  for (const auto& [version, connection, keep_alive] : cases) {
    const std::string field = *connection == 0 ? std::string() : std::string("Connection: ") + connection + "\r\n";
    const Request request(std::string("GET / HTTP/") + version + "\r\nHost: a\r\n" + field + "\r\n");
    REQUIRE(request.accepted());
    CAPTURE(version, connection);
    CHECK(request.head->keep_alive == keep_alive);
  }
  CHECK_FALSE(
      Request("GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").head->connection_upgrade);
}

TEST_CASE("field ids in any case, and nothing else") {
  const std::pair<const char*, FieldId> names[] = {{"accept", FieldId::accept},
                                                   {"authorization", FieldId::authorization},
                                                   {"connection", FieldId::connection},
                                                   {"content-length", FieldId::content_length},
                                                   {"content-type", FieldId::content_type},
                                                   {"cookie", FieldId::cookie},
                                                   {"date", FieldId::date},
                                                   {"expect", FieldId::expect},
                                                   {"forwarded", FieldId::forwarded},
                                                   {"host", FieldId::host},
                                                   {"http2-settings", FieldId::http2_settings},
                                                   {"keep-alive", FieldId::keep_alive},
                                                   {"location", FieldId::location},
                                                   {"max-forwards", FieldId::max_forwards},
                                                   {"proxy", FieldId::proxy},
                                                   {"proxy-authenticate", FieldId::proxy_authenticate},
                                                   {"proxy-authorization", FieldId::proxy_authorization},
                                                   {"proxy-connection", FieldId::proxy_connection},
                                                   {"proxy-status", FieldId::proxy_status},
                                                   {"referer", FieldId::referer},
                                                   {"retry-after", FieldId::retry_after},
                                                   {"server", FieldId::server},
                                                   {"set-cookie", FieldId::set_cookie},
                                                   {"te", FieldId::te},
                                                   {"traceparent", FieldId::traceparent},
                                                   {"tracestate", FieldId::tracestate},
                                                   {"trailer", FieldId::trailer},
                                                   {"transfer-encoding", FieldId::transfer_encoding},
                                                   {"upgrade", FieldId::upgrade},
                                                   {"user-agent", FieldId::user_agent},
                                                   {"via", FieldId::via},
                                                   {"x-forwarded-for", FieldId::x_forwarded_for},
                                                   {"x-forwarded-host", FieldId::x_forwarded_host},
                                                   {"x-forwarded-port", FieldId::x_forwarded_port},
                                                   {"x-forwarded-proto", FieldId::x_forwarded_proto},
                                                   {"x-real-ip", FieldId::x_real_ip},
                                                   {"x-request-id", FieldId::x_request_id}};
  CHECK(std::size(names) + 1 == kFieldIds);
  for (const auto& [name, id] : names) {
    CAPTURE(name);
    CHECK(field_id(name) == id);
    std::string upper(name);
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    CHECK(field_id(upper) == id);
    for (size_t i = 0; i < upper.size(); ++i) {  // one other byte makes it another name
      std::string other = upper;
      other[i] = other[i] == '_' ? '+' : '_';
      CHECK(field_id(other) == FieldId::other);
    }
    CHECK(field_id(std::string(name) + "x") == FieldId::other);
    CHECK(field_id(std::string_view(name).substr(1)) == FieldId::other);
  }
  CHECK(field_id("") == FieldId::other);
  CHECK(field_id("x") == FieldId::other);
  CHECK(field_id(std::string(1000, 'x')) == FieldId::other);
}

TEST_CASE("text helpers") {
  CHECK(list_contains("a, B ,c", "b"));
  CHECK(list_contains("chunked", "CHUNKED"));
  CHECK_FALSE(list_contains("ab, c", "b"));
  CHECK_FALSE(list_contains("", "b"));
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nX: h2\r\nUpgrade: a, H2C\r\n\r\n";
  RequestHead parsed;
  REQUIRE(parse_request(head, {}, parsed).status == Parse::done);
  CHECK(field_contains(parsed, FieldId::upgrade, "h2c"));
  CHECK(field_contains(parsed, FieldId::upgrade, "websocket"));
  CHECK_FALSE(field_contains(parsed, FieldId::upgrade, "h2"));
  CHECK_FALSE(field_contains(parsed, FieldId::connection, "h2c"));
  CHECK_FALSE(list_contains("a b", "b"));
  CHECK(list_contains(",,b,", "b"));
  CHECK(equals_ignore_case("AbZ-", "aBz-"));
  CHECK_FALSE(equals_ignore_case("@", "`"));  // differ in the bit of the case, but are no letters
  CHECK_FALSE(equals_ignore_case("a", "ab"));
  CHECK(trim(" \ta b\t ") == "a b");
  CHECK(trim(" \t ") == "");
  CHECK(host_without_port("a.b:80") == "a.b");
  CHECK(host_without_port("a.b") == "a.b");
  CHECK(host_without_port("[::1]:80") == "[::1]");
  CHECK(host_without_port("[::1]") == "[::1]");
  CHECK(host_without_port("a:") == "a");
  CHECK(host_without_port("") == "");
}
