#include <boost/json.hpp>

#include "lb/admin/api_json.hpp"
#include "lb/admin/json_text.hpp"
#include "lb/admin/valid_utf8.hpp"

namespace weir::admin {
namespace {

namespace json = boost::json;
using Outcome = proxy::Explanation::Outcome;

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::refused: return "refused";
    case Outcome::no_route: return "no_route";
    case Outcome::redirect: return "redirect";
    case Outcome::respond: return "respond";
    case Outcome::forwarded: return "forwarded";
    case Outcome::no_backend: return "no_backend";
  }
  return "invalid";
}

std::string_view to_string(proxy::Explanation::Guard::Verdict verdict) {
  using Verdict = proxy::Explanation::Guard::Verdict;
  switch (verdict) {
    case Verdict::passes: return "passes";
    case Verdict::refuses: return "refuses";
    case Verdict::open: return "open";
  }
  return "invalid";
}

json::value text_or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(valid_utf8(text));
}

json::array guards_of(const std::vector<proxy::Explanation::Guard>& guards) {
  json::array all;
  for (const auto& guard : guards)
    all.push_back({{"rule", guard.rule}, {"verdict", to_string(guard.verdict)}, {"says", valid_utf8(guard.says)}});
  return all;
}

json::object backend_object(const proxy::Explanation::Backend& backend) {
  json::object object;
  object["name"] = backend.name;
  object["address"] = backend.address;
  object["status"] = weir::to_string(backend.status);
  object["reason"] = backend.reason;
  object["candidate"] = backend.candidate;
  object["backup"] = backend.backup;
  object["full"] = backend.full;
  object["weight"] = backend.weight;
  object["inflight"] = backend.inflight;
  return object;
}

}  // namespace

std::string explanation_json(const proxy::Explanation& told) {
  json::object object;
  object["outcome"] = to_string(told.outcome);
  object["status"] = info(told.cause).status == 0 ? json::value(nullptr) : json::value(info(told.cause).status);
  object["cause"] = info(told.cause).name;
  object["detail"] = valid_utf8(told.detail);
  object["handshake"] =
      told.handshake == TlsFailure::none ? json::value(nullptr) : json::value(weir::to_string(told.handshake));
  object["connection"] = guards_of(told.connection);
  object["listener"] = told.listener;
  object["client"] = told.client;
  object["host"] = valid_utf8(told.host);
  object["path"] = valid_utf8(told.path);
  object["forwarded_path"] = valid_utf8(told.forwarded_path);
  json::array dropped;
  for (const auto& field : told.dropped) dropped.emplace_back(valid_utf8(field));
  object["dropped"] = std::move(dropped);
  json::array skipped;
  for (const auto& route : told.skipped)
    skipped.push_back({{"route", route.route}, {"at", route.at}, {"why", valid_utf8(route.why)}});
  object["skipped"] = std::move(skipped);
  object["route"] = text_or_null(told.route);
  object["route_at"] = text_or_null(told.route_at);
  object["guards"] = guards_of(told.guards);
  object["answer"] = text_or_null(told.answer);
  object["pool"] = text_or_null(told.pool);
  object["algorithm"] = text_or_null(told.algorithm);
  object["key_from"] = text_or_null(told.key_from);
  object["key"] = told.key_from.empty() || told.key_missing ? json::value(nullptr) : json::value(valid_utf8(told.key));
  object["affinity"] = text_or_null(told.affinity);
  object["panic"] = told.panic;
  object["spilled"] = told.spilled;
  json::array backends;
  for (const auto& backend : told.backends) backends.push_back(backend_object(backend));
  object["backends"] = std::move(backends);
  object["chosen"] = text_or_null(told.chosen);
  object["why"] = text_or_null(told.why);
  return json_text(object);
}

}  // namespace weir::admin
