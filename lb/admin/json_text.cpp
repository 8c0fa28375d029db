#include "lb/admin/json_text.hpp"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <cmath>

namespace weir::admin {
namespace {

namespace json = boost::json;

constexpr size_t kLine = 100;

std::string decimal(double number) {
  if (!std::isfinite(number)) return "null";
  std::string text = fmt::format("{:.3f}", number);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text == "-0" ? "0" : text;
}

void append(const json::value& value, size_t indent, std::string& out);

/// Calls `each` on (key or null, member) of an object or array.
template <typename Each>
void members(const json::value& value, Each each) {
  if (const auto* object = value.if_object())
    for (const auto& member : *object) each(&member, member.value());
  if (const auto* array = value.if_array())
    for (const auto& member : *array) each(static_cast<const json::key_value_pair*>(nullptr), member);
}

bool is_container(const json::value& value) { return value.is_object() || value.is_array(); }

void append_members(const json::value& value, size_t indent, bool one_line, std::string& out) {
  const std::string line_end = one_line ? "" : "\n" + std::string(indent + 2, ' ');
  bool first = true;
  members(value, [&](const json::key_value_pair* member, const json::value& inner) {
    if (!first) out += one_line ? ", " : ",";
    first = false;
    out += line_end;
    if (member) out += json::serialize(json::string_view(member->key())) + ": ";
    append(inner, indent + 2, out);
  });
}

void append_container(const json::value& value, size_t indent, std::string& out) {
  bool nested = false, empty = true;
  members(value, [&](const json::key_value_pair*, const json::value& inner) {
    nested = nested || is_container(inner);
    empty = false;
  });
  const char* brackets = value.is_object() ? "{}" : "[]";
  const size_t start = out.size();
  out += brackets[0];
  if (!nested) append_members(value, indent, true, out);
  if (nested || out.size() - start > kLine) {
    out.resize(start + 1);
    append_members(value, indent, false, out);
    if (!empty) out += "\n" + std::string(indent, ' ');
  }
  out += brackets[1];
}

void append(const json::value& value, size_t indent, std::string& out) {
  if (is_container(value)) return append_container(value, indent, out);
  out += value.is_double() ? decimal(value.get_double()) : json::serialize(value);
}

}  // namespace

std::string json_text(const json::value& value) {
  std::string out;
  append(value, 0, out);
  return out += '\n';
}

}  // namespace weir::admin
