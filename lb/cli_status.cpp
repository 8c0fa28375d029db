// `weir status`.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <ctime>

#include "lb/admin/client.hpp"
#include "lb/admin/table.hpp"
#include "lb/cli_admin.hpp"

namespace weir::cli {
namespace {

namespace json = boost::json;
using namespace admin;

std::string text(const json::value& object, const char* key) {
  const auto& value = object.at(key);
  return value.is_string() ? printable({value.as_string().data(), value.as_string().size()}) : std::string();
}

uint64_t number(const json::value& object, const char* key) { return object.at(key).to_number<uint64_t>(); }

/// Seconds since an RFC 3339 time; 0 if it is none.
uint64_t age_of(const std::string& time) {
  std::tm parts{};
  if (!::strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &parts)) return 0;
  const std::time_t then = ::timegm(&parts), now = std::time(nullptr);
  return now > then ? static_cast<uint64_t>(now - then) : 0;
}

Colour colour_of(std::string_view status) {
  if (status == "up") return Colour::green;
  if (status == "unknown") return Colour::none;
  if (status == "down") return Colour::red;
  if (status == "ejected") return Colour::yellow;
  return Colour::cyan;
}

std::string latency(const json::value& backend, const char* quantile) {
  const auto& value = backend.at("latency_ms").at(quantile);
  return value.is_null() ? std::string() : in_estimate(value.to_number<double>());
}

/// Why it is in its state, and what keeps it there.
std::string reason_of(const json::value& backend) {
  const auto* left = backend.as_object().if_contains("sessions_left");
  const bool serves = left && !left->is_null();
  const std::string reason = text(backend, "reason");
  if (!serves) return reason;
  return about_sessions(left->to_number<uint64_t>(), backend.at("sessions_over_in_ms").to_number<int64_t>()) + "; " +
         reason;
}

/// " (https)", " (tcp, 12 sessions)"; nothing where the daemon is an older one, which does not say.
std::string carried_by(const json::object& listener) {
  if (!listener.contains("mode")) return {};
  const bool tls = listener.at("tls").as_bool();
  if (const auto* sessions = listener.if_contains("sessions")) {
    const auto open = sessions->to_number<uint64_t>();
    return fmt::format(" (tcp{}, {} session{})", tls ? " by TLS" : "", grouped(open), open == 1 ? "" : "s");
  }
  const auto* http2 = listener.if_contains("http2");
  return fmt::format(" ({}{})", tls ? "https" : "http", http2 && http2->as_bool() ? "" : ", HTTP/1.1 alone");
}

/// How many of the requests came by HTTP/2.
std::string by_http2(const json::object& status) {
  const auto* requests = status.if_contains("http2_requests");
  const auto count = requests ? requests->to_number<uint64_t>() : 0;
  return count ? fmt::format(" ({} by HTTP/2)", grouped(count)) : std::string();
}

std::vector<std::string> head_lines(const json::value& status) {
  std::string state = status.at("draining").as_bool() ? "ending" : status.at("ready").as_bool() ? "ready" : "not ready";
  if (state == "not ready") state += " (first health checks pending)";
  const uint64_t failed = number(status.at("reloads"), "failed");
  std::vector<std::string> lines{
      fmt::format("weir {}, pid {}, {}, up {}; {}", text(status, "version"), number(status, "pid"), state,
                  in_time(age_of(text(status, "started"))), text(status, "file")),
      fmt::format("generation {}, loaded {} ago{}", number(status, "generation"),
                  in_time(age_of(text(status, "loaded"))),
                  failed ? fmt::format("; {} reload{} failed", failed, failed == 1 ? "" : "s") : ""),
      fmt::format("{} connections, {} requests{}, {} memory, {} workers", grouped(number(status, "connections")),
                  grouped(number(status, "requests")), by_http2(status.as_object()),
                  in_bytes(number(status, "memory_bytes")), number(status, "workers"))};
  const auto& upgrades = status.at("upgrades");
  const auto& predecessors = upgrades.at("predecessors").as_array();
  if (number(upgrades, "ok") || number(upgrades, "failed") || upgrades.at("under_way").as_bool()) {
    std::string line = fmt::format("{} upgrade{}", number(upgrades, "ok"), number(upgrades, "ok") == 1 ? "" : "s");
    if (const uint64_t bad = number(upgrades, "failed")) line += fmt::format(", {} more failed", bad);
    if (upgrades.at("under_way").as_bool()) line += "; one is under way";
    for (const auto& pid : predecessors)
      line += fmt::format("; pid {} finishes its connections, which are not counted here", pid.to_number<int64_t>());
    lines.push_back(std::move(line));
  }
  for (const auto& listener : status.at("listeners").as_array())
    lines.push_back(fmt::format("listener {} at {}{}", text(listener, "name"), text(listener, "address"),
                                carried_by(listener.as_object())));
  return lines;
}

Table pool_table(const json::value& pools) {
  Table table({{.title = "POOL", .least = 8},
               {.title = "BACKEND", .least = 12},
               {.title = "ADDRESS", .dispensable = 4},
               {"STATUS"},
               {"FOR", true, 1},
               {"WEIGHT", true, 5},
               {"IN FLIGHT", true, 2},
               {"REQUESTS", true, 3},
               {"FAILED", true},
               {"P50", true, 6},
               {"P99", true},
               {.title = "REASON", .below = 1}});
  for (const auto& pool : pools.at("pools").as_array()) {
    bool first = true;
    const auto* protocol = pool.as_object().if_contains("protocol");
    const bool usual = !protocol || *protocol == "h1";
    const std::string name =
        usual ? text(pool, "name") : fmt::format("{} ({})", text(pool, "name"), text(pool, "protocol"));
    for (const auto& backend : pool.at("backends").as_array()) {
      const std::string status = text(backend, "status");
      const bool serves = status == "up" || status == "unknown";
      const uint64_t failures = number(backend, "failures");
      table.add({{first ? name : "", Colour::bold},
                 {text(backend, "name") + (backend.at("backup").as_bool() ? " (backup)" : "") +
                  (text(backend, "source") == "api" ? " (not in the file)" : "")},
                 {text(backend, "address")},
                 {status, colour_of(status)},
                 {backend.at("since").is_null() ? "" : in_time(age_of(text(backend, "since")))},
                 {fmt::format("{:g}", backend.at("effective_weight").to_number<double>())},
                 {grouped(number(backend, "inflight"))},
                 {grouped(number(backend, "requests"))},
                 {grouped(failures), failures ? Colour::yellow : Colour::none},
                 {latency(backend, "p50")},
                 {latency(backend, "p99")},
                 {reason_of(backend), serves ? Colour::dim : Colour::none}});
      first = false;
    }
    if (first) table.add({{name, Colour::bold}, {"no backends", Colour::yellow}});
    if (const uint64_t waiting = number(pool, "waiting"))
      table.add({{""}, {fmt::format("{} waiting in the queue", waiting), Colour::yellow}});
  }
  return table;
}

/// What DNS said of the names that backends come from; empty if there are none.
std::vector<std::string> name_lines(const json::value& pools) {
  Table table({{.title = "NAME", .least = 20},
               {.title = "POOL", .least = 8},
               {"BACKENDS", true},
               {"ANSWERED", true, 1},
               {"STATE"},
               {.title = "REASON", .below = 0}});
  bool any = false;
  for (const auto& pool : pools.at("pools").as_array()) {
    const auto* names = pool.as_object().if_contains("names");
    if (!names) continue;
    for (const auto& name : names->as_array()) {
      const std::string state = text(name, "state"), backend = text(name, "backend");
      const auto& age = name.at("age_seconds");
      table.add({{text(name, "name"), Colour::bold},
                 {text(pool, "name") + (backend.empty() ? "" : "/" + backend)},
                 {grouped(number(name, "backends"))},
                 {age.is_null() ? "never" : in_time(static_cast<uint64_t>(age.to_number<double>()))},
                 {state, state == "ok"        ? Colour::green
                         : state == "pending" ? Colour::none
                                              : Colour::yellow},
                 {text(name, "reason")}});
      any = true;
    }
  }
  return any ? table.lines(wants_colours(), terminal_width()) : std::vector<std::string>();
}

}  // namespace

int status(const AdminWords& words) {
  const auto client = make_client(words);
  const auto status = ask(*client, "GET", "/api/v1/status");
  const auto pools = ask(*client, "GET", "/api/v1/pools");
  if (words.json) {
    json::object both = pools.as_object();
    both["status"] = status;
    fmt::print("{}\n", json::serialize(both));
    return 0;
  }
  for (const auto& line : head_lines(status)) fmt::print("{}\n", line);
  fmt::print("\n");
  for (const auto& line : pool_table(pools).lines(wants_colours(), terminal_width())) fmt::print("{}\n", line);
  const auto names = name_lines(pools);
  if (!names.empty()) fmt::print("\n");
  for (const auto& line : names) fmt::print("{}\n", line);
  return 0;
}

}  // namespace weir::cli
