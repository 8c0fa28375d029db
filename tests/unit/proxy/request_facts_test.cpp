// What of a request is believed, and what conditions and keys therefore see.
#include "lb/proxy/request_facts.hpp"

#include "lb/proxy/guard_rules.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace weir::proxy;
using config::KeySpec;

namespace {

constexpr const char* kIdentity = "X-Client-Cert-Subject: CN=ann\r\nX-Client-Cert-Serial: 1f\r\n";

/// A parsed request, and what drop_unbelieved() leaves of it.
struct Asked {
  explicit Asked(const std::string& fields, bool trusted = false, bool certificates = false,
                 const std::string& line = "GET /p?k=q1&x=1&k=q2 HTTP/1.1")
      : text(line + "\r\nHost: a.test\r\n" + fields + "\r\n") {
    REQUIRE(http1::parse_request(text, {}, *head).status == http1::Parse::done);
    drop_unbelieved(*head, trusted, certificates);
    path = {head->path_view(), head->path_view()};
  }
  bool has(std::string_view name, std::string_view value = "*", std::string_view identity = {}) const {
    const BelievedFields fields{*head, identity};
    const auto request = route_request(fields, path, 0);
    return request.has_field(request.fields, name, value);
  }
  std::string key(KeySpec::Kind kind, const std::string& name) const {
    return std::string(key_value({kind, name, {}}, {*head, kIdentity}, path, "192.0.2.1"));
  }
  std::vector<std::string_view> keys(const KeySpec& key, bool more = false) const {
    const KeyValues found = key_values(key, {*head, {}}, path, "192.0.2.1");
    CHECK(found.more == more);
    return {found.all().begin(), found.all().end()};
  }

  std::string text;
  std::unique_ptr<http1::RequestHead> head = std::make_unique<http1::RequestHead>();
  http1::NormalizedPath path;
};

using Strings = std::vector<std::string_view>;

}  // namespace

TEST_CASE("what a stranger says of whom the request is from is nobody's fact") {
  for (const std::string name : {"x-forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-server",
                                 "forwarded", "x-request-id", "x-remote-user", "x-client-cert-subject", "x-real-ip"}) {
    CAPTURE(name);
    CHECK_FALSE(Asked(name + ": 1\r\n").has(name));
    CHECK_FALSE(Asked("X-A: 1\r\nX-REAL-IP: 1\r\n" + name + ": 1\r\n" + name + ": 2\r\n").has(name));
    CHECK(Asked(name + ": 1\r\n", true).has(name, "1") == (name != "x-real-ip"));
    CHECK(Asked(name + ": 1\r\n", true, true).has(name) == (name != "x-real-ip" && name != "x-client-cert-subject"));
  }
  for (const std::string name :
       {"x-forward", "x-client-cer", "x-real-ips", "x-remote-users", "forwarded-for", "x-beta"})
    CHECK(Asked(name + ": 1\r\n").has(name, "1"));
}

TEST_CASE("the certificate's identity is seen as a backend sees it") {
  const Asked forged("X-Client-Cert-Subject: CN=root\r\n", true, true);
  CHECK(forged.has("x-client-cert-subject", "CN=ann", kIdentity));
  CHECK(forged.has("x-client-cert-serial", "1f", kIdentity));
  CHECK_FALSE(forged.has("x-client-cert-subject", "CN=root", kIdentity));
  CHECK_FALSE(forged.has("x-client-cert-issuer", "*", kIdentity));
  CHECK_FALSE(forged.has("x-client-cert-subject"));
  CHECK(forged.key(KeySpec::Kind::header, "x-client-cert-subject") == "CN=ann");
}

TEST_CASE("dropped fields are absent; what is only written anew is not") {
  CHECK_FALSE(Asked("Connection: x-beta\r\nX-Beta: 1\r\n").has("x-beta"));
  CHECK_FALSE(Asked("X_Beta: 1\r\n").has("x_beta"));
  CHECK(Asked("Connection: x-beta\r\nX-Beta: 1\r\n").key(KeySpec::Kind::header, "x-beta").empty());
  CHECK(Asked("Content-Length: 3\r\n").has("content-length", "3"));
  CHECK(Asked("Connection: upgrade\r\nUpgrade: websocket\r\n").has("upgrade", "websocket"));
  CHECK_FALSE(Asked("Upgrade: websocket\r\n").has("upgrade"));
  CHECK_FALSE(Asked("Connection: upgrade\r\nUpgrade: h2c\r\n").has("upgrade"));
  CHECK_FALSE(Asked("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n").has("upgrade"));
  const Asked absolute("", false, false, "GET http://b.test/ HTTP/1.1");
  CHECK(absolute.has("host", "b.test"));
  CHECK_FALSE(absolute.has("host", "a.test"));
}

TEST_CASE("C5 all values of a key count for a limit, each once") {
  const auto header = [](std::string name) { return KeySpec{KeySpec::Kind::header, std::move(name), {}}; };
  const KeySpec cookie{KeySpec::Kind::cookie, "c", {}}, query{KeySpec::Kind::query, "k", {}};
  CHECK(Asked("").keys(header("x-k")) == Strings{""});
  CHECK(Asked("X-K:\r\n").keys(header("x-k")) == Strings{""});
  CHECK(Asked("X-K: a\r\nX-K: b\r\nx-k: a\r\nX-K:\r\n").keys(header("x-k")) == Strings{"a", "b"});
  CHECK(Asked("X-K:\r\nX-K: b\r\n").key(KeySpec::Kind::header, "x-k") == "b");
  CHECK(Asked("X-K: 1\r\nX-K: 2\r\nX-K: 3\r\nX-K: 4\r\nX-K: 4\r\n").keys(header("x-k")).size() == 4);
  CHECK(Asked("X-K: 1\r\nX-K: 2\r\nX-K: 3\r\nX-K: 4\r\nX-K: 5\r\n").keys(header("x-k"), true).size() == 4);
  CHECK(Asked("Connection: x-k\r\nX-K: 1\r\n").keys(header("x-k")) == Strings{""});
  CHECK(Asked("Cookie: c=1; d=2; c=3\r\nCookie: c=; c=4\r\n").keys(cookie) == Strings{"1", "3", "4"});
  CHECK(Asked("").keys(query) == Strings{"q1", "q2"});
  CHECK(Asked("", false, false, "GET /?%6b=a%2Bb&k&kk=1&k=a+b HTTP/1.1").keys(query) == Strings{"a%2Bb", "a+b"});
  const KeySpec first{KeySpec::Kind::first_of, "", {header("x-k"), query, {KeySpec::Kind::client, "", {}}}};
  CHECK(Asked("").keys(first) == Strings{"q1", "q2"});
  CHECK(Asked("X-K: a\r\nX-K: b\r\n").keys(first) == Strings{"a", "b"});
  CHECK(Asked("", false, false, "GET / HTTP/1.1").keys(first) == Strings{"192.0.2.1"});
}

TEST_CASE("a bucket has one value, however a request spells it") {
  using Spelling = KeyValues::Spelling;
  CHECK(rate_bucket("re%61l%20x", Spelling::encoded) == rate_bucket("real x", Spelling::encoded));
  CHECK(rate_bucket("real+x", Spelling::encoded) == rate_bucket("real x", Spelling::one));
  CHECK(rate_bucket("100%", Spelling::encoded) == rate_bucket("100%", Spelling::one));
  CHECK(rate_bucket("a%2", Spelling::encoded) == rate_bucket("a%2", Spelling::one));
  CHECK(rate_bucket("re%61l", Spelling::one) != rate_bucket("real", Spelling::one));
  CHECK(rate_bucket("API.example.com.", Spelling::host) == rate_bucket("api.example.com", Spelling::one));
  CHECK(rate_bucket("API", Spelling::one) != rate_bucket("api", Spelling::one));
}

TEST_CASE("keys of a limit are what backends may take for the same") {
  CHECK(Asked("Cookie: c=\"a\"; c=a\r\n").keys(KeySpec{KeySpec::Kind::cookie, "c", {}}) == Strings{"a"});
  Asked asked("", false, false, "GET /p//a;1 HTTP/1.1");
  asked.path.matched = "/p/a";
  CHECK(asked.keys(KeySpec{KeySpec::Kind::path, "", {}}) == Strings{"/p/a"});
  CHECK(asked.key(KeySpec::Kind::path, "") == "/p//a;1");  // a hash is no limit
}
