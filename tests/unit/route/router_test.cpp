#include "lb/route/router.hpp"

#include "lb/route/conditions.hpp"
#include "tests/catch.hpp"
#include "tests/unit/route/allocations.hpp"
#include "tests/unit/route/reference.hpp"

using namespace weir;
using namespace weir::route;
using config::Config;
using config::Match;

namespace {

Match path(std::string pattern) {
  Match match;
  match.path = std::move(pattern);
  return match;
}
Match host(std::string pattern, std::string of_path = "") {
  Match match = path(std::move(of_path));
  match.hosts = {std::move(pattern)};
  return match;
}
Config routes(std::vector<Match> matches) {
  Config config;
  config.listeners.emplace_back().name = "web";
  config.listeners.emplace_back().name = "admin";
  for (auto& match : matches) config.routes.emplace_back().match = std::move(match);
  return config;
}
reference::Request get(std::string target, std::string of_host = "example.com") {
  reference::Request request;
  request.path = std::move(target);
  request.host = std::move(of_host);
  return request;
}
bool takes(const Match& match, const reference::Request& request) {
  const Router router(routes({match}));
  const bool matched = router.match(request.view()) == 0;
  CHECK(matched == router.why_not(0, request.view()).empty());
  return matched;
}

}  // namespace

TEST_CASE("paths") {
  struct Row {
    const char *pattern, *path;
    bool matches;
  };
  const Row row = GENERATE(values<Row>({
      {"", "/", true},
      {"", "/a/b", true},
      {"", "*", true},
      {"*", "/a", true},
      {"/", "/", true},
      {"/", "/a", false},
      {"/*", "/", true},
      {"/*", "/a/b/c", true},
      {"/*", "*", false},
      {"/a", "/a", true},
      {"/a", "/a/", false},
      {"/a", "/A", false},
      {"/a/", "/a/", true},
      {"/a/", "/a", false},
      {"/a/*", "/a", true},
      {"/a/*", "/a/", true},
      {"/a/*", "/a/b/c", true},
      {"/a/*", "/ab", false},
      {"/a/*", "/", false},
      {"/a*", "/a", true},
      {"/a*", "/ab", true},
      {"/a*", "/a/b", true},
      {"/a*", "/b", false},
      {"/a*", "/", false},
      {"/a/b*", "/a/bc/d", true},
      {"/a/b*", "/a/", false},
      {"/a/b*", "/a", false},
      {"/u/{id}", "/u/5", true},
      {"/u/{id}", "/u/", false},
      {"/u/{id}", "/u", false},
      {"/u/{id}", "/u/5/", false},
      {"/u/{id}", "/u/5/x", false},
      {"/u/{id}/*", "/u/5", true},
      {"/u/{id}/*", "/u/5/", true},
      {"/u/{id}/*", "/u/5/x/y", true},
      {"/u/{id}/*", "/u/", false},
      {"/u/{id}/*", "/u//x", false},
      {"/u/{id}/edit", "/u/5/edit", true},
      {"/u/{id}/edit", "/u/5/6/edit", false},
      {"/{a}/{b}", "/x/y", true},
      {"/{a}/{b}", "/x", false},
      {"/u/{id}/a*", "/u/5/abc", true},
      {"/u/{id}/a*", "/u/5/b", false},
      {"/x{id}", "/x5", false},
      {"/x{id}", "/x{id}", true},
      {"/{}", "/{}", true},
      {"/{}", "/5", false},
      {"/%7Eme", "/~me", true},
      {"/%c3%a9", "/%C3%A9", true},
      {"/é", "/%C3%A9", true},
      {"/a b", "/a%20b", true},
      {"/50%", "/50%", true},
      {"/a%2fb", "/a%2Fb", true},
      {"/a%2Fb", "/a/b", false},
  }));
  CAPTURE(row.pattern, row.path);
  CHECK(takes(path(row.pattern), get(row.path)) == row.matches);
}

TEST_CASE("hosts") {
  struct Row {
    const char *pattern, *host;
    bool matches;
  };
  const Row row = GENERATE(values<Row>({
      {"example.com", "example.com", true},
      {"example.com", "EXAMPLE.com", true},
      {"example.com", "example.com.", true},
      {"Example.COM.", "example.com", true},
      {"example.com", "www.example.com", false},
      {"example.com", "", false},
      {"example.com", "example.com..", false},
      {"*.example.com", "www.example.com", true},
      {"*.example.com", "a.b.c.Example.com", true},
      {"*.example.com", "example.com", false},
      {"*.example.com", "wwwexample.com", false},
      {"*.example.com", ".example.com", false},
      {"*.example.com", "www.example.com.", true},
      {"*.com", "example.com", true},
      {"*", "anything", true},
      {"*", "", true},
      {"[::1]", "[::1]", true},
      {"127.0.0.1", "127.0.0.1", true},
      {"a_b.c", "A_B.c", true},
      {"a[z.c", "A{Z.c", false},
  }));
  CAPTURE(row.pattern, row.host);
  CHECK(takes(host(row.pattern), get("/", row.host)) == row.matches);
}

TEST_CASE("hosts longer than any name can be match no pattern, but routes for any host") {
  const std::string label(60, 'x');
  const std::string longest = label + "." + label + "." + label + "." + label + ".example";  // 251 bytes
  CHECK(takes(host("*.example"), get("/", longest)));
  CHECK(takes(host(longest), get("/", longest)));
  CHECK_FALSE(takes(host("*.example"), get("/", "abcde." + longest)));
  CHECK_FALSE(takes(host("abcde." + longest), get("/", "abcde." + longest)));
  CHECK(takes(path("/"), get("/", std::string(30'000, 'x'))));
}

TEST_CASE("folding a host touches ASCII letters alone") {
  for (int c = 1; c < 256; ++c) {
    if (c == '.') continue;
    for (size_t before = 0; before < 9; ++before) {
      const std::string text = std::string(before, '-') + static_cast<char>(c) + "q";
      REQUIRE(std::string(FoldedHost(text).view()) == reference::lower(text));
    }
  }
}

TEST_CASE("method, listener, header and query") {
  auto request = get("/");
  Match match;
  SECTION("method, case-sensitive") {
    match.methods = {"PUT", "GET"};
    CHECK(takes(match, request));
    request.method = "get";
    CHECK_FALSE(takes(match, request));
    request.method = "HEAD";
    CHECK_FALSE(takes(match, request));
  }
  SECTION("listener") {
    match.listeners = {"admin"};
    CHECK_FALSE(takes(match, request));
    request.listener = 1;
    CHECK(takes(match, request));
    match.listeners = {"no such"};
    CHECK_FALSE(takes(match, request));
  }
  SECTION("header: any of the values, or its presence") {
    match.headers = {{"x-beta", "1"}};
    CHECK_FALSE(takes(match, request));
    request.headers = {{"x-beta", "0"}};
    CHECK_FALSE(takes(match, request));
    request.headers = {{"x-beta", "0"}, {"x-beta", "1"}};
    CHECK(takes(match, request));
    match.headers = {{"x-beta", "*"}, {"x-gamma", "*"}};
    CHECK_FALSE(takes(match, request));
    request.headers.emplace_back("x-gamma", "");
    CHECK(takes(match, request));
  }
  SECTION("query") {
    match.query = {{"v", "2"}};
    CHECK_FALSE(takes(match, request));
    request.query = "w=1&v=2";
    CHECK(takes(match, request));
  }
  SECTION("no fields at all") {
    match.headers = {{"x-beta", "*"}};
    Request bare;
    bare.path = "/";
    CHECK(Router(routes({match})).match(bare) == kNoRoute);
  }
}

TEST_CASE("query parameters are compared decoded, any of several will do") {
  struct Row {
    const char *query, *name, *value;
    bool has;
  };
  const Row row = GENERATE(values<Row>({
      {"v=2", "v", "2", true},      {"v=1&v=2", "v", "2", true},   {"vv=2", "v", "2", false},
      {"v=22", "v", "2", false},    {"v=2", "v", "22", false},     {"v", "v", "", true},
      {"v=", "v", "", true},        {"v", "v", "*", true},         {"", "v", "*", false},
      {"", "", "*", false},         {"&&v=2&", "v", "2", true},    {"%76=%32", "v", "2", true},
      {"q=a+b", "q", "a b", true},  {"q=a%20b", "q", "a b", true}, {"q=a%2bb", "q", "a+b", true},
      {"q=%C3%A9", "q", "é", true}, {"q=100%", "q", "100%", true}, {"q=%zz", "q", "%zz", true},
      {"q=%2", "q", "%2", true},    {"q=a=b", "q", "a=b", true},   {"a%26v=2", "v", "2", false},
      {"v=2;w=1", "v", "2", false}, {"V=2", "v", "2", false},
  }));
  CAPTURE(row.query, row.name, row.value);
  CHECK(query_has(row.query, row.name, row.value) == row.has);
}

TEST_CASE("the first in the file wins, however special the others are") {
  const Router router(routes(
      {path("/a/b"), host("example.com", "/a/*"), path("/a/{x}"), host("*.example.com"), path("/a*"), path("/a/c")}));
  CHECK(router.match(get("/a/b").view()) == 0);
  CHECK(router.match(get("/a/c").view()) == 1);
  CHECK(router.match(get("/a/c", "other").view()) == 2);
  CHECK(router.match(get("/a/c", "www.example.com").view()) == 2);
  CHECK(router.match(get("/z", "www.example.com").view()) == 3);
  CHECK(router.match(get("/abc", "other").view()) == 4);
  CHECK(router.match(get("/z", "other").view()) == kNoRoute);
  CHECK(Router(Config{}).match(get("/").view()) == kNoRoute);
}

TEST_CASE("why_not names the first condition that fails") {
  Match match = host("*.example.com", "/a*");
  match.hosts.push_back("example.org");
  match.listeners = {"web"};
  match.methods = {"GET", "HEAD"};
  match.headers = {{"x-beta", "1"}, {"x-gamma", "*"}};
  match.query = {{"v", "2"}};
  const Router router(routes({match}));
  auto request = get("/b", "example.net");
  request.listener = 1;
  request.method = "POST";
  const auto reason = [&] { return router.why_not(0, request.view()); };
  CHECK(reason() == "listener admin is not web");
  request.listener = 0;
  CHECK(reason() == "host *.example.com, example.org does not cover example.net");
  request.host = "";
  CHECK(reason() == "host *.example.com, example.org does not cover (none)");
  request.host = "www.example.com";
  CHECK(reason() == "path /a* does not cover /b");
  request.path = "/ab";
  CHECK(reason() == "method POST is not GET, HEAD");
  request.method = "HEAD";
  CHECK(reason() == "no header x-beta: 1");
  request.headers = {{"x-beta", "1"}};
  CHECK(reason() == "no header x-gamma");
  request.headers.emplace_back("x-gamma", "anything");
  CHECK(reason() == "no query parameter v=2");
  request.query = "v=2";
  CHECK(reason().empty());
  CHECK(router.why_not(1, request.view()) == "there is no such route");
}

TEST_CASE("a match allocates nothing") {
  reference::Generator generator(3);
  const auto config = generator.config(300);
  const Router router(config);
  std::vector<reference::Request> requests;
  for (int i = 0; i < 500; ++i) requests.push_back(generator.request());
  requests.push_back(get(std::string(8192, '/'), std::string(8192, '.')));
  const uint64_t before = allocations();
  uint32_t sum = 0;
  for (const auto& request : requests) sum += router.match(request.view());
  CHECK(allocations() == before);
  CHECK(sum != 0);
  const std::string counted(100, 'x');  // the counter counts
  CHECK(allocations() == before + 1);
}
