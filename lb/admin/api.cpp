#include "lb/admin/api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "config/suggest.hpp"
#include "lb/admin/api_json.hpp"
#include "lb/admin/assets.hpp"
#include "lb/base/escape.hpp"
#include "lb/base/log.hpp"

namespace weir::admin {
namespace {

std::string_view title(uint16_t status) {
  switch (status) {
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 422: return "Unprocessable Content";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    default: return "Error";
  }
}

Reply json_reply(std::string body) { return {200, "application/json", std::move(body)}; }

bool only_reads(std::string_view method) { return method == "GET" || method == "HEAD"; }

/// Where a backend stands, or why there is none of that name.
struct Place {
  const PoolEntry* pool = nullptr;
  size_t index = 0;
  std::optional<Reply> missing;

  std::vector<net::OlderShare> older(const Control& control) const {
    return control.older ? control.older(pool->state->name, pool->backends[index]->name)
                         : std::vector<net::OlderShare>();
  }
};

Place find_backend(const Inventory& inventory, std::string_view pool, std::string_view name) {
  std::vector<std::string> pools, backends;
  bool known = false;
  for (const auto& entry : inventory.pools) {
    pools.push_back(entry.state->name);
    if (entry.state->name != pool) continue;
    known = true;
    for (size_t i = 0; i < entry.backends.size(); ++i) {
      if (entry.backends[i]->name == name) return {&entry, i, {}};
      backends.push_back(entry.backends[i]->name);
    }
  }
  if (!known)
    return {nullptr, 0,
            problem(404, fmt::format("there is no pool \"{}\"{}", pool.substr(0, 64),
                                     config::suggest_and_list(pool, pools, "the pools are")))};
  return {nullptr, 0,
          problem(404, fmt::format("pool {} has no backend \"{}\"{}", pool, name.substr(0, 64),
                                   config::suggest_and_list(name, backends, "its backends are")))};
}

std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> parts;
  while (path.starts_with('/')) {
    path.remove_prefix(1);
    const size_t end = std::min(path.find('/'), path.size());
    parts.push_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return parts;
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];  // as forms, curl and URLSearchParams write a blank
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> query_values(std::string_view query, std::string_view name) {
  std::vector<std::string> values;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    const size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) == name) values.push_back(decoded(pair.substr(std::min(equals + 1, pair.size()))));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
  }
  return values;
}

std::string query_value(std::string_view query, std::string_view name) {
  const auto values = query_values(query, name);
  return values.empty() ? std::string() : values.front();
}

Reply problem(uint16_t status, std::string_view detail, std::string_view more) {
  std::string body =
      fmt::format(R"({{"type":"about:blank","title":"{}","status":{},"detail":")", title(status), status);
  append_escaped(detail, EscapeStyle::json, body);
  body += '"';
  if (!more.empty()) body += fmt::format(",{}", more);
  body += "}\n";
  return {status, "application/problem+json", std::move(body)};
}

Reply Api::ready() const {
  if (sources_.process.draining) return {503, "text/plain; charset=utf-8", "draining\n"};
  if (!sources_.process.ready) return {503, "text/plain; charset=utf-8", "first health checks pending\n"};
  return {200, "text/plain; charset=utf-8", "ready\n"};
}

Reply Api::reload(std::string_view query) const {
  using Kind = ReloadOutcome::Kind;
  const std::string dry = query_value(query, "dry_run");
  if (!dry.empty() && dry != "true" && dry != "false") return problem(400, "dry_run is true or false");
  const ReloadOutcome outcome = sources_.control.reload(dry == "true");
  if (outcome.kind == Kind::applied || outcome.kind == Kind::would_apply) return json_reply(reload_json(outcome));
  return problem(outcome.kind == Kind::bad_configuration ? 422
                 : outcome.kind == Kind::refused         ? 409
                                                         : 500,
                 outcome.reason, reload_members(outcome));
}

Reply Api::explain(std::string_view query) const {
  proxy::Question question;
  question.url = query_value(query, "url");
  if (question.url.empty()) return problem(400, "url is missing; write ?method=GET&url=http://HOST/PATH");
  const auto set = [&](const char* name, std::string& value) {
    if (auto given = query_value(query, name); !given.empty()) value = std::move(given);
  };
  set("method", question.method);
  set("client", question.client);
  set("listener", question.listener);
  for (const auto& header : query_values(query, "header")) {
    const size_t colon = header.find(':');
    if (colon == std::string::npos || colon == 0)
      return problem(400, fmt::format("header \"{}\" has no colon; write NAME: VALUE", header));
    const size_t value = header.find_first_not_of(" \t", colon + 1);
    question.headers.emplace_back(header.substr(0, colon), value == std::string::npos ? "" : header.substr(value));
  }
  const auto told = sources_.control.explain(question);
  return told.question.empty() ? json_reply(explanation_json(told)) : problem(400, told.question);
}

void Api::reopen(std::function<void(Reply)> done) const {
  sources_.control.reopen([done = std::move(done)](const Reopened& outcome) {
    if (!outcome.error.empty())
      return done(problem(500, fmt::format("the access log {} can't be opened: {}; the old file stays in use",
                                           outcome.path, outcome.error)));
    std::string path;
    append_escaped(outcome.path, EscapeStyle::json, path);
    done(json_reply(fmt::format("{{\"access_log\": {}, \"reopened\": {}}}\n", path.empty() ? "null" : '"' + path + '"',
                                !path.empty() && !outcome.fixed)));
  });
}

void Api::upgrade(std::function<void(Reply)> done) const {
  sources_.control.upgrade([done = std::move(done)](const UpgradeOutcome& outcome) {
    using Kind = UpgradeOutcome::Kind;
    if (outcome.kind == Kind::done) return done(json_reply(upgrade_json(outcome)));
    done(problem(outcome.kind == Kind::refused ? 409
                 : outcome.bad_configuration   ? 422
                                               : 500,
                 outcome.reason, upgrade_members(outcome)));
  });
}

void Api::recent(std::string_view query, std::function<void(Reply)> done) const {
  constexpr size_t kMost = 100;
  sources_.control.recent(query_value(query, "id"), kMost, [done = std::move(done)](const Control::Recent& found) {
    done(json_reply(requests_json(found)));
  });
}

Reply Api::backend(std::string_view pool, std::string_view escaped_name) const {
  const std::string name = decoded(escaped_name);
  const auto inventory = sources_.inventory();
  const Place place = find_backend(*inventory, pool, name);
  return place.missing ? *place.missing
                       : json_reply(backend_json(*place.pool, place.index, place.older(sources_.control)));
}

Reply Api::order(std::string_view pool, std::string_view escaped_name, std::string_view what,
                 std::string_view peer) const {
  const std::string name = decoded(escaped_name);
  const auto inventory = sources_.inventory();
  const Place place = find_backend(*inventory, pool, name);
  if (place.missing) return *place.missing;
  const BackendOrder order = what == "drain"     ? BackendOrder::drain
                             : what == "disable" ? BackendOrder::disable
                                                 : BackendOrder::serve;
  const bool changed = sources_.control.order(place.pool->backends[place.index], order, std::string(peer));
  return json_reply(backend_json(*place.pool, place.index, place.older(sources_.control), &changed));
}

// ---- the dashboard

std::string Api::event() const {
  return event_json(*sources_.inventory(), sources_.process, sources_.control.facts(), monotonic_now(), wall_now_ns());
}

bool Api::knows_session(std::string_view cookie_field, std::string_view name) {
  return sessions_.knows(cookie_value(cookie_field, name), sources_.inventory()->token);
}

/// May this browser change anything? "yes": it needs no token; "session": it has shown it; "token": it should;
/// "no": none is configured.
Reply Api::session(const Request& request) const {
  const bool configured = !sources_.inventory()->token.empty();
  const char* changes = request.reach == Reach::local_socket ? "yes"
                        : request.session                    ? "session"
                        : configured                         ? "token"
                                                             : "no";
  return json_reply(fmt::format("{{\"changes\": \"{}\"}}\n", changes));
}

Reply Api::log_in(const Request& request) {
  const auto inventory = sources_.inventory();
  if (request.reach == Reach::local_socket || inventory->token.empty())
    return problem(409, "Over the unix socket nobody needs a session.");
  log::info("admin_session_opened", {{"peer", std::string(request.peer)}});
  Reply reply = json_reply("{\"changes\": \"session\"}\n");
  reply.set_cookie = session_cookie(request.cookie_name, sessions_.open(inventory->token));
  return reply;
}

Reply Api::log_out(const Request& request) {
  sessions_.close(cookie_value(request.cookie_field, request.cookie_name));
  Reply reply = json_reply("{\"changes\": \"token\"}\n");
  reply.set_cookie = session_cookie(request.cookie_name, "");
  return reply;
}

struct Api::Route {
  std::string_view method;  // GET stands for HEAD, too
  std::string_view path;    // {} is any segment
  bool with_metrics_only;
  Reply (*handle)(Api&, const Request&, const std::vector<std::string_view>& segments, std::string_view query);
  /// In place of `handle`: what is answered later.
  void (*handle_later)(const Api&, std::string_view query, std::function<void(Reply)> done) = nullptr;

  bool takes(const std::vector<std::string_view>& asked) const {
    const auto ours = segments(path);
    return std::equal(ours.begin(), ours.end(), asked.begin(), asked.end(),
                      [](auto own, auto theirs) { return own == theirs || (own == "{}" && !theirs.empty()); });
  }
};

Reply Api::answer(std::string_view method, std::string_view target, Surface surface) {
  Reply reply;
  answer({method, target, surface}, [&](Reply made) { reply = std::move(made); });
  return reply;
}

void Api::answer(const Request& request, std::function<void(Reply)> done) {
  using Segments = std::vector<std::string_view>;
  using Text = std::string_view;
  static constexpr auto kOrder = [](Api& api, const Request& r, const Segments& s, Text) {
    return api.order(s[3], s[5], s[6], r.peer);
  };
  static constexpr auto kChange = [](Api& api, const Request& r, const Segments& s, Text query) {
    return api.change(s[3], decoded(s[5]), s[6], query, r.peer);
  };
  static constexpr std::array kRoutes{
      Route{"GET", "/metrics", true,
            [](Api& api, const Request&, const Segments&, Text) {
              return Reply{200, Exposition::kContentType, api.exposition_.text()};
            }},
      Route{"GET", "/-/healthy", true,
            [](Api&, const Request&, const Segments&, Text) { return Reply{.body = "ok\n"}; }},
      Route{"GET", "/-/ready", true, [](Api& api, const Request&, const Segments&, Text) { return api.ready(); }},
      Route{"GET", "/api/v1/status", false,
            [](Api& api, const Request&, const Segments&, Text) {
              const auto& from = api.sources_;
              return json_reply(status_json(*from.inventory(), from.process, from.control.facts()));
            }},
      Route{"GET", "/api/v1/pools", false,
            [](Api& api, const Request&, const Segments&, Text) {
              return json_reply(pools_json(*api.sources_.inventory(), api.sources_.process));
            }},
      Route{"GET", "/api/v1/pools/{}/backends/{}", false,
            [](Api& api, const Request&, const Segments& s, Text) { return api.backend(s[3], s[5]); }},
      Route{"POST", "/api/v1/pools/{}/backends/{}/drain", false, kOrder},
      Route{"POST", "/api/v1/pools/{}/backends/{}/disable", false, kOrder},
      Route{"POST", "/api/v1/pools/{}/backends/{}/enable", false, kOrder},
      Route{"POST", "/api/v1/pools/{}/backends/{}/add", false, kChange},
      Route{"POST", "/api/v1/pools/{}/backends/{}/weight", false, kChange},
      Route{"POST", "/api/v1/pools/{}/backends/{}/remove", false, kChange},
      Route{"POST", "/api/v1/reload", false,
            [](Api& api, const Request&, const Segments&, Text query) { return api.reload(query); }},
      Route{"POST", "/api/v1/upgrade", false, nullptr,
            [](const Api& api, Text, auto then) { api.upgrade(std::move(then)); }},
      Route{"GET", "/api/v1/explain", false,
            [](Api& api, const Request&, const Segments&, Text query) { return api.explain(query); }},
      Route{"GET", "/api/v1/requests", false, nullptr,
            [](const Api& api, Text query, auto then) { api.recent(query, std::move(then)); }},
      Route{"POST", "/api/v1/reopen", false, nullptr,
            [](const Api& api, Text, auto then) { api.reopen(std::move(then)); }},
      Route{"GET", "/api/v1/causes", false,
            [](Api&, const Request&, const Segments&, Text) { return json_reply(causes_json()); }},
      Route{"GET", "/api/v1/events", false,
            [](Api&, const Request&, const Segments&, Text) {
              return Reply{.content_type = "text/event-stream", .body = {}, .events = true};
            }},
      Route{"GET", "/api/v1/session", false,
            [](Api& api, const Request& r, const Segments&, Text) { return api.session(r); }},
      Route{"POST", "/api/v1/session", false,
            [](Api& api, const Request& r, const Segments&, Text) { return api.log_in(r); }},
      Route{"POST", "/api/v1/session/end", false,
            [](Api& api, const Request& r, const Segments&, Text) { return api.log_out(r); }},
  };
  const size_t mark = std::min(request.target.find('?'), request.target.size());
  if (const Asset* asset = find_asset(request.target.substr(0, mark));
      asset && request.surface == Surface::everything) {
    if (only_reads(request.method)) return done({200, asset->content_type, std::string(asset->content)});
    Reply reply = problem(405, "Only GET and HEAD.");
    reply.allow = "GET, HEAD";
    return done(std::move(reply));
  }
  const auto asked = segments(request.target.substr(0, mark));
  const Text query = request.target.substr(std::min(mark + 1, request.target.size()));
  const bool reads = only_reads(request.method);
  const auto fits = [&](const Route& route) { return request.target.starts_with('/') && route.takes(asked); };
  const auto by_method = [&](const Route& route) { return (route.method == "GET") == reads && fits(route); };
  const Route* found = std::find_if(kRoutes.begin(), kRoutes.end(), by_method);
  if (found == kRoutes.end()) found = std::find_if(kRoutes.begin(), kRoutes.end(), fits);
  if (found == kRoutes.end() || (request.surface == Surface::metrics_only && !found->with_metrics_only))
    return done(problem(404, request.surface == Surface::metrics_only
                                 ? "This listener has /metrics, /-/healthy and /-/ready."
                                 : "docs/admin.md lists what there is; / is the dashboard."));
  if (found->method == "GET" ? !only_reads(request.method) : request.method != found->method) {
    Reply reply = problem(405, found->method == "GET" ? "Only GET and HEAD." : "Only POST.");
    reply.allow = found->method == "GET" ? "GET, HEAD" : "POST";
    return done(std::move(reply));
  }
  if (found->handle_later) return found->handle_later(*this, query, std::move(done));
  done(found->handle(*this, request, asked, query));
}

}  // namespace weir::admin
