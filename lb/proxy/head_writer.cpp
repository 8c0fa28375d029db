#include "lb/proxy/head_writer.hpp"

#include <algorithm>
#include <charconv>

#include "lb/net/cookies.hpp"

namespace weir::proxy {

namespace {

using http1::FieldId;
using http1::Framing;

constexpr uint64_t bit(FieldId id) { return uint64_t{1} << static_cast<unsigned>(id); }

// Written by us in any case.
constexpr uint64_t kOwnRequestFields = bit(FieldId::host) | bit(FieldId::x_forwarded_for) |
                                       bit(FieldId::x_forwarded_proto) | bit(FieldId::x_forwarded_host) |
                                       bit(FieldId::x_forwarded_port) | bit(FieldId::x_real_ip) |
                                       bit(FieldId::x_request_id);

uint64_t trace_fields(const RequestContext& context) {
  if (context.traceparent.empty()) return 0;
  return bit(FieldId::traceparent) | (context.tracestate ? 0 : bit(FieldId::tracestate));
}

bool named(const std::vector<std::string>& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& n) { return http1::equals_ignore_case(n, name); });
}

bool set_by(const config::HeaderRules& rules, std::string_view name) {
  return std::any_of(rules.set.begin(), rules.set.end(),
                     [&](const auto& pair) { return http1::equals_ignore_case(pair.first, name); });
}

/// Do the rules stand in place of a field that we write ourselves? What they add comes beside ours.
bool overruled(const config::HeaderRules* rules, std::string_view name) {
  return rules && (named(rules->remove, name) || set_by(*rules, name));
}

/// Copies the field lines that go on, whole runs at a time. `skip`: ids that are written by the caller.
void copy_fields(HeadWriter& out, const http1::Head& head, uint64_t skip, const config::HeaderRules* rules) {
  const auto fields = head.all();
  const bool plain = !rules || rules->empty();
  size_t i = 0;
  const auto goes = [&](const http1::Field& field) {
    if (field.drop || (skip & bit(field.id) && field.id != FieldId::other)) return false;
    return plain || (!named(rules->remove, head.name(field)) && !set_by(*rules, head.name(field)));
  };
  while (i < fields.size()) {
    if (!goes(fields[i])) {
      ++i;
      continue;
    }
    const size_t first = i;
    while (i < fields.size() && goes(fields[i])) ++i;
    // A line runs to the start of the next one; the last ends before the empty line.
    const uint32_t end = i < fields.size() ? fields[i].name : head.size - 2;
    out.add(head.view(fields[first].name, end - fields[first].name));
  }
  if (plain) return;
  for (const auto& [name, value] : rules->set) out.field(name, value);
  for (const auto& [name, value] : rules->add) out.field(name, value);
}

/// Does `path` begin with the whole segments of `prefix`? "/apis" doesn't begin with those of "/api".
bool begins_with(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) return false;
  return prefix.ends_with('/') || path.size() == prefix.size() || path[prefix.size()] == '/';
}

void write_path(HeadWriter& out, const config::Route& route, std::string_view forwarded, std::string_view matched) {
  std::string_view path = forwarded;
  const auto& rewrite = route.rewrite_prefix;
  if (!rewrite) return out.add(path);
  // "//api/x" matches /api/*: then the form that matched is what is rewritten.
  if (!begins_with(path, rewrite->first)) path = matched;
  if (!begins_with(path, rewrite->first)) return out.add(forwarded);
  std::string_view to = rewrite->second;
  path.remove_prefix(rewrite->first.size());
  if (to.ends_with('/') && path.starts_with('/')) to.remove_suffix(1);
  if (!to.empty() && !to.ends_with('/') && !path.empty() && !path.starts_with('/')) {
    out.add_all(to, "/", path);
    return;
  }
  if (to.empty() && !path.starts_with('/')) out.add("/");
  out.add_all(to, path);
}

std::string_view upstream_host(const http1::RequestHead& head, const RequestContext& context) {
  switch (context.pool->host) {
    case config::Pool::Host::upstream: return context.backend->authority;
    case config::Pool::Host::fixed: return context.pool->fixed_host;
    case config::Pool::Host::keep: break;
  }
  return head.host().empty() ? std::string_view(context.backend->authority) : head.host();  // HTTP/1.0 without Host
}

/// The values of all lines of a field, joined as one list and followed by `last`.
void append_list(HeadWriter& out, const http1::RequestHead& head, FieldId id, std::string_view name,
                 std::string_view last) {
  out.add_all(name, ": ");
  if (head.has(id))
    for (const auto& field : head.all())
      if (field.id == id && !head.value(field).empty()) out.add_all(head.value(field), ", ");
  out.add_all(last, "\r\n");
}

void write_forwarded(HeadWriter& out, const http1::RequestHead& head, const RequestContext& context) {
  out.add("Forwarded: ");
  if (context.trusted && head.has(FieldId::forwarded))
    for (const auto& field : head.all())
      if (field.id == FieldId::forwarded && !head.value(field).empty()) out.add_all(head.value(field), ", ");
  const bool v6 = context.peer.find(':') != std::string_view::npos;
  if (context.peer.starts_with("unix"))
    out.add("for=unknown");
  else
    out.add_all(v6 ? "for=\"[" : "for=", context.peer, v6 ? "]\"" : "");
  if (!head.host().empty()) out.add_all(";host=\"", head.host(), "\"");
  out.add_all(";proto=", context.tls ? "https" : "http", "\r\n");
}

void write_identity(HeadWriter& out, std::string_view lines, const config::HeaderRules* rules) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n") + 2);
    lines.remove_prefix(line.size());
    if (!overruled(rules, line.substr(0, line.find(':')))) out.add(line);
  }
}

/// `rules`: those of the route, or null if it has none.
void write_client_fields(HeadWriter& out, const http1::RequestHead& head, const RequestContext& context,
                         const config::HeaderRules* rules) {
  const bool trusted = context.trusted;
  const auto field = [&](std::string_view name, std::string_view value) {
    if (!overruled(rules, name)) out.field(name, value);
  };
  const auto whole = [&](std::string_view name, std::string_view line) {
    if (!overruled(rules, name)) out.add(line);
  };
  if (!trusted)
    field("X-Forwarded-For", context.peer);
  else if (!overruled(rules, "X-Forwarded-For"))
    append_list(out, head, FieldId::x_forwarded_for, "X-Forwarded-For", context.peer);
  const auto believed = [&](FieldId id) { return trusted ? head.find(id) : std::string_view(); };
  const auto proto = believed(FieldId::x_forwarded_proto), host = believed(FieldId::x_forwarded_host),
             port = believed(FieldId::x_forwarded_port);
  if (!proto.empty())
    field("X-Forwarded-Proto", proto);
  else
    whole("X-Forwarded-Proto", context.tls ? "X-Forwarded-Proto: https\r\n" : "X-Forwarded-Proto: http\r\n");
  if (const auto value = host.empty() ? head.host() : host; !value.empty()) field("X-Forwarded-Host", value);
  if (!port.empty()) {
    field("X-Forwarded-Port", port);
  } else if (!context.port.empty()) {
    field("X-Forwarded-Port", context.port);
  }
  field("X-Real-IP", context.client);
  field("X-Request-Id", context.request_id);
  if (!context.user.empty()) field("X-Remote-User", context.user);
  if (!context.traceparent.empty() && !overruled(rules, "traceparent")) out.add(context.traceparent);
  out.add(context.granted);
  if (!context.identity.empty()) write_identity(out, context.identity, rules);
  if (context.forwarded && !overruled(rules, "Forwarded")) write_forwarded(out, head, context);
  whole("Via", head.minor == 1 ? "Via: 1.1 weir\r\n" : head.minor == 0 ? "Via: 1.0 weir\r\n" : "Via: 2.0 weir\r\n");
}

/// The Cookie lines without the pairs of one name; the others keep their bytes. A line of which nothing is left is left
/// out.
void write_cookies(HeadWriter& out, const http1::RequestHead& head, std::string_view hidden) {
  for (const auto& field : head.all()) {
    if (field.id != FieldId::cookie || field.drop) continue;
    bool begun = false;
    http1::for_each_cookie(head.value(field), [&](std::string_view piece) {
      std::string_view value;
      if (http1::is_cookie(piece, hidden, value) || (!begun && http1::trim(piece).empty())) return true;
      if (begun)
        out.add_all(";", piece);
      else
        out.add_all("Cookie: ", http1::trim(piece));
      return begun = true;
    });
    if (begun) out.add("\r\n");
  }
}

void write_compression(HeadWriter& out, const http1::ResponseHead& head, const CompressionFields& what,
                       const config::HeaderRules* rules) {
  if (what.vary && !overruled(rules, "Vary")) {
    out.add("Vary: ");
    for (const auto& field : head.all())
      if (http1::equals_ignore_case(head.name(field), "vary") && !head.value(field).empty())
        out.add_all(head.value(field), ", ");
    out.add("Accept-Encoding\r\n");
  }
  if (!what.strong_etag.empty() && !overruled(rules, "ETag")) out.add_all("ETag: W/", what.strong_etag, "\r\n");
  if (!what.coding.empty()) out.field("Content-Encoding", what.coding);
}

void write_framing(HeadWriter& out, const http1::Head& head, Framing framing) {
  if (framing == Framing::chunked) {
    out.add("Transfer-Encoding: chunked\r\n");
  } else if (framing == Framing::length || head.has(FieldId::content_length)) {
    out.add("Content-Length: ");
    out.number(head.content_length);
    out.add("\r\n");
  }
}

}  // namespace

void HeadWriter::number(uint64_t value) {
  char text[20];
  const auto result = std::to_chars(text, text + sizeof text, value);
  add({text, static_cast<size_t>(result.ptr - text)});
}

void HeadWriter::status(uint16_t value) {
  const char text[3]{static_cast<char>('0' + value / 100), static_cast<char>('0' + value / 10 % 10),
                     static_cast<char>('0' + value % 10)};
  add({text, sizeof text});
}

void HeadWriter::hex(uint64_t value) {
  char text[16];
  const auto result = std::to_chars(text, text + sizeof text, value, 16);
  add({text, static_cast<size_t>(result.ptr - text)});
}

std::string upstream_path(const config::Route& route, const http1::NormalizedPath& path) {
  const size_t prefix = route.rewrite_prefix ? route.rewrite_prefix->second.size() : 0;
  std::string room(std::max(path.forwarded.size(), path.matched.size()) + prefix + 1, '\0');  // and a "/" between them
  HeadWriter out(room.data(), room.size());
  write_path(out, route, path.forwarded, path.matched);
  room.resize(out.size());
  return room;
}

void write_request_head(HeadWriter& out, const http1::RequestHead& head, const RequestContext& context) {
  out.add_all(head.method_view(), " ");
  write_path(out, *context.route, context.path, context.matched_path);
  if (head.has_query) out.add_all("?", head.query_view());
  out.add_all(" HTTP/1.1\r\nHost: ", upstream_host(head, context), "\r\n");
  uint64_t skip = kOwnRequestFields | trace_fields(context);
  if (!context.trusted || context.forwarded) skip |= bit(FieldId::forwarded);
  if (head.minor == 0) skip |= bit(FieldId::expect);  // RFC 9110 §10.1.1: means nothing in HTTP/1.0
  const auto* rules = context.route->request_headers.empty() ? nullptr : &context.route->request_headers;
  if (!context.hidden_cookie.empty()) {
    skip |= bit(FieldId::cookie);
    if (!overruled(rules, "Cookie")) write_cookies(out, head, context.hidden_cookie);
  }
  copy_fields(out, head, skip, rules);
  write_client_fields(out, head, context, rules);
  if (context.trailers) out.add("TE: trailers\r\n");
  write_framing(out, head, context.framing);
  if (context.max_forwards != ~uint32_t{0} && !overruled(rules, "Max-Forwards")) {
    out.add("Max-Forwards: ");
    out.number(context.max_forwards - 1);
    out.add("\r\n");
  }
  if (context.upgrade) {
    out.add("Connection: Upgrade\r\n");
    for (const auto& field : head.all())
      if (field.id == FieldId::upgrade) out.field("Upgrade", head.value(field));
  }
  out.add("\r\n");
}

void write_auth_head(HeadWriter& out, const http1::RequestHead& head, const RequestContext& context,
                     const config::ForwardAuth& how) {
  out.add_all("GET ", how.path, " HTTP/1.1\r\nHost: ", upstream_host(head, context), "\r\n");
  const uint64_t ours = kOwnRequestFields | trace_fields(context);
  const auto left_out = [&](const http1::Field& field) {
    if (field.drop || field.id == FieldId::expect || (ours & bit(field.id) && field.id != FieldId::other)) return true;
    const std::string_view name = head.name(field);
    for (const std::string_view own : {"x-forwarded-method", "x-forwarded-uri", "range", "if-match", "if-none-match",
                                       "if-modified-since", "if-unmodified-since", "if-range"})
      if (http1::equals_ignore_case(name, own)) return true;
    // What the service says of the client, the client can't say to it; but what it judges by may be among that.
    return field.id != FieldId::authorization && field.id != FieldId::cookie && named(how.response_headers, name);
  };
  for (const auto& field : head.all())
    if (!left_out(field)) out.field(head.name(field), head.value(field));
  write_client_fields(out, head, context, nullptr);
  out.add_all("X-Forwarded-Method: ", head.method_view(), "\r\nX-Forwarded-Uri: ", context.path);
  if (head.has_query) out.add_all("?", head.query_view());
  out.add("\r\n\r\n");
}

void write_response_head(HeadWriter& out, const http1::ResponseHead& head, const ResponseContext& context) {
  out.add("HTTP/1.1 ");
  out.status(head.status);
  // A backend of HTTP/2 says none, and there are clients that want one.
  out.add_all(" ", head.reason_length ? head.view(head.reason, head.reason_length) : reason_phrase(head.status),
              "\r\n");
  const auto* rules =
      context.route && !context.route->response_headers.empty() ? &context.route->response_headers : nullptr;
  copy_fields(out, head, 0, rules);
  if (!head.has(FieldId::date) && !overruled(rules, "Date")) out.field("Date", context.date);
  if (!context.cookie_name.empty() && !overruled(rules, "Set-Cookie"))
    out.add_all("Set-Cookie: ", context.cookie_name, "=", context.cookie_value,
                context.tls ? "; Path=/; HttpOnly; SameSite=Lax; Secure\r\n" : "; Path=/; HttpOnly; SameSite=Lax\r\n");
  if (!context.hsts.empty() && !overruled(rules, "Strict-Transport-Security")) out.add(context.hsts);
  if (context.compression) write_compression(out, head, *context.compression, rules);
  if (context.upgrade) {
    out.add("Connection: Upgrade\r\n");
    for (const auto& field : head.all())
      if (field.id == FieldId::upgrade) out.field("Upgrade", head.value(field));
  } else {
    if (context.chunked)
      out.add("Transfer-Encoding: chunked\r\n");
    else if (head.status != 204 && head.has(FieldId::content_length))
      out.field("Content-Length", head.find(FieldId::content_length));
    if (!context.keep_alive)
      out.add("Connection: close\r\n");
    else if (context.downstream_minor == 0)
      out.add("Connection: keep-alive\r\n");
  }
  out.add("\r\n");
}

void write_interim_head(HeadWriter& out, const http1::ResponseHead& head) {
  out.add("HTTP/1.1 ");
  out.status(head.status);
  out.add_all(" ", head.reason_length ? head.view(head.reason, head.reason_length) : reason_phrase(head.status),
              "\r\n");
  copy_fields(out, head, 0, nullptr);
  out.add("\r\n");
}

std::string with_rules(std::string_view lines, const config::HeaderRules& rules) {
  std::string out;
  for (size_t start = 0; start < lines.size();) {
    const size_t end = std::min(lines.find("\r\n", start), lines.size() - 2) + 2;
    const std::string_view line = lines.substr(start, end - start);
    if (!overruled(&rules, line.substr(0, line.find(':')))) out += line;
    start = end;
  }
  for (const auto* list : {&rules.set, &rules.add})
    for (const auto& [name, value] : *list) out.append(name).append(": ").append(value).append("\r\n");
  return out;
}

std::string_view reason_phrase(uint16_t status) {
  switch (status) {
    case 100: return "Continue";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 410: return "Gone";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "";
  }
}

}  // namespace weir::proxy
