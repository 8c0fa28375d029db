// The JSON schema, from the same tables that read the file.
#include <fmt/format.h>

#include <algorithm>

#include "config/load.hpp"
#include "config/tables.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

/// Whatever stands in a file may be `${NAME}` instead, of which an editor can't know what it will be.
std::string or_variable(const std::string& json) {
  if (json.find(R"("type":"string"})") != std::string::npos && json.starts_with(R"({"type":"string"})")) return json;
  return fmt::format(R"({{"anyOf":[{},{{"$ref":"#/$defs/variable"}}]}})", json);
}

std::string schema_of(const SectionDoc& section);

std::string schema_of(const TypeDoc& type) {
  if (type.shape == TypeDoc::Shape::value) return or_variable(type.json);
  std::string section = schema_of(*type.section);
  if (!type.json.empty())
    section = fmt::format(R"({{"anyOf":[{},{},{{"$ref":"#/$defs/variable"}}]}})", type.json, section);
  if (type.shape == TypeDoc::Shape::list) return fmt::format(R"({{"type":"array","items":{}}})", section);
  if (type.shape == TypeDoc::Shape::named)
    return fmt::format(R"({{"type":"object","propertyNames":{{"$ref":"#/$defs/name"}},"additionalProperties":{}}})",
                       section);
  return section;
}

/// A default, written in YAML, as JSON.
std::string json_of(const std::string& text) {
  if (text == "true" || text == "false" || text.find_first_not_of("0123456789") == std::string::npos) return text;
  if (!text.starts_with('[') || !text.ends_with(']')) return json_quote(text);
  std::string list;
  for (size_t start = 1; start < text.size();) {
    const size_t end = std::min(text.find(", ", start), text.size() - 1);
    list += (list.empty() ? "" : ",") + json_of(text.substr(start, end - start));
    start = end + 2;
  }
  return "[" + list + "]";
}

std::string schema_of(const KeyDoc& key) {
  if (key.later) return R"({"not":{},"description":"Not supported yet."})";
  std::string json = schema_of(key.type);
  json.pop_back();
  json += fmt::format(R"(,"description":{})", json_quote(key.help));
  if (!key.default_text.empty()) json += fmt::format(R"(,"default":{})", json_of(key.default_text));
  return json + "}";
}

std::string schema_of(const SectionDoc& section) {
  std::string properties, required;
  for (const auto& key : section.keys) {
    properties += fmt::format("{}{}:{}", properties.empty() ? "" : ",", json_quote(key.name), schema_of(key));
    if (key.required) required += (required.empty() ? "" : ",") + json_quote(key.name);
  }
  std::string one_of;
  for (const auto& name : section.one_of)
    one_of += fmt::format(R"({}{{"required":[{}]}})", one_of.empty() ? "" : ",", json_quote(name));
  return fmt::format(R"({{"type":"object","additionalProperties":false,{}{}"properties":{{{}}}}})",
                     required.empty() ? "" : fmt::format(R"("required":[{}],)", required),
                     one_of.empty() ? "" : fmt::format(R"("anyOf":[{}],)", one_of), properties);
}

/// Line breaks and indentation; the text holds no blanks outside strings.
std::string indent(const std::string& json) {
  std::string out;
  size_t depth = 0;
  bool quoted = false;
  const auto newline = [&] { out += '\n' + std::string(depth * 2, ' '); };
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (quoted) {
      out += c;
      if (c == '\\') {
        out += json[++i];
      } else {
        quoted = c != '"';
      }
    } else if (c == '{' || c == '[') {
      out += c;
      if (json[i + 1] == '}' || json[i + 1] == ']') continue;
      ++depth;
      newline();
    } else if (c == '}' || c == ']') {
      if (json[i - 1] != '{' && json[i - 1] != '[') {
        --depth;
        newline();
      }
      out += c;
    } else {
      out += c;
      quoted = c == '"';
      if (c == ',') newline();
      if (c == ':') out += ' ';
    }
  }
  return out;
}

}  // namespace

std::string json_schema() {
  std::string root = schema_of(*root_section().doc().section);
  root.erase(0, 1);
  return indent(
             R"({"$schema":"https://json-schema.org/draft/2020-12/schema","title":"Weir configuration",)"
             R"("$defs":{"name":{"type":"string","pattern":"^[A-Za-z0-9_.-]{1,64}$"},"variable":{"type":"string","pattern":"\\$\\{"}},)" +
             root) +
         "\n";
}

}  // namespace weir::config
