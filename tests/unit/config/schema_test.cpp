// The JSON schema accepts what the reader accepts, and the reference in docs/ is the one that the tables give.
#include <boost/json/src.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>

#include "config/yaml.hpp"
#include "tests/unit/config/support.hpp"

namespace json = boost::json;
using namespace weir::config;
using namespace weir::config::test;

namespace {

std::string read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// What an editor makes of a YAML value (YAML 1.2 core schema).
json::value to_json(const Node& node) {
  if (node.kind == Node::Kind::map) {
    json::object object;
    for (const auto& entry : node.entries) object[entry.key] = to_json(entry.value);
    return object;
  }
  if (node.kind == Node::Kind::list) {
    json::array array;
    for (const auto& item : node.items) array.push_back(to_json(item));
    return array;
  }
  if (node.kind == Node::Kind::null) return nullptr;
  if (!node.quoted && (node.text == "true" || node.text == "false")) return node.text == "true";
  if (!node.quoted && std::regex_match(node.text, std::regex("-?[0-9]{1,15}"))) return std::stoll(node.text);
  return json::string(node.text);
}

/// As much of JSON schema as ours uses; an unknown keyword is a failure.
class Validator {
 public:
  explicit Validator(const json::value& root) : root_(root.as_object()) {}
  bool valid(const json::value& value) const { return valid(root_, value); }

 private:
  bool valid(const json::object& schema, const json::value& value) const {
    for (const auto& [keyword, argument] : schema)
      if (!holds(schema, keyword, argument, value)) return false;
    return true;
  }

  bool holds(const json::object& schema, std::string_view keyword, const json::value& argument,
             const json::value& value) const {
    const auto count_valid = [&] {
      size_t count = 0;
      for (const auto& option : argument.as_array()) count += valid(option.as_object(), value);
      return count;
    };
    if (keyword == "anyOf") return count_valid() > 0;
    if (keyword == "oneOf") return count_valid() == 1;
    if (keyword == "not") return !valid(argument.as_object(), value);
    if (keyword == "const") return value == argument;
    if (keyword == "enum")
      return std::find(argument.as_array().begin(), argument.as_array().end(), value) != argument.as_array().end();
    if (keyword == "type") return has_type(argument, value);
    if (keyword == "$ref")
      return valid(root_.at("$defs").at(std::string(argument.as_string()).substr(8)).as_object(), value);
    if (keyword == "minimum") return !value.is_int64() || value.as_int64() >= argument.to_number<int64_t>();
    if (keyword == "maximum") return !value.is_int64() || value.as_int64() <= argument.to_number<int64_t>();
    if (keyword == "pattern")
      return !value.is_string() ||
             std::regex_search(std::string(value.as_string()), std::regex(std::string(argument.as_string())));
    if (keyword == "items")
      return !value.is_array() || std::all_of(value.as_array().begin(), value.as_array().end(),
                                              [&](const auto& item) { return valid(argument.as_object(), item); });
    if (keyword == "minItems") return !value.is_array() || value.as_array().size() >= argument.to_number<size_t>();
    if (keyword == "maxItems") return !value.is_array() || value.as_array().size() <= argument.to_number<size_t>();
    if (value.is_object()) return holds_object(schema, keyword, argument, value.as_object());
    return is_known(keyword);
  }

  bool holds_object(const json::object& schema, std::string_view keyword, const json::value& argument,
                    const json::object& object) const {
    if (keyword == "minProperties") return object.size() >= argument.to_number<size_t>();
    if (keyword == "maxProperties") return object.size() <= argument.to_number<size_t>();
    if (keyword == "required")
      return std::all_of(argument.as_array().begin(), argument.as_array().end(),
                         [&](const auto& key) { return object.contains(key.as_string()); });
    for (const auto& [key, child] : object) {
      const json::value* properties = schema.if_contains("properties");
      const json::value* known = properties ? properties->as_object().if_contains(key) : nullptr;
      if (keyword == "properties" && known && !valid(known->as_object(), child)) return false;
      if (keyword == "propertyNames" && !valid(argument.as_object(), json::value(key))) return false;
      if (keyword == "additionalProperties" && !known &&
          (argument.is_bool() ? !argument.as_bool() : !valid(argument.as_object(), child)))
        return false;
    }
    return is_known(keyword);
  }

  static bool is_known(std::string_view keyword) {
    for (const char* known : {"$schema", "$defs", "title", "description", "default", "properties",
                              "additionalProperties", "propertyNames", "required", "minProperties", "maxProperties"})
      if (keyword == known) return true;
    return false;
  }

  static bool has_type(const json::value& type, const json::value& value) {
    if (type.is_array())
      return std::any_of(type.as_array().begin(), type.as_array().end(),
                         [&](const auto& one) { return has_type(one, value); });
    const json::string& name = type.as_string();
    return (name == "object" && value.is_object()) || (name == "array" && value.is_array()) ||
           (name == "string" && value.is_string()) || (name == "boolean" && value.is_bool()) ||
           ((name == "integer" || name == "number") && value.is_int64());
  }

  const json::object root_;
};

bool schema_accepts(const std::string& text) {
  static const Validator validator(json::parse(json_schema(), {}, {.max_depth = 100}));
  std::vector<Finding> problems;
  const auto tree = parse_yaml(text, 0, problems);
  REQUIRE(tree);
  return validator.valid(to_json(*tree));
}

}  // namespace

TEST_CASE("the JSON schema accepts good files") {
  CHECK(schema_accepts(kMinimal));
  CHECK(schema_accepts(read(source_folder() + "tests/unit/config/full.yaml")));
  CHECK(schema_accepts("workers: ${N}\ndrain_delay: \"${D:-5s}\"\n" + kMinimal));
  CHECK(schema_accepts(
      replaced(kMinimal, "{ backends", "{ eject: false, health: false, retry: false, balance: random, backends")));
}

TEST_CASE("the JSON schema refuses what an editor should underline") {
  for (const char* line :
       {"workrs: 2", "workers: many", "workers: 300", "drain_delay: 5", "drain_delay: 5sec", "secret: []",
        "limits: { memory: 1GB }", "http: { expose: yes }", "http: { underscores: maybe }",
        "pools: { \"a b\": { backends: {} } }", "pools: { a: {} }", "pools: { a: { balance: magic, backends: {} } }",
        "keys: { k: { cookie: a, header: b } }", "error_pages: { 200: x }", "trusted_proxies: 10.0.0.0/8",
        "routes: [ { redirect: { status: 300 } } ]"}) {
    INFO(line);
    CHECK_FALSE(schema_accepts(line));
  }
}

TEST_CASE("the JSON schema carries help and defaults") {
  const json::value schema = json::parse(json_schema(), {}, {.max_depth = 100});
  CHECK(schema.at("$schema").as_string() == "https://json-schema.org/draft/2020-12/schema");
  const json::value& connect = schema.at("properties")
                                   .at("pools")
                                   .at("additionalProperties")
                                   .at("properties")
                                   .at("timeout")
                                   .at("properties")
                                   .at("connect");
  CHECK(connect.at("default").as_string() == "5s");
  const json::value& retry =
      schema.at("properties").at("pools").at("additionalProperties").at("properties").at("retry").at("anyOf").at(1);
  CHECK(json::serialize(retry.at("properties").at("when").at("default")) == R"(["connect","reset"])");
  CHECK(schema.at("properties").at("limits").at("properties").at("header_count").at("default") == json::value(100));
  CHECK_FALSE(connect.at("description").as_string().empty());
}

TEST_CASE("docs/configuration.md is what the tables say") {
  const std::string path = source_folder() + "docs/configuration.md";
  if (std::getenv("WEIR_UPDATE_DOCS")) std::ofstream(path) << reference_markdown();
  INFO("WEIR_UPDATE_DOCS=1 unit_config writes it again");
  CHECK((read(path) == reference_markdown()));
}
