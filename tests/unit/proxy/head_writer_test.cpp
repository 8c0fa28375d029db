#include "lb/proxy/head_writer.hpp"

#include <memory>
#include <string>
#include <vector>

#include "tests/catch.hpp"

using namespace weir;
using namespace weir::proxy;

namespace {

struct Written {
  config::Route route;
  config::Pool pool;
  config::Backend backend;
  RequestContext context;
  Written() {
    backend.authority = "10.0.0.1:8080";
    context.route = &route;
    context.pool = &pool;
    context.backend = &backend;
    context.peer = context.client = "192.0.2.7";
    context.request_id = "id1";
    context.port = "80";
  }
  std::string request(const std::string& bytes) {
    auto head = std::make_unique<http1::RequestHead>();
    const auto result = http1::parse_request(bytes, {}, *head);
    REQUIRE(result.status == http1::Parse::done);
    head->base = bytes.data();
    const std::string path(context.path.empty() ? head->path_view() : context.path);
    const std::string matched(context.matched_path.empty() ? std::string_view(path) : context.matched_path);
    RequestContext written = context;
    written.path = path;
    written.matched_path = matched;
    written.framing = head->framing;
    char buffer[8192];
    HeadWriter out(buffer, sizeof buffer);
    write_request_head(out, *head, written);
    REQUIRE_FALSE(out.overflow());
    return std::string(out.view());
  }
};

std::string response(const std::string& bytes, const ResponseContext& context) {
  auto head = std::make_unique<http1::ResponseHead>();
  REQUIRE(http1::parse_response(bytes, http1::Method::GET, {}, *head).status == http1::Parse::done);
  head->base = bytes.data();
  char buffer[8192];
  HeadWriter out(buffer, sizeof buffer);
  write_response_head(out, *head, context);
  return std::string(out.view());
}

}  // namespace

TEST_CASE("a request's head: ours added, the client's forged ones replaced, hop-by-hop gone") {
  Written w;
  CHECK(w.request("GET /a?b=1 HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\nConnection: x-hop, close\r\nX-Hop: 1\r\n"
                  "X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nKeep-Alive: 5\r\nCookie: c=1\r\n\r\n") ==
        "GET /a?b=1 HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\nCookie: c=1\r\nX-Forwarded-For: 192.0.2.7\r\n"
        "X-Forwarded-Proto: http\r\nX-Forwarded-Host: example.com\r\nX-Forwarded-Port: 80\r\nX-Real-IP: 192.0.2.7\r\n"
        "X-Request-Id: id1\r\nVia: 1.1 weir\r\n\r\n");
}

TEST_CASE("a trusted peer's X-Forwarded-For is continued in one line") {
  Written w;
  w.context.trusted = true;
  const auto head = w.request(
      "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: "
      "https\r\n\r\n");
  CHECK(head.find("X-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.7\r\n") != std::string::npos);
  CHECK(head.find("X-Forwarded-Proto: https\r\n") != std::string::npos);
}

TEST_CASE("rewrite.prefix") {
  const auto path = [](std::string from, std::string to, std::string forwarded, std::string matched = {}) {
    Written w;
    w.route.rewrite_prefix = {{from, to}};
    w.context.path = forwarded;
    w.context.matched_path = matched.empty() ? forwarded : matched;
    const auto head = w.request("GET /ignored HTTP/1.1\r\nHost: h\r\n\r\n");
    const auto written = head.substr(4, head.find(' ', 4) - 4);
    CHECK(upstream_path(w.route, {w.context.path, w.context.matched_path}) == written);
    return written;
  };
  CHECK(path("/api", "/", "/api/x") == "/x");
  CHECK(path("/api", "/", "/api") == "/");
  CHECK(path("/api/", "/", "/api/x") == "/x");
  CHECK(path("/api", "/v2", "/api/x") == "/v2/x");
  CHECK(path("/api", "", "/api") == "/");
  CHECK(path("/api", "/v2/", "/api/x") == "/v2/x");
  CHECK(path("/api", "/v2", "/other") == "/other");
  CHECK(path("/api", "/", "//api/x", "/api/x") == "/x");
  CHECK(path("/api", "/v2", "/apis/x") == "/apis/x");
  CHECK(path("/api", "/", "/api;v=1/x", "/api/x") == "/x");
  CHECK(path("/", "/base", "/x") == "/base/x");
}

TEST_CASE("header rules remove, set and add") {
  Written w;
  w.route.request_headers.remove = {"x-old"};
  w.route.request_headers.set = {{"X-Env", "prod"}};
  w.route.request_headers.add = {{"X-Tag", "b"}};
  const auto head = w.request("GET / HTTP/1.1\r\nHost: h\r\nx-old: 1\r\nX-ENV: forged\r\nX-Tag: a\r\n\r\n");
  CHECK(head.find("x-old") == std::string::npos);
  CHECK(head.find("forged") == std::string::npos);
  CHECK(head.find("X-Env: prod\r\n") != std::string::npos);
  CHECK(head.find("X-Tag: a\r\n") != std::string::npos);
  CHECK(head.find("X-Tag: b\r\n") != std::string::npos);
}

TEST_CASE("header rules stand in place of the fields that we write") {
  const std::string asked =
      "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6\r\nVia: 1.1 old\r\nX-Request-Id: theirs\r\n\r\n";
  const std::vector<std::string> ours{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port",
                                      "X-Real-IP",       "X-Request-Id",      "Forwarded",        "Via"};
  for (const bool trusted : {false, true})
    for (const auto& name : ours) {
      Written set, removed;
      set.context.trusted = removed.context.trusted = trusted;
      set.context.forwarded = removed.context.forwarded = true;
      set.route.request_headers.set = {{name, "mine"}};
      removed.route.request_headers.remove = {name};
      INFO(name << (trusted ? ", trusted" : ""));
      const auto head = set.request(asked);
      const size_t first = head.find("\r\n" + name + ": ");
      REQUIRE(first != std::string::npos);
      CHECK(head.substr(first).starts_with("\r\n" + name + ": mine\r\n"));
      CHECK(head.find("\r\n" + name + ": ", first + 1) == std::string::npos);
      CHECK(removed.request(asked).find("\r\n" + name + ": ") == std::string::npos);
    }
}

TEST_CASE("response rules on the Date that we add") {
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  config::Route route;
  ResponseContext context;
  context.date = "today";
  context.route = &route;
  route.response_headers.set = {{"date", "never"}};
  CHECK(response(answer, context) == "HTTP/1.1 200 OK\r\ndate: never\r\nContent-Length: 0\r\n\r\n");
  route.response_headers.set.clear();
  route.response_headers.remove = {"date"};
  CHECK(response(answer, context) == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

TEST_CASE("response rules on the lines of our own answers") {
  config::HeaderRules rules;
  rules.set = {{"Content-Type", "text/css"}};
  rules.add = {{"Cache-Control", "private"}};
  rules.remove = {"date", "x-absent"};
  CHECK(with_rules("Date: today\r\nCache-Control: no-store\r\nContent-Type: text/plain\r\n", rules) ==
        "Cache-Control: no-store\r\nContent-Type: text/css\r\nCache-Control: private\r\n");
  CHECK(with_rules("", rules) == "Content-Type: text/css\r\nCache-Control: private\r\n");
}

TEST_CASE("framing is written anew") {
  Written w;
  CHECK(w.request("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").find("Content-Length: 0\r\n") !=
        std::string::npos);
  CHECK(w.request("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n")
            .find("Transfer-Encoding: chunked\r\n") != std::string::npos);
  CHECK(w.request("GET / HTTP/1.1\r\nHost: h\r\n\r\n").find("Content-Length") == std::string::npos);
}

TEST_CASE("a response's head") {
  ResponseContext context;
  context.date = "today";
  CHECK(response("HTTP/1.1 200 Fine\r\nContent-Length: 3\r\nConnection: close, x-a\r\nX-A: 1\r\nServer: s\r\n\r\n",
                 context) == "HTTP/1.1 200 Fine\r\nServer: s\r\nDate: today\r\nContent-Length: 3\r\n\r\n");
  context.keep_alive = false;
  context.chunked = true;
  CHECK(response("HTTP/1.0 404\r\nDate: then\r\n\r\n", context) ==
        "HTTP/1.1 404 Not Found\r\nDate: then\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
}

TEST_CASE("what does not fit is reported, never written beyond the end") {
  char buffer[16];
  HeadWriter out(buffer, sizeof buffer);
  out.add("0123456789");
  out.add("0123456789");
  CHECK(out.overflow());
  CHECK(out.view() == "0123456789");
}

TEST_CASE("the question of forward-auth") {
  Written w;
  w.context.user = "";
  config::ForwardAuth how;
  how.path = "/verify?a=1";
  how.response_headers = {"x-user", "authorization"};
  const std::string bytes =
      "POST /a/b?c=1 HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\nExpect: 100-continue\r\nX-User: forged\r\n"
      "Authorization: Bearer t\r\nX-Forwarded-Uri: /forged\r\nX-Forwarded-Method: GET\r\nIf-None-Match: \"x\"\r\n"
      "Range: bytes=0-1\r\nCookie: a=1\r\nConnection: close\r\n\r\n";
  http1::RequestHead head;
  REQUIRE(http1::parse_request(bytes, {}, head).status == http1::Parse::done);
  head.base = bytes.data();
  RequestContext context = w.context;
  context.path = "/a/b";
  char buffer[4096];
  HeadWriter out(buffer, sizeof buffer);
  write_auth_head(out, head, context, how);
  CHECK(std::string(out.view()) ==
        "GET /verify?a=1 HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer t\r\nCookie: a=1\r\n"
        "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: example.com\r\n"
        "X-Forwarded-Port: 80\r\nX-Real-IP: 192.0.2.7\r\nX-Request-Id: id1\r\nVia: 1.1 weir\r\n"
        "X-Forwarded-Method: POST\r\nX-Forwarded-Uri: /a/b?c=1\r\n\r\n");
}

TEST_CASE("who was let in, and what the service said of him") {
  Written w;
  w.context.user = "ann";
  w.context.granted = "X-Groups: staff\r\n";
  const std::string text = w.request("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
  CHECK(text.find("\r\nX-Remote-User: ann\r\nX-Groups: staff\r\n") != std::string::npos);
}

TEST_CASE("traceparent and tracestate") {
  Written w;
  const std::string theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                    ours = theirs.substr(0, 36) + "00f067aa0ba902b7-01";
  const std::string bytes = "GET / HTTP/1.1\r\nHost: h\r\nTraceParent: " + theirs +
                            "\r\ntracestate: a=b\r\ntracestate: c=d\r\nX-A: 1\r\n\r\n";
  const auto has = [&](const std::string& line) {
    return w.request(bytes).find("\r\n" + line + "\r\n") != std::string::npos;
  };
  CHECK(
      (has("TraceParent: " + theirs) && has("tracestate: a=b") && has("tracestate: c=d")));  // no tracing: as they came
  const std::string line = "traceparent: " + ours + "\r\n";
  w.context.traceparent = line;
  CHECK((has("traceparent: " + ours) && !has("TraceParent: " + theirs)));
  CHECK((!has("tracestate: a=b") && !has("tracestate: c=d") && has("X-A: 1")));  // a trace that begins here
  w.context.tracestate = true;
  CHECK((has("traceparent: " + ours) && has("tracestate: a=b") && has("tracestate: c=d")));
  w.route.request_headers.remove = {"Traceparent"};
  CHECK_FALSE(has("traceparent: " + ours));
}

TEST_CASE("a hidden cookie is taken out, and the others keep their bytes") {
  Written w;
  w.context.hidden_cookie = "home";
  const auto cookies = [&](const std::string& lines) {
    const std::string out = w.request("GET / HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n");
    std::string found;
    for (size_t at = 0; (at = out.find("\r\nCookie: ", at)) != std::string::npos; ++at)
      found += out.substr(at + 10, out.find("\r\n", at + 2) - at - 10) + "|";
    return found;
  };
  CHECK(cookies("Cookie: a=1; home=x; b=2\r\n") == "a=1; b=2|");
  CHECK(cookies("Cookie: home=x; b=2\r\n") == "b=2|");
  CHECK(cookies("Cookie: a=1;home=x\r\n") == "a=1|");
  CHECK(cookies("Cookie: home=x\r\n") == "");
  CHECK(cookies("Cookie: home=x; home=y; \r\n") == "");
  CHECK(cookies("Cookie: a=1\r\nX: 1\r\nCookie: home=x;c=\"3\"\r\n") == "a=1|c=\"3\"|");
  CHECK(cookies("Cookie: HOME=x; homes=y; ahome=z; home\r\n") == "HOME=x; homes=y; ahome=z; home|");
  w.route.request_headers.remove = {"cookie"};
  CHECK(cookies("Cookie: a=1; home=x\r\n") == "");
}

TEST_CASE("a cookie is set, unless the route says what Set-Cookie is") {
  ResponseContext context;
  config::Route route;
  context.route = &route;
  context.cookie_name = "home";
  context.cookie_value = "v1.x";
  const std::string bytes = "HTTP/1.1 200 OK\r\nDate: x\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n";
  CHECK(response(bytes, context).find("Set-Cookie: a=1\r\nSet-Cookie: home=v1.x; Path=/; HttpOnly; SameSite=Lax\r\n") !=
        std::string::npos);
  route.response_headers.remove = {"set-cookie"};
  CHECK(response(bytes, context).find("ookie") == std::string::npos);
}
