// `routes:`.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "config/rules.hpp"
#include "config/section.hpp"
#include "config/tables.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

// ---- what a route matches ----

void remember_listeners(Reader& in, const Node& node, Match& match) {
  one_or_more(text("name of a listener", rules::line))->read(in, node, match.listeners);
  const size_t route = in.route_places.size() - 1;
  if (node.kind == Node::Kind::scalar) in.listener_uses.push_back({node.at, node.text, route});
  for (const auto& item : node.items)
    if (item.kind == Node::Kind::scalar) in.listener_uses.push_back({item.at, item.text, route});
}

TypeOf<Match> match_section() {
  const auto names = one_or_more(text("name of a listener", rules::line));
  return Section<Match>(
             "match", "What a request must be; all of it must hold. Without `match`, a route takes every request.",
             {custom<Match>(
                  "listener", names->doc(), remember_listeners,
                  [=](const Match& match) { return names->show(match.listeners); }, "Where it came in."),
              key("host", &Match::hosts, one_or_more(text("host, or `*.example.com`", rules::host_pattern)),
                  "Its host, without port. `*.` is any number of labels."),
              key("path", &Match::path,
                  text("path: `/a` exactly, `/a/*` it and all below, `/a*` all that begins so, `{name}` one segment",
                       rules::path_pattern),
                  "Its path."),
              key("method", &Match::methods, one_or_more(text("method", rules::method)), "Its method."),
              key("header", &Match::headers,
                  pairs("map from header to value; `\"*\"` is any value", rules::header_name, rules::header_value),
                  "Headers that it has."),
              key("query", &Match::query,
                  pairs("map from parameter to value; `\"*\"` is any value", rules::line, rules::header_value),
                  "Query parameters that it has."),
              later<Match>("client"), later<Match>("cookie"), later<Match>("key")})
      .example("{ path: \"/api/*\" }");
}

// ---- what becomes of it ----

class RedirectStatus final : public Type<uint16_t> {
 public:
  void read(Reader& in, const Node& node, uint16_t& value) const override {
    const std::string* text = expect_scalar(in, node, "301, 302, 303, 307 or 308");
    if (!text) return;
    for (const uint16_t status : {301, 302, 303, 307, 308})
      if (node.is_plain() && *text == std::to_string(status)) {
        value = status;
        return;
      }
    in.error(node.at,
             fmt::format("{} is no status of a redirect; write 301, 302, 303, 307 or 308", text->substr(0, 32)));
  }
  std::string show(const uint16_t& value) const override { return std::to_string(value); }
  TypeDoc doc() const override {
    return {.text = "301, 302, 303, 307 or 308", .json = R"({"enum":[301,302,303,307,308]})"};
  }
};

std::string redirect_scheme(std::string& text) {
  return text == "http" || text == "https" ? "" : "a redirect goes to http or https; write one of them";
}

TypeOf<Redirect> redirect_section() {
  return Section<Redirect>("redirect", "Sends the client elsewhere; what is not named stays as in the request.",
                           {key("status", &Redirect::status, std::make_shared<RedirectStatus>(),
                                "301 and 308 are remembered by browsers; 307 and 308 keep the method."),
                            key("scheme", &Redirect::scheme, text("`http` or `https`", redirect_scheme),
                                "The new scheme; without `host`, the request's port is dropped."),
                            key("host", &Redirect::host, text("host", rules::host_and_port),
                                "The new host, with a port if it needs one."),
                            key("path", &Redirect::path, text("path", rules::plain_path),
                                "The new path; the request's query stays, unless there is a ? in it.")})
      .after([](Reader& in, const Node& node, Redirect&) {
        if (!node.find("scheme") && !node.find("host") && !node.find("path"))
          in.error(node.at, "this redirects a request to itself; name a scheme, host or path");
      })
      .example("{ status: 301, scheme: https }");
}

TypeOf<Respond> respond_section() {
  return Section<Respond>(
             "respond", "A fixed response.",
             {key("status", &Respond::status, count(200, 599), "Its status."),
              key("body", &Respond::body, text("text", rules::body), "Its body, up to 64 KiB."),
              key("content_type", &Respond::content_type, text("media type", rules::line), "What the body is.")})
      .after([](Reader& in, const Node& node, Respond& respond) {
        const Entry* body = node.find_entry("body");
        if (body && !respond.body.empty() && (respond.status == 204 || respond.status == 304 || respond.status == 205))
          in.error(body->at, fmt::format("a {} has no body; remove it, or write another status", respond.status));
      })
      .example("{ status: 200, body: text }");
}

using Prefix = std::optional<std::pair<std::string, std::string>>;

void read_prefix(Reader& in, const Node& node, Route& route) {
  if (node.kind == Node::Kind::broken) return;
  if (node.kind != Node::Kind::list || node.items.size() != 2)
    return in.error(node.at, "a prefix and its replacement are needed; write [/api, /]");
  const auto path = text("a path", rules::path_prefix);
  std::pair<std::string, std::string> prefix;
  path->read(in, node.items[0], prefix.first);
  path->read(in, node.items[1], prefix.second);
  if (prefix.first.empty() || prefix.second.empty()) return;
  if (prefix.first == prefix.second)
    in.error(node.at, "both are the same, so nothing is rewritten; change one, or remove `rewrite`");
  route.rewrite_prefix = std::move(prefix);
}

TypeOf<Route> rewrite_section() {
  const TypeDoc doc{.text = "`[/old, /new]`",
                    .json = R"({"type":"array","minItems":2,"maxItems":2,"items":{"type":"string","pattern":"^/"}})"};
  const auto show = [](const Route& route) {
    return route.rewrite_prefix ? fmt::format("[{}, {}]", route.rewrite_prefix->first, route.rewrite_prefix->second)
                                : std::string();
  };
  return Section<Route>("rewrite", "Changes the path before it goes to the backend.",
                        {custom<Route>("prefix", doc, read_prefix, show,
                                       "Replaces the beginning of the path, whole segments only.")
                             .required("prefix: [/api, /]")})
      .example("{ prefix: [/api, /] }");
}

TypeOf<HeaderRules> header_section(const char* name, const char* help, std::string (*rule)(std::string&)) {
  const auto map = pairs("map from header to value", rule, rules::header_value, Names::any_case);
  return Section<HeaderRules>(name, help,
                              {key("set", &HeaderRules::set, map, "Replaces the header, Weir's own too, or adds it."),
                               key("add", &HeaderRules::add, map, "Adds one more."),
                               key("remove", &HeaderRules::remove, one_or_more(text("header", rule)),
                                   "Removes the header, Weir's own too.")})
      .example("{ set: { X-Name: value } }");
}

TypeOf<RouteTimeouts> route_timeout_section() {
  using T = RouteTimeouts;
  const auto wait = duration(1ms, 24h).zero_is("off");
  return Section<T>(
             "timeout", "Beats the pool's, key by key.",
             {key("connect", &T::connect, duration(1ms, 10min), "As in the pool."),
              key("response", &T::response, wait, "As in the pool."), key("idle", &T::idle, wait, "As in the pool."),
              key("total", &T::total, wait, "As in the pool."), key("per_try", &T::per_try, wait, "As in the pool."),
              key("tunnel", &T::tunnel, duration(1s, 240h).zero_is("off"), "As in the pool."),
              key("expect", &T::expect, duration(1ms, 10min), "As in the pool.")})
      .example("{ total: 30s }");
}

void read_pool_name(Reader& in, const Node& node, Route& route) {
  const std::string* name = expect_scalar(in, node, "the name of a pool");
  if (!name) return;
  route.pool = *name;
  in.pool_uses.push_back({node.at, *name, in.route_places.size() - 1});
}

void check_route(Reader& in, const Node& node, Route& route) {
  std::vector<const Entry*> ends;
  for (const char* name : {"pool", "redirect", "respond"})
    if (const Entry* entry = node.find_entry(name)) ends.push_back(entry);
  if (ends.empty()) in.error(node.at, "nothing says where requests go; write pool: NAME, or redirect: or respond:");
  if (ends.size() > 1) in.error(ends[1]->at, "a route has only one of pool, redirect and respond; remove the others");
  if (ends.size() == 1 && ends[0]->key != "pool")
    for (const char* name : {"rewrite", "timeout", "slow", "request_headers", "compress"})
      if (const Entry* entry = node.find_entry(name))
        in.warning(entry->at, fmt::format("{} has no effect in a route without a pool", name));
  if (!route.rewrite_prefix || route.match.path.empty()) return;
  const std::string literal = route.match.path.substr(0, route.match.path.find_first_of("*{"));
  const std::string& prefix = route.rewrite_prefix->first;
  const std::string shorter = prefix.substr(0, literal.size());
  if (literal.substr(0, shorter.size()) != shorter)
    in.warning(
        node.find_entry("rewrite")->at,
        fmt::format("no path that matches {} begins with {}, so nothing is rewritten", route.match.path, prefix));
}

TypeOf<Route> route_section() {
  std::vector<Key<Route>> keys{
      key("name", &Route::name, text("name", rules::line),
          "The route's name in logs and metrics; made from host and path if left out."),
      key("match", &Route::match, match_section(), "What it takes."),
      custom<Route>(
          "pool", {.text = "name of a pool", .json = R"({"type":"string"})"}, read_pool_name,
          [](const Route& route) { return route.pool; }, "Where it sends requests."),
      key("redirect", &Route::redirect, redirect_section(), "Or where it sends the client."),
      key("respond", &Route::respond, respond_section(), "Or what it answers."),
      group<Route>("rewrite", rewrite_section(), "Changes the path."),
      key("request_headers", &Route::request_headers,
          header_section("request_headers", "Changes the request's headers.", rules::settable_request_header),
          "Changes what backends get."),
      key("response_headers", &Route::response_headers,
          header_section("response_headers", "Changes the response's headers.", rules::settable_response_header),
          "Changes what clients get."),
      key("timeout", &Route::timeout, route_timeout_section(), "Time-outs of this route."),
      key("slow", &Route::slow, duration(1ms, 24h).zero_is("off"),
          "Beats `log.slow`, for example where long polls are answered late on purpose."),
      key("compress", &Route::compress, compress_section(), "Whether its responses are compressed."),
  };
  keys = std::move(keys) + access_keys();
  for (const char* name : {"cache", "canary", "mirror", "async", "scatter", "affinity", "split"})
    keys.push_back(later<Route>(name));
  return Section<Route>("route", "The first route in the order of the file that matches a request serves it.",
                        std::move(keys))
      .after(check_route)
      .example("{ match: { path: \"/api/*\" }, pool: app }");
}

std::string label_of(const Route& route) {
  if (!route.name.empty()) return route.name;
  const std::string host = route.match.hosts.empty() ? "" : route.match.hosts[0];
  const std::string label = host + route.match.path;
  return label.empty() ? "default" : label.substr(0, 128);
}

// ---- the list ----

class Routes final : public Type<std::vector<Route>> {
 public:
  void read(Reader& in, const Node& node, std::vector<Route>& routes) const override {
    if (node.kind == Node::Kind::map) {
      const Node* pool = node.find("pool");
      const std::string name = pool && pool->kind == Node::Kind::scalar ? pool->text.substr(0, 64) : "NAME";
      return in.error(node.at,
                      fmt::format("a list is needed here, for routes have an order; write [ {{ pool: {} }} ]", name));
    }
    std::map<std::string, Place> named;
    read_list(in, node, false, [&](const Node& item) {
      Trail::Step step(in.trail, fmt::format("route {}", routes.size() + 1), true);
      Route route;
      route.at = in.location(item.at);
      in.route_places.push_back(item.at);
      item_->read(in, item, route);
      if (const Node* name = item.find("name"); name && !route.name.empty() && in.check_name(name->at, route.name)) {
        const auto [first, fresh] = named.emplace(route.name, name->at);
        if (!fresh)
          in.error(name->at, fmt::format("{} is also the name of another route ({}); rename one", route.name,
                                         place_text(in, first->second)));
      }
      routes.push_back(std::move(route));
    });
    give_labels(routes);
  }

  std::string show(const std::vector<Route>&) const override { return {}; }

  TypeDoc doc() const override {
    TypeDoc doc = item_->doc();
    doc.shape = TypeDoc::Shape::list;
    return doc;
  }

  void compare(Changes& out, const std::vector<Route>& before, const std::vector<Route>& after) const override {
    std::map<std::string, size_t> old_ones, new_ones;
    for (size_t i = 0; i < before.size(); ++i) old_ones.emplace(before[i].name, i);
    for (size_t i = 0; i < after.size(); ++i) new_ones.emplace(after[i].name, i);
    for (size_t i = 0; i < before.size(); ++i)
      if (!new_ones.contains(before[i].name)) note(out, i, before[i], "removed");
    size_t last = 0;
    bool moved = false;
    for (size_t i = 0; i < after.size(); ++i) {
      const auto old = old_ones.find(after[i].name);
      if (old == old_ones.end()) {
        note(out, i, after[i], "added");
        continue;
      }
      moved = moved || old->second < last;
      last = std::max(last, old->second);
      Trail::Step step(out.trail, label(i, after[i]), true);
      item_->compare(out, before[old->second], after[i]);
    }
    if (moved) out.lines.emplace_back("routes: their order changed");
  }

 private:
  static std::string place_text(const Reader& in, Place at) {
    const Location location = in.location(at);
    return fmt::format("{}:{}:{}", location.file, location.line, location.column);
  }
  static std::string label(size_t index, const Route& route) {
    return fmt::format("route {} ({})", index + 1, route.name);
  }
  static void note(Changes& out, size_t index, const Route& route, const char* what) {
    Trail::Step step(out.trail, label(index, route), true);
    out.note(what);
  }

  /// Every route gets a label of its own: names first, then host and path, with #2, #3 … behind what is taken.
  static void give_labels(std::vector<Route>& routes) {
    std::set<std::string> taken;
    for (const auto& route : routes)
      if (!route.name.empty()) taken.insert(route.name);
    std::map<std::string, size_t> next;
    for (auto& route : routes) {
      if (!route.name.empty()) continue;
      const std::string base = label_of(route);
      size_t& number = next[base];
      std::string label = number == 0 ? base : fmt::format("{}#{}", base, number + 1);
      while (!taken.insert(label).second) label = fmt::format("{}#{}", base, ++number + 1);
      ++number;
      route.name = std::move(label);
    }
  }

  TypeOf<Route> item_ = route_section();
};

}  // namespace

TypeOf<std::vector<Route>> routes_type() { return std::make_shared<Routes>(); }

}  // namespace weir::config
