// What a line of the access log can have: `log.fields` names them, docs/logging.md lists them (a test keeps the two
// equal).
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

enum class LogField : uint8_t {
  time,
  client,
  user,
  method,
  target,
  host,
  status,
  cause,
  duration_ms,
  upstream_ms,
  bytes_in,
  bytes_out,
  attempts,
  listener,
  route,
  pool,
  backend,
  request_id,
  user_agent,
  referer,
  protocol,
  // Not in a line unless they are asked for:
  trace_id,  // but that one, with `tracing`
  span_id,
  path,
  query,
  upstream_status,
  grpc_status,
  request_header,  // with a name
  response_header,
};

struct LogFieldInfo {
  LogField field;
  std::string_view name;  // a header's ends with the dot that its name follows
  std::string_view help;
};

// clang-format off: a table reads best as one
inline constexpr std::array kLogFields{
    LogFieldInfo{LogField::time, "time", "When the first byte of the request came, RFC 3339 with milliseconds."},
    LogFieldInfo{LogField::client, "client", "Address of the client (behind `trusted_proxies`: the one they name)."},
    LogFieldInfo{LogField::user, "user", "Who it is, if the route has `auth: { basic: … }`; else empty."},
    LogFieldInfo{LogField::method, "method", "As received; empty if it couldn't be read."},
    LogFieldInfo{LogField::target, "target", "Path and query as received; empty if they couldn't be read."},
    LogFieldInfo{LogField::host, "host",
                 "As received; empty if it couldn't be read. Of a TCP session: the server name."},
    LogFieldInfo{LogField::status, "status", "Final status; 499: the client didn't wait; 0: none."},
    LogFieldInfo{LogField::cause, "cause", "Why, if the answer is Weir's own: [causes](causes.md); else `none`."},
    LogFieldInfo{LogField::duration_ms, "duration_ms", "First byte of the request to the last byte of the answer."},
    LogFieldInfo{
        LogField::upstream_ms, "upstream_ms",
        "First byte sent to the backend to the head of its response; null: no response. Of a TCP session: until the "
        "connection stood."},
    LogFieldInfo{LogField::bytes_in, "bytes_in", "Bytes from the client, heads included."},
    LogFieldInfo{LogField::bytes_out, "bytes_out", "Bytes to the client, heads included."},
    LogFieldInfo{LogField::attempts, "attempts", "Backends tried; 2 and more: retried."},
    LogFieldInfo{LogField::listener, "listener", "Name in the configuration."},
    LogFieldInfo{LogField::route, "route", "Name in the configuration; empty: none."},
    LogFieldInfo{LogField::pool, "pool", "Name in the configuration; empty: none."},
    LogFieldInfo{LogField::backend, "backend",
                 "Name in the configuration, of the last one that was tried; empty: none."},
    LogFieldInfo{LogField::request_id, "request_id", "X-Request-Id as the backend got it."},
    LogFieldInfo{LogField::user_agent, "user_agent", "As received."},
    LogFieldInfo{LogField::referer, "referer", "As received."},
    LogFieldInfo{LogField::protocol, "protocol",
                 "`HTTP/1.0`, `HTTP/1.1`, `HTTP/2.0`, or `TCP`: a line of a [session](tcp.md)."},
    LogFieldInfo{LogField::trace_id, "trace_id",
                 "Id of the trace, 32 hexadecimal digits; empty without [tracing](tracing.md)."},
    LogFieldInfo{LogField::span_id, "span_id",
                 "Id of Weir's span of the request, 16 hexadecimal digits; empty without [tracing](tracing.md)."},
    LogFieldInfo{LogField::path, "path", "The target without its query."},
    LogFieldInfo{LogField::query, "query", "The query without `?`; empty: none."},
    LogFieldInfo{LogField::upstream_status, "upstream_status",
                 "Status of the backend's answer that was passed on; null: none."},
    LogFieldInfo{LogField::grpc_status, "grpc_status",
                 "Number of the status in the answer to a request of [gRPC](grpc.md); null: none."},
    LogFieldInfo{LogField::request_header, "request_header.",
                 "Behind the dot the name of a header, in any case: its value as received, several lines joined by a "
                 "comma; at most 1 KiB."},
    LogFieldInfo{LogField::response_header, "response_header.",
                 "The same of the backend's answer; empty if Weir answered itself."},
};
// clang-format on

/// How many fields of a line may be headers, and what is kept of each.
inline constexpr size_t kMostLogHeaders = 32, kLogHeaderBytes = 1024;

/// A field of a line.
struct LogFieldUse {
  LogField field;
  std::string name;         // the key in the line
  std::string header = {};  // lower case, of request_header and response_header
  bool operator==(const LogFieldUse&) const = default;
};

/// What a line has when nothing else is said.
std::vector<LogFieldUse> default_log_fields(bool with_trace);

}  // namespace weir
