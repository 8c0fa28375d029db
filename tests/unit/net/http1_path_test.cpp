// security-rules B6–B10: the two forms of a path.
#include "lb/base/rng.hpp"
#include "tests/unit/net/http1_support.hpp"

using namespace weir;
using namespace weir::http1;

namespace {

struct Forms {
  bool ok;
  std::string forwarded, matched, detail;
};

Forms normalize(const std::string& raw, const PathRules& rules = {}) {
  CAPTURE(raw);
  CHECK(checks::check_path(raw, rules) == "");
  const checks::Exact exact(raw);
  std::string storage = "left from the request before";
  NormalizedPath path;
  const char* detail = "";
  const bool ok = normalize_path(exact.view(), rules, storage, path, detail);
  return {ok, std::string(path.forwarded), std::string(path.matched), detail};
}

void expect(const std::string& raw, const std::string& forwarded, const std::string& matched) {
  const Forms forms = normalize(raw);
  CAPTURE(raw, forms.detail);
  CHECK(forms.ok);
  CHECK(forms.forwarded == forwarded);
  CHECK(forms.matched == matched);
}
void expect(const std::string& raw, const std::string& both) { expect(raw, both, both); }

void refuses_path(const std::string& raw, const PathRules& rules = {}) {
  const Forms forms = normalize(raw, rules);
  CAPTURE(raw);
  CHECK_FALSE(forms.ok);
  CHECK(forms.detail != "");
}

}  // namespace

TEST_CASE("B6 unreserved escapes are decoded, hex is in upper case, nothing else changes") {
  for (const std::string same : {"/",           "/a",
                                 "/a/b/",       "/a.b",
                                 "/a..b",       "/..a",
                                 "/...",        "/a/...",
                                 "/.a",         "/a+b",
                                 "/%20",        "/%3F",
                                 "/%23",        "/%25",
                                 "/%252e",      "/%E2%82%AC",
                                 "/a:b@c",      "/%7C",
                                 "/|",          "/a=b&c",
                                 "/!$&'()*+,=", "/0123456789abcdef0123456789abcdef",
                                 "*",           "/%3B"})
    expect(same, same);
  expect("/%61%2d%7E%5f%30%2E%41", "/a-~_0.A");
  expect("/%e2%82%ac", "/%E2%82%AC");
  expect("/a%2bb%3d", "/a%2Bb%3D");
  expect("/0123456789abcdef/%61", "/0123456789abcdef/a");
}

TEST_CASE("B6 dot segments are removed") {
  const std::pair<const char*, const char*> cases[] = {{"/a/./b", "/a/b"},
                                                       {"/a/../b", "/b"},
                                                       {"/a/b/..", "/a/"},
                                                       {"/a/.", "/a/"},
                                                       {"/.", "/"},
                                                       {"/./", "/"},
                                                       {"/a/..", "/"},
                                                       {"/a/../", "/"},
                                                       {"/a/b/../..", "/"},
                                                       {"/a/b/../../c", "/c"},
                                                       {"/a/%2e/b", "/a/b"},
                                                       {"/a/%2E%2e/b", "/b"},
                                                       {"/a/.%2e/b", "/b"},
                                                       {"/./a/./b/./", "/a/b/"},
                                                       {"/a/b/c/../../d", "/a/d"},
                                                       {"/a/.b/../c", "/a/c"},
                                                       {"/0123456789abcdef/../x", "/x"}};
  for (const auto& [raw, form] : cases) expect(raw, form);
}

TEST_CASE("B7 bad escapes, control bytes and paths above the root are refused") {
  for (const std::string raw : {"/%", "/%0", "/%zz", "/%0g", "/%g0", "/a%", "/a%2", "/%-1", "/%00", "/%0a", "/%0D",
                                "/%1f", "/%7f", "/%7F", "/a/%00/b"})
    refuses_path(raw);
  for (const std::string raw :
       {"/..", "/../", "/../a", "/a/../..", "/a/../../b", "/%2e%2e", "/%2e%2e/a", "/a/.%2e/../../b", "/./.."})
    refuses_path(raw);
  for (const std::string raw : {"", "a", "a/b", "**", "?", "%2f", "./a", "../a"}) refuses_path(raw);
  for (const std::string raw : {"/ ", "/a b", "/\\", "/a?b", "/#", "/\x01", "/\x7f", "/\xc3\xa9", "/a%20\\",
                                "/0123456789abcdef0\\123456789abcdef"})
    refuses_path(raw);
  refuses_path(std::string("/\0", 2));
}

TEST_CASE("B8 escaped slashes are kept, never decoded, never a separator") {
  expect("/api/queues/%2F", "/api/queues/%2F");
  expect("/api/queues/%2f/x", "/api/queues/%2F/x");
  expect("/a%5cb", "/a%5Cb");
  expect("/a%2F%2Fb", "/a%2F%2Fb");
  expect("/a%2fb/../c", "/c");
  expect("/@scope%2fname", "/@scope%2Fname");
  expect("/..a%2f.b", "/..a%2F.b");
  for (const std::string raw : {"/a%2f..%2fb", "/a/..%2f", "/..%5c", "/%2e%2f", "/a%2f.%2fb", "/a%2f..", "/a%5C.",
                                "/%2f..", "/.%2e%2fb", "/x/..%2F..%2Fetc", "/a%2f%2e%2e"})
    refuses_path(raw);
  const PathRules reject{.reject_escaped_slash = true};
  for (const std::string raw : {"/a%2fb", "/a%2F", "/%5c", "/a%5Cb"}) refuses_path(raw, reject);
  CHECK(normalize("/a/%20b", reject).ok);
}

TEST_CASE("B9 empty segments are merged for matching only") {
  expect("//", "//", "/");
  expect("//x", "//x", "/x");
  expect("/a//b", "/a//b", "/a/b");
  expect("/a///b//", "/a///b//", "/a/b/");
  expect("//evil.example/x", "//evil.example/x", "/evil.example/x");
  expect("/a//../b", "/a/b", "/a/b");
  expect("/a/..//b", "//b", "/b");
  expect("/0123456789abcd//x", "/0123456789abcd//x", "/0123456789abcd/x");
  expect("/0123456789abcde//x", "/0123456789abcde//x", "/0123456789abcde/x");
}

TEST_CASE("B10 parameters don't count for matching, or are refused") {
  expect("/a;p=1/b", "/a;p=1/b", "/a/b");
  expect("/a;p", "/a;p", "/a");
  expect("/;p/b;q;r/", "/;p/b;q;r/", "/b/");
  expect("/;", "/;", "/");
  expect("/a;x=%2f/b", "/a;x=%2F/b", "/a/b");
  expect("/a;x/../b", "/b", "/b");
  for (const std::string raw : {"/..;/a", "/a/..;x/b", "/a/.;x", "/a/%2e%2e;/b", "/a%2f..;x"}) refuses_path(raw);
  const PathRules reject{.reject_params = true};
  for (const std::string raw : {"/a;b", "/;", "/a;b/c"}) refuses_path(raw, reject);
  CHECK(normalize("/a%3Bb", reject).ok);
}

TEST_CASE("a path that does not change is not copied") {
  const std::string raw = "/static/app.0123456789.js";
  std::string storage;
  NormalizedPath path;
  const char* detail = "";
  REQUIRE(normalize_path(raw, {}, storage, path, detail));
  CHECK(path.forwarded.data() == raw.data());
  CHECK(path.matched.data() == raw.data());
  CHECK(storage.empty());
}

TEST_CASE("random paths keep the invariants") {
  Rng rng(11);
  constexpr std::string_view kPieces[] = {"/", "/", ".",   "..",  "%2e", "%2F", "%5c", ";",
                                          "a", "b", "%61", "%20", "//",  "%",   "x=1"};
  for (int i = 0; i < 20000; ++i) {
    std::string raw = "/";
    for (uint32_t n = rng.below(12); n > 0; --n) raw += kPieces[rng.below(std::size(kPieces))];
    const std::string broken = checks::check_path(raw, {});
    if (!broken.empty()) FAIL(raw << ": " << broken);
  }
}
