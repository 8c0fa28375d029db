#include "lb/admin/json_text.hpp"

#include <boost/json/parse.hpp>

#include "tests/catch.hpp"

using weir::admin::json_text;
namespace json = boost::json;

TEST_CASE("numbers are plain decimals") {
  const json::array numbers{1.0, 0.0, 1.5, 2.4854999, -0.0001, 1e6, 10, uint64_t{18446744073709551615u}, -3};
  CHECK(json_text(numbers) == "[1, 0, 1.5, 2.485, 0, 1000000, 10, 18446744073709551615, -3]\n");
}

TEST_CASE("short things stay on their line, others are indented") {
  json::object inner{{"p50", nullptr}, {"p\"99", "a\nb"}};
  CHECK(json_text(inner) == "{\"p50\": null, \"p\\\"99\": \"a\\nb\"}\n");
  const json::object outer{{"empty", json::array{}}, {"list", json::array{inner, inner}}, {"last", true}};
  CHECK(json_text(outer) ==
        "{\n  \"empty\": [],\n  \"list\": [\n    {\"p50\": null, \"p\\\"99\": \"a\\nb\"},\n    {\"p50\": null, "
        "\"p\\\"99\": "
        "\"a\\nb\"}\n  ],\n  \"last\": true\n}\n");
  CHECK(json_text(json::object{}) == "{}\n");
}

TEST_CASE("what is too long for a line is read back the same") {
  json::object wide;
  for (int i = 0; i < 40; ++i) wide["member_" + std::to_string(i)] = i;
  const json::array all{wide, json::array{json::array{}, wide}};
  CHECK(json::parse(json_text(all)) == all);
}
