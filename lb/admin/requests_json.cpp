#include <boost/json.hpp>

#include "lb/admin/api_json.hpp"
#include "lb/admin/json_text.hpp"
#include "lb/admin/valid_utf8.hpp"
#include "lb/base/endpoint.hpp"
#include "lb/base/escape.hpp"
#include "lb/base/log_time.hpp"

namespace weir::admin {
namespace {

namespace json = boost::json;

json::value status_or_null(uint16_t status) { return status == 0 ? json::value(nullptr) : json::value(status); }

json::object attempt_object(const proxy::AttemptRecord& attempt) {
  const auto address =
      Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&attempt.address), attempt.address_length);
  json::object object;
  object["backend"] = attempt.backend.view();
  object["address"] = address.to_string();
  object["start_ms"] = attempt.start_us / 1000.0;
  object["took_ms"] = attempt.took_us / 1000.0;
  object["reused"] = attempt.reused;
  object["status"] = status_or_null(attempt.status);
  object["cause"] = info(attempt.cause).name;
  return object;
}

json::object request_object(const proxy::RequestRecord& request) {
  std::string time;
  append_rfc3339(request.wall_ns, time);
  json::object object;
  object["kind"] = request.kind == proxy::RecentKind::session ? "tcp" : "http";
  object["id"] = valid_utf8(request.id.view());
  object["trace_id"] = request.trace_id.view();
  object["time"] = time;
  object["duration_ms"] = request.duration_us / 1000.0;
  object["client"] = valid_utf8(request.client.view());
  object["method"] = valid_utf8(request.method.view());
  object["host"] = valid_utf8(request.host.view());
  object["target"] = valid_utf8(request.target.view());
  object["listener"] = request.listener.view();
  object["route"] = request.route.view();
  object["pool"] = request.pool.view();
  object["status"] = status_or_null(request.status);
  object["cause"] = info(request.cause).name;
  object["help"] = info(request.cause).help;
  object["detail"] = request.detail.view();
  object["slow"] = request.slow;
  object["attempts"] = request.attempts;
  json::array tries;
  for (size_t i = 0; i < request.kept; ++i) tries.push_back(attempt_object(request.tries[i]));
  object["tries"] = std::move(tries);
  return object;
}

}  // namespace

boost::json::string valid_utf8(std::string_view text) {
  std::string quoted = "\"";
  append_escaped(text, EscapeStyle::json, quoted);
  return json::parse(quoted + "\"").as_string();
}

std::string requests_json(const Control::Recent& requests) {
  json::array list;
  for (const auto& request : requests) list.push_back(request_object(request));
  json::object object;
  object["requests"] = std::move(list);
  return json_text(object);
}

}  // namespace weir::admin
