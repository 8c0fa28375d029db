#include "lb/net/otlp_json.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lb/base/escape.hpp"
#include "lb/base/hex.hpp"
#include "lb/net/http1.hpp"
#include "lb/net/trace_context.hpp"

namespace weir::trace {

namespace {

enum class Kind { server, client };
enum class Status { unset, error };
constexpr uint32_t kSampled = 0x01, kKnowsRemote = 0x100, kRemoteParent = 0x200;  // SpanFlags

void number(uint64_t value, std::string& out) {
  const fmt::format_int text(value);
  out.append(text.data(), text.size());
}

void escaped(std::string_view text, std::string& out) { append_escaped(text, EscapeStyle::json, out); }

void hex_id(uint64_t id, std::string& out) {
  char text[kSpanIdDigits];
  write_hex16(id, text);
  out.append(text, sizeof text);
}

// An attribute up to its value, as one literal: most of what a span costs is the number of pieces it is put together
// from.
#define WEIR_TEXT(key) ",{\"key\":\"" key "\",\"value\":{\"stringValue\":\""
#define WEIR_INTEGER(key) ",{\"key\":\"" key "\",\"value\":{\"intValue\":\""
#define WEIR_BOOLEAN(key) ",{\"key\":\"" key "\",\"value\":{\"boolValue\":"

/// Appends attributes behind the first one of a list. Empty texts are left out.
class Attributes {
 public:
  explicit Attributes(std::string& out) : out_(out) {}
  void text(std::string_view before, std::string_view value) {
    if (value.empty()) return;
    out_ += before;
    escaped(value, out_);
    out_ += R"("}})";
  }
  /// For a value that needs no escapes: an address, a name of the configuration, one of our words.
  void plain(std::string_view before, std::string_view value) {
    if (value.empty()) return;
    out_ += before;
    out_ += value;
    out_ += R"("}})";
  }
  void integer(std::string_view before, uint64_t value) {
    const fmt::format_int text(value);
    plain(before, {text.data(), text.size()});
  }
  void boolean(std::string_view before, bool value) {
    out_ += before;
    out_ += value ? "true}}" : "false}}";
  }

 private:
  std::string& out_;
};

bool known_method(std::string_view method) {
  for (const std::string_view known : {"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"})
    if (method == known) return true;
  return false;
}

/// Methods of one's own would make as many span names as a stranger likes.
void method_attributes(std::string_view method, Attributes& attributes) {
  if (method.empty()) return;
  const bool known = known_method(method);
  attributes.plain(WEIR_TEXT("http.request.method"), known ? method : "_OTHER");
  if (!known) attributes.text(WEIR_TEXT("http.request.method_original"), method);
}

void begin_span(const RequestSpan& request, uint64_t id, std::string& out) {
  if (out.back() != '[') out += ',';
  out += R"({"traceId":")";
  out += request.trace_id;
  out += R"(","spanId":")";
  hex_id(id, out);
  out += '"';
  if (!request.trace_state.empty()) {
    out += R"(,"traceState":")";
    escaped(request.trace_state, out);
    out += '"';
  }
}

void name_and_times(const RequestSpan& request, bool with_route, Kind kind, uint64_t start_us, uint64_t end_us,
                    uint32_t flags, std::string& out) {
  out += R"(,"flags":)";
  number(flags, out);
  out += kind == Kind::server ? R"(,"kind":2,"name":")" : R"(,"kind":3,"name":")";
  out += known_method(request.method) ? request.method : std::string_view("HTTP");
  if (with_route && !request.route.empty()) {
    out += ' ';
    escaped(request.route, out);
  }
  const auto time = [&](uint64_t us) { number(static_cast<uint64_t>(request.wall_ns) + us * 1000, out); };
  out += R"(","startTimeUnixNano":")";
  time(start_us);
  out += R"(","endTimeUnixNano":")";
  time(end_us);
  out += "\",";
}

void end_span(Status status, std::string& out) {
  out += status == Status::unset ? R"(],"status":{}})" : R"(],"status":{"code":2}})";
}

/// error.type: the cause, or the status.
void error_attribute(Cause cause, uint16_t status, Attributes& attributes) {
  if (cause != Cause::none) return attributes.plain(WEIR_TEXT("error.type"), info(cause).name);
  attributes.integer(WEIR_TEXT("error.type"), status);
}

/// Host, taken apart.
void address_attributes(std::string_view host, Attributes& attributes) {
  std::string_view name = http1::host_without_port(host);
  const std::string_view rest = host.substr(std::min(name.size() + 1, host.size()));
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') name = name.substr(1, name.size() - 2);
  attributes.text(WEIR_TEXT("server.address"), name);
  uint64_t port = 0;
  for (const char c : rest) port = port * 10 + static_cast<uint64_t>(c - '0');
  if (rest.size() <= 5 && port > 0 && rest.find_first_not_of("0123456789") == std::string_view::npos)
    attributes.integer(WEIR_INTEGER("server.port"), port);
}

void append_server(const RequestSpan& request, std::string& out) {
  begin_span(request, request.span, out);
  if (!request.parent_id.empty()) {
    out += R"(,"parentSpanId":")";
    out += request.parent_id;
    out += '"';
  }
  name_and_times(request, true, Kind::server, 0, request.duration_us,
                 kSampled | kKnowsRemote | (request.parent_id.empty() ? 0 : kRemoteParent), out);
  out += R"("attributes":[{"key":"url.scheme","value":{"stringValue":"http"}})";
  Attributes attributes(out);
  method_attributes(request.method, attributes);
  attributes.text(WEIR_TEXT("url.path"), request.path);
  address_attributes(request.host, attributes);
  attributes.text(WEIR_TEXT("client.address"), request.client);
  attributes.plain(WEIR_TEXT("network.peer.address"), request.peer);
  attributes.plain(WEIR_TEXT("network.protocol.version"), request.minor == 1   ? "1.1"
                                                          : request.minor == 0 ? "1.0"
                                                                               : "2");
  attributes.text(WEIR_TEXT("user_agent.original"), request.user_agent);
  if (request.answered) attributes.integer(WEIR_INTEGER("http.response.status_code"), request.status);
  const bool client_left = request.cause == Cause::client_gone || request.cause == Cause::client_too_slow ||
                           request.cause == Cause::http2_flood;
  // What the client got is an error, or ended before its end; that a service of auth.forward says no isn't.
  const bool broken =
      is_error(request.cause) && request.cause != Cause::auth_refused && (!request.answered || request.status < 400);
  const bool failed = !client_left && (request.status >= 500 || broken);
  if (failed || client_left) error_attribute(request.cause, request.status, attributes);
  attributes.plain(WEIR_TEXT("weir.listener"), request.listener);
  attributes.text(WEIR_TEXT("weir.route"), request.route);
  attributes.plain(WEIR_TEXT("weir.pool"), request.pool);
  if (!request.tries.empty()) attributes.plain(WEIR_TEXT("weir.backend"), request.tries.back().backend);
  if (request.cause != Cause::none) attributes.plain(WEIR_TEXT("weir.cause"), info(request.cause).name);
  attributes.integer(WEIR_INTEGER("weir.attempts"), request.attempts);
  attributes.text(WEIR_TEXT("weir.request_id"), request.request_id);
  end_span(failed ? Status::error : Status::unset, out);
}

void append_attempt(const RequestSpan& request, size_t index, std::string& out) {
  const AttemptSpan& attempt = request.tries[index];
  begin_span(request, attempt_span(request.span, static_cast<uint32_t>(index + 1)), out);
  out += R"(,"parentSpanId":")";
  hex_id(request.span, out);
  out += '"';
  name_and_times(request, false, Kind::client, attempt.start_us, uint64_t{attempt.start_us} + attempt.took_us,
                 kSampled | kKnowsRemote, out);
  out += R"("attributes":[{"key":"network.protocol.version","value":{"stringValue":"1.1"}})";
  Attributes attributes(out);
  method_attributes(request.method, attributes);
  if (attempt.address->is_unix()) {
    attributes.text(WEIR_TEXT("server.address"), attempt.address->to_string());
  } else {
    attributes.plain(WEIR_TEXT("server.address"), attempt.address->host());
    attributes.integer(WEIR_INTEGER("server.port"), attempt.address->port());
  }
  if (attempt.status) attributes.integer(WEIR_INTEGER("http.response.status_code"), attempt.status);
  const bool failed = attempt.cause != Cause::none || attempt.status >= 400;
  if (failed) error_attribute(attempt.cause, attempt.status, attributes);
  if (index > 0) attributes.integer(WEIR_INTEGER("http.request.resend_count"), index);
  attributes.plain(WEIR_TEXT("weir.pool"), request.pool);
  attributes.plain(WEIR_TEXT("weir.backend"), attempt.backend);
  attributes.boolean(WEIR_BOOLEAN("weir.connection.reused"), attempt.reused);
  end_span(failed ? Status::error : Status::unset, out);
}

}  // namespace

void begin_batch(const Resource& resource, std::string& out) {
  out += R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":")";
  escaped(resource.service, out);
  out += R"("}})";
  Attributes attributes(out);
  attributes.text(WEIR_TEXT("host.name"), resource.host);
  attributes.integer(WEIR_INTEGER("process.pid"), static_cast<uint64_t>(resource.pid));
  out += R"(]},"scopeSpans":[{"scope":{"name":"weir","version":")";
  escaped(resource.version, out);
  out += R"("},"spans":[)";
}

void append_request(const RequestSpan& request, std::string& out) {
  append_server(request, out);
  for (size_t i = 0; i < request.tries.size(); ++i) append_attempt(request, i, out);
}

void end_batch(std::string& out) { out += "]}]}]}"; }

#undef WEIR_TEXT
#undef WEIR_INTEGER
#undef WEIR_BOOLEAN

uint64_t rejected_spans(std::string_view answer) {
  constexpr std::string_view kKey = "\"rejectedSpans\"";
  size_t at = answer.find(kKey);
  if (at == std::string_view::npos) return 0;
  at = answer.find_first_not_of(" \t\r\n:\"", at + kKey.size());
  uint64_t value = 0;
  for (size_t i = 0; at != std::string_view::npos && i < 9 && at + i < answer.size(); ++i) {
    const char c = answer[at + i];
    if (c < '0' || c > '9') break;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

}  // namespace weir::trace
