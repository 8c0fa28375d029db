// The closed list of causes: why the daemon itself answered, ended or failed a request. Each has a name (access log,
// metric label), the RFC 9209 proxy error type for Proxy-Status, and the status sent. docs/causes.md explains each; a
// test keeps the two equal.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir {

// clang-format off: a table reads best as one
enum class Cause : uint8_t {
  none,  // no error of ours
  // downstream
  bad_request,
  bad_framing,
  unsupported_transfer_coding,
  version_not_supported,
  method_not_implemented,
  uri_too_long,
  header_too_large,
  body_too_large,
  header_timeout,
  body_too_slow,
  expectation_failed,
  method_not_allowed,
  plain_http_on_tls,
  misdirected,
  client_gone,
  client_too_slow,
  bad_client_hello,
  http2_flood,
  // routing and policy
  no_route,
  fixed_response,
  redirect,
  max_forwards,
  address_denied,
  rate_limited,
  credentials_missing,
  credentials_wrong,
  auth_overload,
  auth_refused,
  auth_unavailable,
  // pool
  no_backend,
  name_unresolved,
  pool_limit,
  queue_full,
  queue_timeout,
  overload_memory,
  overload_connections,
  listener_limit,
  draining,
  // upstream
  connect_refused,
  connect_timeout,
  connect_failed,
  upstream_tls_certificate,
  upstream_tls_protocol,
  upstream_tls_alert,
  upstream_not_http2,
  upstream_closed,
  upstream_reset,
  upstream_bad_response,
  upstream_header_too_large,
  response_timeout,
  idle_timeout,
  total_timeout,
  grpc_deadline,
  upstream_truncated,
  tunnel_timeout,
  backend_out,
  internal_error,
};

struct CauseInfo {
  Cause cause;
  std::string_view name;          // stable; used in logs, metrics, docs
  std::string_view proxy_status;  // RFC 9209 §2.3 error type, empty if there is none to report
  uint16_t status;                // what the client is sent when nothing was sent yet; 0: nothing (connection ends)
  std::string_view help;          // one sentence for a tired person
};

inline constexpr std::array kCauses{
    CauseInfo{Cause::none, "none", "", 0, "Answered by the backend, no error of the proxy."},
    CauseInfo{Cause::bad_request, "bad_request", "http_request_error", 400,
              "The request line, a header or the host breaks RFC 9112."},
    CauseInfo{Cause::bad_framing, "bad_framing", "http_request_error", 400,
              "Content-Length or Transfer-Encoding is wrong or ambiguous."},
    CauseInfo{Cause::unsupported_transfer_coding, "unsupported_transfer_coding", "http_request_error", 501,
              "A transfer coding other than chunked."},
    CauseInfo{Cause::version_not_supported, "version_not_supported", "http_request_error", 505,
              "The version is neither HTTP/1.0 nor HTTP/1.1."},
    CauseInfo{Cause::method_not_implemented, "method_not_implemented", "http_request_error", 501,
              "The method is longer than 32 bytes."},
    CauseInfo{Cause::uri_too_long, "uri_too_long", "http_request_error", 414,
              "The request target is longer than 8 KiB."},
    CauseInfo{Cause::header_too_large, "header_too_large", "http_request_error", 431,
              "limits.header_bytes or limits.header_count exceeded."},
    CauseInfo{Cause::body_too_large, "body_too_large", "http_request_error", 413, "limits.body_bytes exceeded."},
    CauseInfo{Cause::header_timeout, "header_timeout", "http_request_error", 408,
              "The request head did not arrive within timeout.header."},
    CauseInfo{Cause::body_too_slow, "body_too_slow", "http_request_error", 408,
              "The request body came slower than limits.body_min_rate."},
    CauseInfo{Cause::expectation_failed, "expectation_failed", "http_request_error", 417,
              "Expect asks for something other than 100-continue."},
    CauseInfo{Cause::method_not_allowed, "method_not_allowed", "http_request_denied", 405,
              "CONNECT and TRACE are not proxied."},
    CauseInfo{Cause::plain_http_on_tls, "plain_http_on_tls", "http_request_error", 400,
              "A request without TLS on a port that speaks TLS; write https://."},
    CauseInfo{Cause::misdirected, "misdirected", "http_request_denied", 421,
              "The host belongs to another certificate than the one of this connection."},
    CauseInfo{Cause::client_gone, "client_gone", "", 499,
              "The client closed its connection before the answer was complete, or reset a TCP session."},
    CauseInfo{Cause::client_too_slow, "client_too_slow", "", 499, "The client did not read for timeout.send_stall."},
    CauseInfo{Cause::bad_client_hello, "bad_client_hello", "tls_protocol_error", 0,
              "What a client sent first to a listener that chooses by SNI is no TLS ClientHello."},
    CauseInfo{Cause::http2_flood, "http2_flood", "", 499,
              "The client did more on its connection of HTTP/2 than limits.http2 lets it."},
    CauseInfo{Cause::no_route, "no_route", "destination_not_found", 404, "No route matches."},
    CauseInfo{Cause::fixed_response, "fixed_response", "", 0, "A route with respond answered."},
    CauseInfo{Cause::redirect, "redirect", "", 0, "A route with redirect answered."},
    CauseInfo{Cause::max_forwards, "max_forwards", "", 200,
              "OPTIONS with Max-Forwards: 0 is answered here (RFC 9110 §7.6.2)."},
    CauseInfo{Cause::address_denied, "address_denied", "http_request_denied", 403,
              "The route's deny or allow list keeps the client's address out."},
    CauseInfo{Cause::rate_limited, "rate_limited", "http_request_denied", 429,
              "The key has used up its tokens of the route's rate_limit."},
    CauseInfo{Cause::credentials_missing, "credentials_missing", "http_request_denied", 401,
              "The route has auth, and the request names no user."},
    CauseInfo{Cause::credentials_wrong, "credentials_wrong", "http_request_denied", 401,
              "The user is not known, or the password is wrong."},
    CauseInfo{Cause::auth_overload, "auth_overload", "connection_limit_reached", 503,
              "More passwords wait to be checked than can be checked in time."},
    CauseInfo{Cause::auth_refused, "auth_refused", "", 0,
              "The service of auth.forward did not let the request pass; its answer went to the client."},
    CauseInfo{Cause::auth_unavailable, "auth_unavailable", "destination_unavailable", 503,
              "The service of auth.forward gave no answer that says yes or no."},
    CauseInfo{Cause::no_backend, "no_backend", "destination_unavailable", 503, "No backend of the pool is usable."},
    CauseInfo{Cause::name_unresolved, "name_unresolved", "dns_error", 503,
              "DNS has not said any address of the pool's backends."},
    CauseInfo{Cause::pool_limit, "pool_limit", "connection_limit_reached", 503,
              "limits.inflight reached and the pool has no queue."},
    CauseInfo{Cause::queue_full, "queue_full", "connection_limit_reached", 503,
              "limits.inflight reached and limits.queue is full."},
    CauseInfo{Cause::queue_timeout, "queue_timeout", "connection_limit_reached", 503,
              "Waited limits.queue_timeout for a free place."},
    CauseInfo{Cause::overload_memory, "overload_memory", "proxy_internal_response", 503,
              "The process is near limits.memory."},
    CauseInfo{Cause::overload_connections, "overload_connections", "connection_limit_reached", 503,
              "limits.connections or the descriptor limit reached."},
    CauseInfo{Cause::listener_limit, "listener_limit", "connection_limit_reached", 0,
              "max_sessions of the listener reached."},
    CauseInfo{Cause::draining, "draining", "proxy_internal_response", 503, "The process is ending."},
    CauseInfo{Cause::connect_refused, "connect_refused", "connection_refused", 502,
              "The backend refused the connection."},
    CauseInfo{Cause::connect_timeout, "connect_timeout", "connection_timeout", 504,
              "The backend did not accept within timeout.connect."},
    CauseInfo{Cause::connect_failed, "connect_failed", "destination_ip_unroutable", 502,
              "The backend's address could not be reached."},
    CauseInfo{Cause::upstream_tls_certificate, "upstream_tls_certificate", "tls_certificate_error", 502,
              "The backend's certificate does not hold, or is for another name."},
    CauseInfo{Cause::upstream_tls_protocol, "upstream_tls_protocol", "tls_protocol_error", 502,
              "The TLS handshake with the backend came to nothing."},
    CauseInfo{Cause::upstream_tls_alert, "upstream_tls_alert", "tls_alert_received", 502,
              "The backend refused the TLS handshake."},
    CauseInfo{Cause::upstream_not_http2, "upstream_not_http2", "http_protocol_error", 502,
              "The pool says protocol: h2 or h2c, and the backend does not speak HTTP/2 there."},
    CauseInfo{Cause::upstream_closed, "upstream_closed", "connection_terminated", 502,
              "The backend closed the connection before answering."},
    CauseInfo{Cause::upstream_reset, "upstream_reset", "connection_terminated", 502,
              "The backend reset the connection, or the stream, before answering, or in a TCP session or tunnel."},
    CauseInfo{Cause::upstream_bad_response, "upstream_bad_response", "http_protocol_error", 502,
              "The backend's answer breaks RFC 9112, or RFC 9113."},
    CauseInfo{Cause::upstream_header_too_large, "upstream_header_too_large", "http_response_header_section_size", 502,
              "The backend's response head is over 64 KiB or 200 fields."},
    CauseInfo{Cause::response_timeout, "response_timeout", "http_response_timeout", 504,
              "No response head within timeout.response."},
    CauseInfo{Cause::idle_timeout, "idle_timeout", "http_response_timeout", 504,
              "A body stood still for timeout.idle."},
    CauseInfo{Cause::total_timeout, "total_timeout", "http_response_timeout", 504,
              "The request took longer than timeout.total."},
    CauseInfo{Cause::grpc_deadline, "grpc_deadline", "http_response_timeout", 504,
              "The time that the client allowed by grpc-timeout is over."},
    CauseInfo{Cause::upstream_truncated, "upstream_truncated", "http_response_incomplete", 502,
              "The backend ended in the middle of its response."},
    CauseInfo{Cause::tunnel_timeout, "tunnel_timeout", "", 0, "A tunnel or TCP session was idle for timeout.tunnel."},
    CauseInfo{Cause::backend_out, "backend_out", "", 0,
              "A TCP session's backend was taken out, and the pool's `sessions` end them then."},
    CauseInfo{Cause::internal_error, "internal_error", "proxy_internal_error", 500,
              "A defect of the proxy; please report it."},
};
// clang-format on
inline constexpr size_t kCauseCount = kCauses.size();

/// Why no connection to a backend came to stand: a part of the list.
inline constexpr auto kFirstConnectCause = Cause::connect_refused, kLastConnectCause = Cause::upstream_tls_alert;
inline constexpr size_t kConnectCauses =
    static_cast<size_t>(kLastConnectCause) - static_cast<size_t>(kFirstConnectCause) + 1;

constexpr const CauseInfo& info(Cause cause) { return kCauses[static_cast<size_t>(cause)]; }

/// Not so: what answers a request as the configuration or the protocol asks.
constexpr bool is_error(Cause cause) {
  return cause != Cause::none && cause != Cause::fixed_response && cause != Cause::redirect &&
         cause != Cause::max_forwards;
}

static_assert(
    [] {
      for (size_t i = 0; i < kCauseCount; ++i)
        if (static_cast<size_t>(kCauses[i].cause) != i) return false;
      return static_cast<size_t>(Cause::internal_error) + 1 == kCauseCount;
    }(),
    "kCauses stands in the order of the enumeration and is complete");

}  // namespace weir
