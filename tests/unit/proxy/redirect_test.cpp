#include "lb/proxy/redirect.hpp"

#include "tests/catch.hpp"

using namespace weir;
using proxy::redirect_location;

namespace {

config::Redirect to(std::string scheme, std::string host, std::string path) {
  return {301, std::move(scheme), std::move(host), std::move(path)};
}

}  // namespace

TEST_CASE("a redirect keeps what it doesn't name") {
  CHECK(redirect_location(to("", "new.example", ""), "http", "old.example", "/a%20b", "x=%41") ==
        "http://new.example/a%20b?x=%41");
  CHECK(redirect_location(to("", "", "/new"), "http", "h.example:8080", "/old", "q=1") ==
        "http://h.example:8080/new?q=1");
  CHECK(redirect_location(to("", "", "/new"), "http", "h", "/old", std::nullopt) == "http://h/new");
  CHECK(redirect_location(to("", "", "/new"), "http", "h", "/old", "") == "http://h/new?");
  CHECK(redirect_location(to("https", "", ""), "http", "h", "//evil.example/", std::nullopt) ==
        "https://h//evil.example/");
}

TEST_CASE("a path with a query of its own replaces the request's") {
  CHECK(redirect_location(to("", "", "/new?a=1"), "http", "h", "/old", "q=1") == "http://h/new?a=1");
  CHECK(redirect_location(to("", "", "/new?"), "http", "h", "/old", "q=1") == "http://h/new");
}

TEST_CASE("another scheme drops the port of the request, which belongs to the old one") {
  CHECK(redirect_location(to("https", "", ""), "http", "h:80", "/", std::nullopt) == "https://h/");
  CHECK(redirect_location(to("https", "", ""), "http", "h:8080", "/", std::nullopt) == "https://h/");
  CHECK(redirect_location(to("https", "", ""), "http", "[::1]:8080", "/", std::nullopt) == "https://[::1]/");
  CHECK(redirect_location(to("https", "", ""), "http", "[::1]", "/", std::nullopt) == "https://[::1]/");
  CHECK(redirect_location(to("https", "h:8443", ""), "http", "h:8080", "/", std::nullopt) == "https://h:8443/");
  CHECK(redirect_location(to("http", "", "/x"), "http", "h:8080", "/", std::nullopt) == "http://h:8080/x");
}
