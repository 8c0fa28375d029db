// `weir why`.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>

#include "lb/admin/client.hpp"
#include "lb/admin/table.hpp"
#include "lb/base/cause.hpp"
#include "lb/cli_admin.hpp"

namespace weir::cli {
namespace {

namespace json = boost::json;
using namespace admin;

std::string text(const json::value& object, const char* key) {
  const auto& value = object.at(key);
  return value.is_string() ? printable({value.as_string().data(), value.as_string().size()}) : std::string();
}

double number(const json::value& object, const char* key) { return object.at(key).to_number<double>(); }

std::string status_of(const json::value& object) {
  return object.at("status").is_null() ? "-" : std::to_string(object.at("status").to_number<int>());
}

/// A daemon of an older version doesn't say.
bool is_slow(const json::value& request) {
  const auto* slow = request.as_object().if_contains("slow");
  return slow && slow->is_bool() && slow->as_bool();
}

/// A daemon of an older version doesn't say.
std::string detail_of(const json::value& request) {
  return request.as_object().contains("detail") ? text(request, "detail") : std::string();
}

std::string_view help_of(std::string_view cause) {
  for (const auto& known : kCauses)
    if (known.name == cause) return known.help;
  return {};
}

/// "connect_refused: The backend refused the connection." or "answered 200".
std::string result_of(const json::value& attempt) {
  const std::string cause = text(attempt, "cause");
  const bool answered = !attempt.at("status").is_null();
  if (cause == "none") return "answered " + status_of(attempt);
  return fmt::format("{}{}: {}", answered ? fmt::format("answered {}, then ", status_of(attempt)) : "", cause,
                     help_of(cause));
}

void print_one(const json::value& request, bool colours) {
  const std::string cause = text(request, "cause");
  const std::string asked =
      text(request, "method").empty()
          ? "not a line of it could be read"
          : fmt::format("{} http://{}{}", text(request, "method"), text(request, "host"), text(request, "target"));
  fmt::print("request {}\n{}, from {} by listener {}\n", coloured(text(request, "id"), Colour::bold, colours), asked,
             text(request, "client"), text(request, "listener"));
  fmt::print("{}: {} after {}", text(request, "time"),
             request.at("status").is_null() ? "no answer" : status_of(request),
             in_milliseconds(number(request, "duration_ms")));
  if (cause != "none") fmt::print(", {}: {}", coloured(cause, Colour::red, colours), text(request, "help"));
  if (const auto detail = detail_of(request); !detail.empty()) fmt::print(" Exactly: {}.", detail);
  if (is_slow(request)) fmt::print(", {}", coloured("slow", Colour::yellow, colours));
  fmt::print("\n");
  if (text(request, "pool").empty())
    fmt::print("route {}: it reached no pool\n", text(request, "route").empty() ? "(none)" : text(request, "route"));
  else
    fmt::print("route {}, pool {}\n", text(request, "route"), text(request, "pool"));
  if (const auto trace = text(request, "trace_id"); !trace.empty()) fmt::print("trace {}\n", trace);
  const auto& tries = request.at("tries").as_array();
  if (tries.empty()) return;
  Table table({{"TRY", true},
               {.title = "BACKEND", .least = 12},
               {.title = "ADDRESS", .dispensable = 1},
               {"AFTER", true, 3},
               {"TOOK", true},
               {.title = "CONNECTION", .dispensable = 2},
               {.title = "RESULT", .below = 1}});
  for (size_t i = 0; i < tries.size(); ++i) {
    const bool good = text(tries[i], "cause") == "none" && number(tries[i], "status") < 500;
    table.add({{std::to_string(i + 1)},
               {text(tries[i], "backend")},
               {text(tries[i], "address")},
               {in_milliseconds(number(tries[i], "start_ms"))},
               {in_milliseconds(number(tries[i], "took_ms"))},
               {tries[i].at("reused").as_bool() ? "kept" : "new"},
               {result_of(tries[i]), good ? Colour::green : Colour::yellow}});
  }
  for (const auto& line : table.lines(colours, terminal_width())) fmt::print("{}\n", line);
  if (const auto made = static_cast<size_t>(number(request, "attempts")); made > tries.size())
    fmt::print("… and {} more\n", made - tries.size());
}

/// "GET www.example.com/x", or "tcp db.example.com, from 10.0.0.9" of a session.
std::string request_of(const json::value& request) {
  if (text(request, "kind") == "http")
    return fmt::format("{} {}{}", text(request, "method"), text(request, "host"), text(request, "target"));
  return fmt::format("tcp {}{}from {}", text(request, "host"), text(request, "host").empty() ? "" : ", ",
                     text(request, "client"));
}

/// Where there is little room: "21:12:26Z" of today, "11-30 21:12Z" of another day.
std::string brief_time(const std::string& time) {
  if (time.size() < 19) return time;
  const auto now = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  const std::chrono::year_month_day today(now);
  const std::string date = fmt::format("{:04}-{:02}-{:02}", static_cast<int>(today.year()),
                                       static_cast<unsigned>(today.month()), static_cast<unsigned>(today.day()));
  if (time.starts_with(date)) return time.substr(11, 8) + "Z";
  return time.substr(5, 5) + " " + time.substr(11, 5) + "Z";
}

constexpr size_t kBriefId = 13;  // with its ellipsis; the first characters will do for `weir why ID`

std::vector<Cell> list_cells(const json::value& request, bool brief, bool cut_short) {
  std::string backends;
  for (const auto& attempt : request.at("tries").as_array())
    backends += (backends.empty() ? "" : " ") + text(attempt, "backend");
  const std::string cause = text(request, "cause"), time = text(request, "time"), asked = request_of(request);
  return {{brief ? brief_time(time) : time},
          {status_of(request)},
          {cause != "none"    ? cause
           : is_slow(request) ? "slow"
                              : "",
           cause != "none" ? Colour::red : Colour::yellow},
          {fmt::format("{:g}", number(request, "attempts"))},
          {in_milliseconds(number(request, "duration_ms"))},
          {text(request, "pool")},
          {cut(backends, 40)},
          {cut_short ? cut(asked, 50) : asked},
          {brief ? cut(text(request, "id"), kBriefId) : text(request, "id")}};
}

/// `left_out`: the older ones, which would hide those of another kind.
Table list_table(const json::array& requests, bool brief, bool cut_short, size_t& left_out) {
  // Of failed requests, of slow ones and of sessions: none of them hides the others.
  constexpr size_t kListed[]{30, 10, 10};
  size_t listed[3]{};
  left_out = 0;
  Table table({{"TIME"},
               {"STATUS", true},
               {"CAUSE"},
               {"TRIES", true, 1},
               {"TOOK", true},
               {.title = "POOL", .dispensable = 2},
               {.title = "BACKENDS", .dispensable = 3},
               {.title = "REQUEST", .least = 20, .below = 0},
               {"ID"}});
  for (const auto& request : requests) {
    const size_t kind = text(request, "kind") == "tcp"                         ? 2
                        : text(request, "cause") == "none" && is_slow(request) ? 1
                                                                               : 0;
    if (listed[kind]++ < kListed[kind])
      table.add(list_cells(request, brief, cut_short));
    else
      ++left_out;
  }
  return table;
}

void print_list(const json::array& requests, bool colours) {
  const size_t width = terminal_width();
  size_t left_out = 0;
  Table table = list_table(requests, false, width == 0, left_out);
  if (!table.fits(width)) table = list_table(requests, true, false, left_out);
  for (const auto& line : table.lines(colours, width)) fmt::print("{}\n", line);
  if (left_out) fmt::print("… and {} older ones: weir why --json\n", left_out);
}

}  // namespace

int why(const AdminWords& words) {
  const auto client = make_client(words);
  std::string id = words.id;
  if (constexpr std::string_view kCut = "…"; id.ends_with(kCut))
    id.resize(id.size() - kCut.size());  // as the list has it
  const auto answer = ask(*client, "GET", "/api/v1/requests?id=" + encoded(id));
  const auto& requests = answer.at("requests").as_array();
  if (words.json) {
    fmt::print("{}\n", json::serialize(answer));
    return requests.empty() && !words.id.empty() ? 1 : 0;
  }
  const bool colours = wants_colours();
  if (words.id.empty()) {
    if (requests.empty())
      fmt::print("no request or TCP session has failed, been tried again or been slow since the start\n");
    else
      print_list(requests, colours);
    return 0;
  }
  if (requests.empty())
    throw ClientError(
        fmt::format("nothing is remembered of {}: it was answered at the first try, and soon (log.slow), newer "
                    "ones have taken its place, or another Weir had it; the access log has every request",
                    printable(words.id)));
  for (size_t i = 0; i < requests.size(); ++i) {
    if (i) fmt::print("\n");
    print_one(requests[i], colours);
  }
  return 0;
}

}  // namespace weir::cli
