// What gRPC says over HTTP/2 (its PROTOCOL-HTTP2.md): pure rules.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lb/base/cause.hpp"
#include "lb/base/clock.hpp"
#include "lb/base/state.hpp"

namespace weir::grpc {

/// The status codes of gRPC; other numbers count as `unknown`.
enum class Status : uint8_t {
  ok,
  cancelled,
  unknown,
  invalid_argument,
  deadline_exceeded,
  not_found,
  already_exists,
  permission_denied,
  resource_exhausted,
  failed_precondition,
  aborted,
  out_of_range,
  unimplemented,
  internal,
  unavailable,
  data_loss,
  unauthenticated,
};
inline constexpr size_t kStatuses = kGrpcStatuses;

/// "application/grpc", with a suffix or parameters; not gRPC-Web, which is ordinary HTTP.
bool is_grpc(std::string_view content_type);
/// The value of grpc-timeout: at most 8 digits and a unit. Nothing: it is none.
std::optional<Duration> parse_timeout(std::string_view value);
/// The value of grpc-status. Nothing: it is none.
std::optional<Status> parse_status(std::string_view value);
/// The value of the field in lines "name: value\r\n"; empty: it is not there. `name` in lower case, as the lines are.
std::string_view find_line(std::string_view lines, std::string_view name);
/// What a client of gRPC is told in place of the cause's HTTP status.
Status status_of(Cause cause);
/// … of a service that refuses a request: 401 and the like.
Status status_of_http(uint16_t status);
/// A text as the value of grpc-message: percent-encoded where it must be.
std::string encode_message(std::string_view text);

}  // namespace weir::grpc
