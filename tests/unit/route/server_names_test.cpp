#include "lb/route/server_names.hpp"

#include "tests/catch.hpp"

using weir::route::ServerNames;

TEST_CASE("the pool of a server name") {
  ServerNames names;
  CHECK(names.find("a.test") == ServerNames::kNone);
  names.add("www.example.com", 1);
  names.add("*.example.com", 2);
  names.add("*.eu.example.com", 3);
  CHECK(names.find("www.example.com") == 1);
  CHECK(names.find("api.example.com") == 2);
  CHECK(names.find("a.b.example.com") == 2);
  CHECK(names.find("a.eu.example.com") == 3);
  CHECK(names.find("eu.example.com") == 2);
  CHECK(names.find("example.com") == ServerNames::kNone);
  CHECK(names.find("notexample.com") == ServerNames::kNone);
  CHECK(names.find("") == ServerNames::kNone);
  CHECK(names.find(".example.com") == 2);
  CHECK(names.find("example.com.") == ServerNames::kNone);
}
