// `weir reload` and `weir reopen`.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstdio>

#include "lb/admin/client.hpp"
#include "lb/admin/table.hpp"
#include "lb/cli_admin.hpp"

namespace weir::cli {
namespace {

namespace json = boost::json;

std::string text(const json::value& value) {
  const auto& string = value.as_string();
  return {string.data(), string.size()};
}

/// FILE:LINE:COLUMN: …, as `weir check` prints them.
/// `what`: "warning: ", or nothing.
void print_problems(const json::value& list, const char* what) {
  for (const auto& problem : list.as_array()) {
    const auto line = problem.at("line").to_number<int>();
    const std::string place = line == 0 ? "" : fmt::format(":{}:{}", line, problem.at("column").to_number<int>());
    fmt::print(stderr, "{}{}: {}{}\n", text(problem.at("file")), place, what, text(problem.at("message")));
  }
}

}  // namespace

int reload(const AdminWords& words) {
  const auto client = make_client(words);
  const auto reply = client->request("POST", words.dry_run ? "/api/v1/reload?dry_run=true" : "/api/v1/reload");
  json::error_code error;
  const auto body = json::parse(reply.body, error);
  const json::object* object = error ? nullptr : body.if_object();
  if (object && object->contains("errors")) {
    print_problems(body.at("errors"), "");
    print_problems(body.at("warnings"), "warning: ");
    fmt::print(stderr, "weir: {} (generation {} is running)\n", text(body.at("detail")),
               body.at("generation").to_number<uint64_t>());
    return reply.status == 422 ? 2 : 1;
  }
  if (reply.status != 200 || !object) {
    const bool told = object && object->contains("detail");
    throw admin::ClientError(told ? text(body.at("detail")) +
                                        (reply.status == 401 ? " Name its file with --token-file." : "")
                                  : fmt::format("{}: status {}", client->target().shown(), reply.status));
  }
  print_problems(body.at("warnings"), "warning: ");
  const auto& changes = body.at("changes").as_array();
  for (const auto& change : changes) fmt::print("{}\n", text(change));
  const std::string amount = changes.empty()       ? "nothing has changed"
                             : changes.size() == 1 ? "1 change"
                                                   : fmt::format("{} changes", changes.size());
  const auto generation = body.at("generation").to_number<uint64_t>();
  if (words.dry_run)
    fmt::print("dry run: {}; generation {} keeps running\n", amount, generation);
  else
    fmt::print("reloaded: {}; generation {} is running\n", amount, generation);
  return 0;
}

int reopen(const AdminWords& words) {
  const auto client = make_client(words);
  const auto answer = ask(*client, "POST", "/api/v1/reopen");
  if (answer.at("access_log").is_null())
    fmt::print("there is no access log (log.access)\n");
  else if (!answer.at("reopened").as_bool())
    fmt::print("the access log goes to {}: there is no file to open\n", text(answer.at("access_log")));
  else
    fmt::print("reopened: {}\n", text(answer.at("access_log")));
  return 0;
}

}  // namespace weir::cli
