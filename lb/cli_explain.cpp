// `weir explain`.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>

#include "lb/admin/api_json.hpp"
#include "lb/admin/client.hpp"
#include "lb/admin/table.hpp"
#include "lb/cli_admin.hpp"
#include "lb/dev_certificate.hpp"
#include "lb/net/http1.hpp"
#include "lb/proxy/explain.hpp"
#include "lb/route/check.hpp"

namespace weir::cli {
namespace {

namespace json = boost::json;
using namespace admin;

std::string text(const json::value& object, const char* key) {
  const auto& value = object.at(key);
  return value.is_string() ? printable({value.as_string().data(), value.as_string().size()}) : std::string();
}

json::value ask_live(const AdminWords& words, const std::string& method, const std::string& url) {
  std::string path = fmt::format("/api/v1/explain?method={}&url={}", encoded(method), encoded(url));
  if (!words.client.empty()) path += "&client=" + encoded(words.client);
  if (!words.listener.empty()) path += "&listener=" + encoded(words.listener);
  for (const auto& header : words.headers) path += "&header=" + encoded(header);
  return ask(*make_client(words), "GET", path);
}

/// Empty: the configuration is bad, or the words are; `code` says which, and it has been told.
json::value ask_file(const AdminWords& words, const std::string& method, const std::string& url, int& code) {
  auto world = config::Environment::real();
  if (words.dev) imagine_dev_certificate(world);
  const auto loaded = route::load_checked(words.request[0], world);
  for (const auto& error : loaded.errors) fmt::print(stderr, "{}\n", error.to_string());
  if (!loaded.config) {
    code = loaded.unreadable ? 1 : 2;
    return {};
  }
  proxy::StateRegistry registry(1);
  const auto runtime = registry.build(std::make_shared<const config::Config>(*loaded.config), 1);
  for (const auto& pool : runtime->pools) pool->publish();
  proxy::Question question{.method = method, .url = url, .headers = {}, .listener = words.listener, .from_file = true};
  if (!words.client.empty()) question.client = words.client;
  for (const auto& header : words.headers) {
    const size_t colon = header.find(':');
    question.headers.emplace_back(header.substr(0, colon), http1::trim(std::string_view(header).substr(colon + 1)));
  }
  Rng rng(1);  // the same words, the same answer
  const auto told = proxy::explain(*runtime, question, rng);
  if (!told.question.empty()) throw ClientError(told.question);
  return json::parse(explanation_json(told));
}

void print_route(const json::value& told, bool colours) {
  for (const auto& route : told.at("skipped").as_array())
    fmt::print("  {} {} ({}): {}\n", coloured("no ", Colour::dim, colours), text(route, "route"), text(route, "at"),
               text(route, "why"));
  if (told.at("outcome") == "no_route")
    fmt::print("  {}: no route matches\n", coloured("404", Colour::red, colours));
  else
    fmt::print("  {} {} ({})\n", coloured("yes", Colour::green, colours), text(told, "route"), text(told, "route_at"));
}

/// `what`: "connection", "guards". A daemon of an older version doesn't say the first.
json::array guards_of(const json::value& told, const char* what) {
  const auto* guards = told.as_object().if_contains(what);
  return guards ? guards->as_array() : json::array();
}

void print_guards(const json::value& told, const char* what, bool colours) {
  const auto guards = guards_of(told, what);
  if (guards.empty()) return;
  fmt::print("{}:\n", what);
  for (const auto& guard : guards) {
    const std::string verdict = text(guard, "verdict");
    const bool refuses = verdict == "refuses", open = verdict == "open";
    fmt::print("  {} {}: {}\n",
               coloured(refuses ? "no "
                        : open  ? "?  "
                                : "yes",
                        refuses ? Colour::red
                        : open  ? Colour::none
                                : Colour::green,
                        colours),
               text(guard, "rule"), text(guard, "says"));
  }
}

void print_pool(const json::value& told, bool colours) {
  fmt::print("\npool {}, {}{}\n", coloured(text(told, "pool"), Colour::bold, colours), text(told, "algorithm"),
             told.at("panic").as_bool() ? ", in panic: too few are usable, so all serve" : "");
  if (!told.at("key_from").is_null())
    fmt::print("key: {} = {}\n", text(told, "key_from"),
               told.at("key").is_null() ? "(none in this request)" : "\"" + text(told, "key") + "\"");
  if (const auto* affinity = told.as_object().if_contains("affinity"); affinity && !affinity->is_null())
    fmt::print("affinity: {}\n", text(told, "affinity"));
  const size_t width = terminal_width();
  Table table({{""},
               {.title = "BACKEND", .least = 12},
               {.title = "ADDRESS", .dispensable = 1},
               {"STATUS"},
               {"WEIGHT", true, 2},
               {"IN FLIGHT", true},
               {.title = "REASON", .below = 1}});
  for (const auto& backend : told.at("backends").as_array()) {
    const bool candidate = backend.at("candidate").as_bool(), chosen = backend.at("name") == told.at("chosen");
    std::string why = text(backend, "reason");
    if (backend.at("full").as_bool()) why = "full: limits.per_backend";
    if (backend.at("backup").as_bool()) why = why.empty() ? "backup" : "backup; " + why;
    table.add({{chosen      ? "→"
                : candidate ? "·"
                            : "✗"},
               {text(backend, "name"), chosen      ? Colour::green
                                       : candidate ? Colour::none
                                                   : Colour::dim},
               {text(backend, "address")},
               {text(backend, "status")},
               {candidate ? fmt::format("{:g}", backend.at("weight").to_number<double>()) : ""},
               {std::to_string(backend.at("inflight").to_number<uint64_t>())},
               {why, candidate ? Colour::dim : Colour::none}});
  }
  for (const auto& line : table.lines(colours, width ? width - std::min<size_t>(width - 1, 2) : 0))
    fmt::print("  {}\n", line);
  if (told.at("chosen").is_null())
    fmt::print("{}: {}\n", coloured("no backend", Colour::red, colours), text(told, "why"));
  else
    fmt::print("→ {}: {}\n", coloured(text(told, "chosen"), Colour::green, colours), text(told, "why"));
}

void print(const json::value& told) {
  const bool colours = wants_colours();
  const std::string outcome = text(told, "outcome");
  const bool refused = outcome == "refused", routed = !told.at("route").is_null();
  const auto print_refusal = [&](const std::string& why) {
    if (told.at("status").is_null())
      fmt::print("no answer: the handshake fails ({})\n", text(told, "handshake"));
    else
      fmt::print("{} {}{}\n", told.at("status").to_number<int>(), text(told, "cause"), why);
  };
  const auto connection = guards_of(told, "connection");
  const bool by_connection = refused && !connection.empty() && text(connection.back(), "verdict") == "refuses";
  if (refused && !routed && !by_connection) return print_refusal(": " + text(told, "detail"));
  if (text(told, "path").empty()) {
    fmt::print("listener {}, {}client {}\n", text(told, "listener"),
               text(told, "host").empty() ? "" : fmt::format("server name {}, ", text(told, "host")),
               text(told, "client"));
    print_guards(told, "connection", colours);
    if (by_connection) {
      fmt::print("→ ");
      return print_refusal("");
    }
    if (told.at("pool").is_null())
      fmt::print("{}: the listener has no pool for it\n", coloured("cut off", Colour::red, colours));
    else
      print_pool(told, colours);
    return;
  }
  fmt::print("listener {}, host {}, path {}, client {}\n", text(told, "listener"), text(told, "host"),
             text(told, "path"), text(told, "client"));
  print_guards(told, "connection", colours);
  // An older daemon doesn't say it.
  if (const auto* dropped = told.as_object().if_contains("dropped"))
    for (const auto& field : dropped->as_array()) fmt::print("dropped {}\n", std::string_view(field.as_string()));
  if (routed || outcome == "no_route") {
    fmt::print("routes:\n");
    print_route(told, colours);
  }
  print_guards(told, "guards", colours);
  if (refused) {
    fmt::print("→ ");
    return print_refusal(text(told, "detail").empty() ? "" : ": " + text(told, "detail"));
  }
  if (!told.at("pool").is_null() && told.at("path") != told.at("forwarded_path"))
    fmt::print("forwarded as {}\n", text(told, "forwarded_path"));
  if (!told.at("answer").is_null()) fmt::print("→ {}: {}\n", outcome, text(told, "answer"));
  if (!told.at("pool").is_null()) print_pool(told, colours);
}

}  // namespace

int explain(const AdminWords& words) {
  const size_t wanted = words.live ? 2 : 3;
  const bool session = words.request.size() + 1 == wanted && !words.request.empty() &&
                       (words.request.back().starts_with("tcp://") || words.request.back().starts_with("tls://"));
  if (words.request.size() != wanted && !session) {
    fmt::print(stderr,
               "weir: write weir explain {} METHOD URL, like GET http://www.example.com/ (or tcp://NAME:PORT for a TCP "
               "session)\n",
               words.live ? "--live" : "FILE");
    return 2;
  }
  for (const auto& header : words.headers)
    if (const size_t colon = header.find(':'); colon == std::string::npos || colon == 0) {
      fmt::print(stderr, "weir: -H \"{}\": a field has a colon; write \"NAME: VALUE\"\n", printable(header));
      return 2;
    }
  const std::string method = session ? "GET" : words.request[wanted - 2], &url = words.request.back();
  int code = 0;
  const auto told = words.live ? ask_live(words, method, url) : ask_file(words, method, url, code);
  if (code) return code;
  if (words.json)
    fmt::print("{}\n", json::serialize(told));
  else
    print(told);
  const auto outcome = text(told, "outcome");
  return outcome == "forwarded" || outcome == "redirect" || outcome == "respond" ? 0 : 1;
}

}  // namespace weir::cli
