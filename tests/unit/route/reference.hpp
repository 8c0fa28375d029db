// The routing rules once more, written as plainly as they can be and with nothing of lb/route: what the router is
// compared with.
#pragma once
#include <algorithm>
#include <cctype>
#include <string>
#include <utility>
#include <vector>

#include "config/model.hpp"
#include "lb/base/rng.hpp"
#include "lb/route/router.hpp"

namespace reference {

using weir::config::Config;
using weir::config::Match;
using Pairs = std::vector<std::pair<std::string, std::string>>;

/// A request that owns its text.
struct Request {
  uint32_t listener = 0;
  std::string method = "GET", host = "example.com", path = "/", query;
  Pairs headers;  // names in lower case

  weir::route::Request view() const {
    return {listener,
            method,
            host,
            path,
            query,
            &headers,
            [](const void* fields, std::string_view name, std::string_view value) {
              for (const auto& header : *static_cast<const Pairs*>(fields))
                if (header.first == name && (value == "*" || header.second == value)) return true;
              return false;
            }};
  }
};

inline std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

inline bool host_matches(std::string pattern, std::string host) {
  pattern = lower(pattern);
  host = lower(host);
  if (!pattern.empty() && pattern.back() == '.') pattern.pop_back();
  if (!host.empty() && host.back() == '.') host.pop_back();
  if (pattern.substr(0, 2) != "*.") return pattern == host;
  const std::string suffix = pattern.substr(1);
  return host.size() > suffix.size() && host.substr(host.size() - suffix.size()) == suffix;
}

/// By characters, backtracking nowhere: `{name}` takes all up to the next slash.
inline bool path_matches(const std::string& pattern, const std::string& path) {
  if (pattern.empty()) return true;
  if (pattern.size() >= 2 && pattern.substr(pattern.size() - 2) == "/*") {
    const std::string base = pattern.substr(0, pattern.size() - 2);
    for (size_t cut = 0; cut <= path.size(); ++cut) {
      const bool at_segment = cut == path.size() || path[cut] == '/';
      if (at_segment && (base.empty() ? cut == 0 : path_matches(base, path.substr(0, cut)))) return true;
    }
    return false;
  }
  const bool prefix = pattern.back() == '*';
  size_t p = 0, i = 0;
  while (p < pattern.size() - (prefix ? 1 : 0)) {
    const size_t close = pattern[p] == '{' && p > 0 && pattern[p - 1] == '/' ? pattern.find('}', p) : pattern.npos;
    if (close != pattern.npos && close > p + 1 && (close + 1 == pattern.size() || pattern[close + 1] == '/')) {
      const size_t begin = i;
      while (i < path.size() && path[i] != '/') ++i;
      if (i == begin) return false;
      p = close + 1;
    } else {
      if (i == path.size() || path[i] != pattern[p]) return false;
      ++i;
      ++p;
    }
  }
  return prefix || i == path.size();
}

/// No escapes here; those have tests of their own.
inline bool query_matches(const std::pair<std::string, std::string>& wanted, const std::string& query) {
  for (size_t begin = 0; begin <= query.size();) {
    const size_t end = std::min(query.find('&', begin), query.size());
    const std::string parameter = query.substr(begin, end - begin);
    const size_t equals = std::min(parameter.find('='), parameter.size());
    const std::string value = equals < parameter.size() ? parameter.substr(equals + 1) : "";
    if (!parameter.empty() && parameter.substr(0, equals) == wanted.first &&
        (wanted.second == "*" || wanted.second == value))
      return true;
    begin = end + 1;
  }
  return false;
}

inline bool matches(const Config& config, const Match& match, const Request& request) {
  const auto any_of = [](const auto& list, auto holds) {
    return list.empty() || std::any_of(list.begin(), list.end(), holds);
  };
  const auto all_of = [](const auto& list, auto holds) { return std::all_of(list.begin(), list.end(), holds); };
  return any_of(match.listeners, [&](const auto& name) { return config.listeners[request.listener].name == name; }) &&
         any_of(match.hosts, [&](const auto& host) { return host_matches(host, request.host); }) &&
         path_matches(match.path, request.path) &&
         any_of(match.methods, [&](const auto& method) { return method == request.method; }) &&
         all_of(match.headers,
                [&](const auto& wanted) {
                  return std::any_of(request.headers.begin(), request.headers.end(), [&](const auto& header) {
                    return header.first == wanted.first && (wanted.second == "*" || header.second == wanted.second);
                  });
                }) &&
         all_of(match.query, [&](const auto& wanted) { return query_matches(wanted, request.query); });
}

inline uint32_t first_match(const Config& config, const Request& request) {
  for (uint32_t i = 0; i < config.routes.size(); ++i)
    if (matches(config, config.routes[i].match, request)) return i;
  return weir::route::kNoRoute;
}

/// Random configurations and requests from a small alphabet, so that patterns overlap, nest and collide all the time.
class Generator {
 public:
  explicit Generator(uint64_t seed) : rng_(seed) {}

  Config config(uint32_t routes) {
    Config config;
    for (const char* name : {"web", "internal", "admin"}) config.listeners.emplace_back().name = name;
    for (uint32_t i = 0; i < routes; ++i) config.routes.emplace_back().match = match();
    return config;
  }
  Match match() {
    Match match;
    if (chance(20)) some(match.listeners, 2, {"web", "internal", "admin"});
    if (chance(60)) {
      some(
          match.hosts, 3,
          {"a.com", "b.com", "x.a.com", "*.a.com", "*.x.a.com", "*.com", "*.b.com", "com", "*.X.A.com.", "y.x.a.com."});
    }
    if (chance(85)) match.path = pattern();
    if (chance(25)) some(match.methods, 3, {"GET", "POST", "PUT", "get"});
    if (chance(15)) match.headers.emplace_back(pick({"x-a", "x-b"}), pick({"1", "2", "*"}));
    if (chance(15)) match.query.emplace_back(pick({"v", "w"}), pick({"1", "2", "*", ""}));
    if (chance(5)) match.headers.emplace_back(pick({"x-a", "x-b"}), pick({"1", "2", "*"}));
    return match;
  }
  Request request() {
    Request request;
    request.listener = below(3);
    request.method = pick({"GET", "GET", "POST", "PUT", "get", "DELETE"});
    request.host = pick({"a.com", "A.COM", "b.com", "x.a.com", "y.x.a.com", "z.y.x.a.com.", "xa.com", "com", "a.com.",
                         "", ".a.com", "c.org", "q.b.com"});
    request.path = chance(2) ? pick({"*", ""}) : path();
    while (chance(40))
      request.query +=
          (request.query.empty() ? "" : "&") + pick({"v=1", "v=2", "w=1", "w", "v=", "vv=1", "", "=", "w=2"});
    while (chance(40)) request.headers.emplace_back(pick({"x-a", "x-b", "x-c"}), pick({"1", "2", "3", ""}));
    return request;
  }
  /// As the router gets it: no path is empty, and // is merged into /.
  Request real_request() {
    auto request = this->request();
    for (size_t at; (at = request.path.find("//")) != std::string::npos;) request.path.erase(at, 1);
    if (request.path.empty()) request.path = "/";
    return request;
  }
  std::string pattern() {
    std::string text;
    for (uint32_t left = below(4); left > 0; --left) text += "/" + pick({"a", "b", "ab", "abc", "{id}", "{x}"});
    switch (below(4)) {
      case 0: return text + "/*";
      case 1: return text + "/" + pick({"a", "ab", "abc", "b", "aba"}) + "*";
      case 2: return text.empty() || chance(20) ? text + "/" : text;
      default: return text.empty() ? "/" : text;
    }
  }
  std::string path() {
    std::string text;
    for (uint32_t left = below(5); left > 0; --left)
      text += "/" + pick({"a", "b", "ab", "abc", "abab", "c", "", "{id}"});
    return text.empty() || chance(10) ? text + "/" : text;
  }
  uint32_t below(uint32_t n) { return rng_.below(n); }
  bool chance(uint32_t percent) { return rng_.below(100) < percent; }
  std::string pick(std::vector<std::string> values) { return values[rng_.below(static_cast<uint32_t>(values.size()))]; }

 private:
  void some(std::vector<std::string>& out, uint32_t most, const std::vector<std::string>& values) {
    for (uint32_t left = 1 + below(most); left > 0; --left) out.push_back(pick(values));
  }
  weir::Rng rng_;
};

}  // namespace reference
