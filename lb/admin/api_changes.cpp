// Backends added, weighted and removed through the API.
#include <fmt/format.h>

#include <charconv>

#include "lb/admin/api.hpp"
#include "lb/admin/api_json.hpp"
#include "lb/base/log.hpp"

namespace weir::admin {
namespace {

/// 0 to 9 digits; nothing otherwise.
std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.size() > 9) return {};
  return value;
}

}  // namespace

Reply Api::change(std::string_view pool, const std::string& name, std::string_view what, std::string_view query,
                  std::string_view peer) const {
  using Kind = config::BackendChange::Kind;
  config::BackendChange change;
  change.kind = what == "add" ? Kind::add : what == "weight" ? Kind::weight : Kind::remove;
  change.pool = pool;
  change.name = name;
  change.url = query_value(query, "url");
  if (change.kind == Kind::add && change.url.empty())
    return problem(400, "url is missing; write ?url=http://HOST:PORT");
  const std::string weight = query_value(query, change.kind == Kind::add ? "weight" : "value");
  if (const auto given = number(weight))
    change.weight = *given;
  else if (!weight.empty() || change.kind == Kind::weight)
    return problem(400, fmt::format("\"{}\" is no weight; write 0 to 1000", weight.substr(0, 64)));
  const std::string persist = query_value(query, "persist");
  if (!persist.empty() && persist != "true" && persist != "false") return problem(400, "persist is true or false");
  const auto outcome = sources_.control.change(change, persist == "true");
  if (!outcome.problem.empty()) return problem(outcome.status, outcome.problem);
  log::info("backend_changed", {{"pool", change.pool},
                                {"backend", change.name},
                                {"change", std::string(what)},
                                {"url", change.url},
                                {"weight", change.kind == Kind::remove ? "" : std::to_string(change.weight)},
                                {"persisted", persist == "true" ? "true" : "false"},
                                {"by", std::string(peer)}});
  return {200, "application/json", changed_json(*sources_.inventory(), change, persist == "true")};
}

}  // namespace weir::admin
