// `weir upgrade`.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstdio>

#include "lb/admin/client.hpp"
#include "lb/admin/table.hpp"
#include "lb/cli_admin.hpp"

namespace weir::cli {
namespace {

namespace json = boost::json;
using namespace admin;

constexpr std::chrono::seconds kSlack{15};  // beyond upgrade_timeout: a program that won't end

std::string text(const json::value& value) {
  return value.is_string() ? printable({value.as_string().data(), value.as_string().size()}) : std::string();
}

}  // namespace

int upgrade(const AdminWords& words) {
  const auto client = make_client(words);
  const auto status = ask(*client, "GET", "/api/v1/status");
  const auto timeout = std::chrono::milliseconds(status.at("upgrades").at("timeout_ms").to_number<int64_t>());
  const auto old_pid = status.at("pid").to_number<int64_t>();
  fmt::print("pid {}, weir {}: starting {}\n", old_pid, text(status.at("version")),
             text(status.at("upgrades").at("program")));
  std::fflush(stdout);
  client->wait_for_answers(std::chrono::duration_cast<std::chrono::seconds>(timeout) + kSlack);
  const auto reply = client->request("POST", "/api/v1/upgrade");
  json::error_code error;
  const auto body = json::parse(reply.body, error);
  const json::object* object = error ? nullptr : body.if_object();
  if (object && object->contains("details")) {
    for (const auto& line : body.at("details").as_array()) fmt::print(stderr, "{}\n", text(line));
    fmt::print(stderr, "weir: {}\n", text(body.at("detail")));
    if (reply.status == 409) return 1;
    fmt::print(stderr, "weir: the upgrade failed: pid {} goes on as before{}\n", old_pid,
               body.at("pid").is_null()
                   ? std::string()
                   : fmt::format("; what pid {} printed is in its log", body.at("pid").to_number<int64_t>()));
    return reply.status == 422 ? 2 : 1;
  }
  if (reply.status != 200 || !object) {
    const bool told = object && object->contains("detail");
    throw ClientError(told ? text(body.at("detail")) + (reply.status == 401 ? " Name its file with --token-file." : "")
                           : fmt::format("{}: status {}", client->target().shown(), reply.status));
  }
  const auto& old = body.at("old");
  const auto connections = old.at("connections").to_number<uint64_t>();
  fmt::print("pid {}, weir {}: serves, after {:.2f} s\n", body.at("pid").to_number<int64_t>(), text(body.at("version")),
             body.at("ready_after_ms").to_number<double>() / 1000);
  if (object->contains("forgotten"))  // not from an older one
    for (const auto& line : body.at("forgotten").as_array()) fmt::print("{}\n", text(line));
  fmt::print("pid {}: finishes {} connection{}, in {} s at most\n", old.at("pid").to_number<int64_t>(), connections,
             connections == 1 ? "" : "s", old.at("finishes_for_ms").to_number<int64_t>() / 1000);
  return 0;
}

}  // namespace weir::cli
