#include "lb/base/own_fields.hpp"

#include <algorithm>

namespace weir {

namespace {

constexpr char fold(char c) { return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool is(std::string_view name, std::string_view known) {
  return std::equal(name.begin(), name.end(), known.begin(), known.end(),
                    [](char given, char wanted) { return fold(given) == wanted; });
}

bool begins(std::string_view name, std::string_view known) { return is(name.substr(0, known.size()), known); }

}  // namespace

OwnField own_field(std::string_view name) {
  if (is(name, "forwarded")) return OwnField::forwarding;
  if (!begins(name, "x-")) return OwnField::none;
  if (begins(name, "x-forwarded-") || is(name, "x-forwarded") || is(name, "x-request-id") || is(name, "x-remote-user"))
    return OwnField::forwarding;
  if (begins(name, "x-client-cert-")) return OwnField::certificate;
  return is(name, "x-real-ip") ? OwnField::address : OwnField::none;
}

}  // namespace weir
