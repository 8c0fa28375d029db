#include "lb/route/conditions.hpp"

#include <algorithm>

#include "lb/route/query.hpp"

namespace weir::route {
namespace {

/// Each that `ours` asks for is asked for by `theirs` too.
bool implied(const Conditions::Pairs& ours, const Conditions::Pairs& theirs) {
  return std::all_of(ours.begin(), ours.end(), [&](const auto& own) {
    return std::any_of(theirs.begin(), theirs.end(), [&](const auto& other) {
      return other.first == own.first && (own.second == "*" || own.second == other.second);
    });
  });
}

template <typename T>
bool contains(const std::vector<T>& values, const auto& wanted) {
  return std::find(values.begin(), values.end(), wanted) != values.end();
}

}  // namespace

bool query_has(std::string_view query, std::string_view name, std::string_view value) {
  while (!query.empty()) {
    const auto parameter = query.substr(0, query.find('&'));
    const size_t equals = std::min(parameter.find('='), parameter.size());
    if (decoded_equals(parameter.substr(0, equals), name)) {
      const auto actual = equals < parameter.size() ? parameter.substr(equals + 1) : std::string_view();
      if (value == "*" || decoded_equals(actual, value)) return true;
    }
    query.remove_prefix(std::min(parameter.size() + 1, query.size()));
  }
  return false;
}

Conditions::Conditions(const config::Match& match, const std::vector<config::Listener>& all_listeners)
    : path(match.path),
      any_listener(match.listeners.empty()),
      methods(match.methods),
      headers(match.headers),
      query(match.query) {
  for (const auto& host : match.hosts) hosts.emplace_back(host);
  if (std::any_of(hosts.begin(), hosts.end(), [](const auto& host) { return host.kind() == HostPattern::Kind::any; })) {
    hosts.clear();
  }
  for (uint32_t i = 0; i < all_listeners.size(); ++i)
    if (contains(match.listeners, all_listeners[i].name)) listeners.push_back(i);
}

bool Conditions::host_holds(std::string_view folded_host) const {
  return hosts.empty() ||
         std::any_of(hosts.begin(), hosts.end(), [&](const auto& host) { return host.matches(folded_host); });
}

bool Conditions::listener_holds(uint32_t listener) const { return any_listener || contains(listeners, listener); }

bool Conditions::method_holds(std::string_view method) const { return methods.empty() || contains(methods, method); }

const std::pair<std::string, std::string>* Conditions::missing_header(const Request& request) const {
  for (const auto& header : headers) {
    if (!request.has_field || !request.has_field(request.fields, header.first, header.second)) return &header;
  }
  return nullptr;
}

const std::pair<std::string, std::string>* Conditions::missing_query(const Request& request) const {
  for (const auto& parameter : query)
    if (!query_has(request.query, parameter.first, parameter.second)) return &parameter;
  return nullptr;
}

bool Conditions::cover(const Conditions& other, size_t listener_count) const {
  if (!path.covers(other.path)) return false;
  if (!hosts.empty()) {
    if (other.hosts.empty()) return false;
    for (const auto& theirs : other.hosts) {
      if (std::none_of(hosts.begin(), hosts.end(), [&](const auto& own) { return own.covers(theirs); })) return false;
    }
  }
  if (!any_listener) {
    if (other.any_listener && listeners.size() < listener_count) return false;
    for (const uint32_t listener : other.listeners)
      if (!contains(listeners, listener)) return false;
  }
  if (!methods.empty()) {
    if (other.methods.empty()) return false;
    for (const auto& method : other.methods)
      if (!contains(methods, method)) return false;
  }
  return implied(headers, other.headers) && implied(query, other.query);
}

}  // namespace weir::route
