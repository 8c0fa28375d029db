// The top level of the file, and the sections that are neither pools nor routes.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "config/addresses.hpp"
#include "config/paths.hpp"
#include "config/rules.hpp"
#include "config/section.hpp"
#include "config/tables.hpp"
#include "config/tcp_tables.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

constexpr uint64_t KiB = 1 << 10, MiB = 1 << 20, TiB = 1ull << 40;

TypeOf<std::vector<Listener>> listeners_type() {
  const TypeOf<Listener> timeout =
      Section<Listener>(
          "timeout", "Time-outs towards the clients.",
          {key("header", &Listener::header_timeout, duration(100ms, 10min),
               "For the whole head of a request, from its first byte; with `mode: tcp` for what comes before a pool is "
               "chosen: a PROXY header, a TLS handshake, or the server name of `sni`."),
           key("keep_alive", &Listener::keep_alive_timeout, duration(100ms, 24h), "Between two requests."),
           key("send_stall", &Listener::send_stall, duration(1s, 24h),
               "A client that takes nothing for so long is cut off; with `mode: tcp` only if it is written.")})
          .example("{ header: 10s }");
  std::vector<Key<Listener>> keys{
      key("bind", &Listener::binds, one_or_more(bind_address()),
          "Where it listens. `:80` is every address, IPv4 and IPv6.")
          .required("bind: \":8080\""),
      group<Listener>("timeout", timeout, "Time-outs towards the clients."),
      key("defer_accept", &Listener::defer_accept, boolean(),
          "A connection is accepted when its first bytes have come, or after a second (TCP_DEFER_ACCEPT); with `mode: "
          "tcp` only if it is written."),
      key("tls", &Listener::tls, listener_tls_section(), "Clients connect by TLS."),
      key("proxy_protocol", &Listener::proxy_protocol, boolean(),
          "Each connection begins with a header of the PROXY protocol, version 1 or 2, which names the client; only "
          "`trusted_proxies` may connect."),
      key("mode", &Listener::mode, mode_type(), "What it carries: requests, or the bytes of TCP sessions as they are."),
      key("protocols", &Listener::protocols,
          one_or_more(choice<Protocol>({{"h2", Protocol::h2}, {"http/1.1", Protocol::http1}},
                                       {{"h1", "write http/1.1"},
                                        {"http/1.0", "http/1.1 takes its clients, too; write http/1.1"},
                                        {"http/2", "write h2"},
                                        {"h2c", "write h2, which without `tls` is HTTP/2 by prior knowledge"},
                                        {"h3", "HTTP/3 is not spoken; write h2"}})),
          "What it offers by TLS (ALPN), best first; without TLS, `h2` is for clients that begin with it."),
  };
  keys = std::move(keys) + tcp_listener_keys();
  for (const char* name : {"role", "protocol"}) keys.push_back(later<Listener>(name));
  const TypeOf<Listener> listener = Section<Listener>("listener", "Where clients connect.", std::move(keys))
                                        .after(check_listener)
                                        .example("{ bind: \":8080\" }");
  return std::make_shared<Named<Listener>>(
      listener,
      Named<Listener>::Options{
          .singular = "listener",
          .example = "{ web: { bind: \":8080\" } }",
          .prepare = [](Reader& in, Place at, Listener&) { in.listener_places.push_back(at); },
          .summary = [](const Listener& l) { return l.binds.empty() ? std::string() : l.binds[0].to_string(); }});
}

TypeOf<Limits> limits_section() {
  return Section<Limits>(
      "limits", "What the daemon takes from clients.",
      {key("connections", &Limits::connections, count(16, 10'000'000).zero_is("auto"),
           "Connections at a time; auto: half of the open files allowed, less 128."),
       key("memory", &Limits::memory, bytes(16 * MiB, 64 * TiB),
           "Above 85 % of it idle connections are closed, above 95 % requests get 503."),
       key("header_bytes", &Limits::header_bytes, bytes(1 * KiB, 128 * KiB), "Head of a request; more is 431."),
       key("header_count", &Limits::header_count, count(8, 256), "Fields of a request; more is 431."),
       key("body_bytes", &Limits::body_bytes, bytes(1, 1024 * TiB).zero_is("off"), "Body of a request; more is 413."),
       key("body_min_rate", &Limits::body_min_rate, bytes_per_second(1, 1024 * MiB).zero_is("off"),
           "A body that comes slower than this after 5 s is 408."),
       key("handshakes", &Limits::handshakes, count(1, 1'000'000),
           "TLS handshakes at a time in a worker; above it the oldest one makes room."),
       key("http2", &Limits::http2, http2_section(), "What a client may do on a connection of HTTP/2."),
       key("chunk_ext_bytes", &Limits::chunk_ext_bytes, bytes(0, 64 * KiB), "Chunk extensions of a message."),
       key("trailers", &Limits::trailers, count(0, 256), "Trailer fields of a message."),
       key("trailer_bytes", &Limits::trailer_bytes, bytes(0, 64 * KiB), "… and their bytes.")});
}

TypeOf<Http> http_section() {
  using U = Http::Underscores;
  return Section<Http>(
      "http", "How strictly HTTP is taken, and what Weir adds.",
      {key("underscores", &Http::underscores,
           choice<U>({{"drop", U::drop}, {"reject", U::reject}, {"allow", U::allow}}),
           "Headers with _ in their names, which some applications take for -."),
       key("escaped_slash", &Http::reject_escaped_slash, choice<bool>({{"keep", false}, {"reject", true}}),
           "%2f and %5c in a path; kept, they separate nothing."),
       key("path_params", &Http::reject_path_params, choice<bool>({{"ignore", false}, {"reject", true}}),
           "`;params` in a path; ignored, they don't count for routes."),
       key("forwarded", &Http::forwarded, boolean(), "Also send `Forwarded` (RFC 7239) to the backends."),
       key("expose", &Http::expose, boolean(), "Name the backend in `Proxy-Status`."), later<Http>("trailers")});
}

// ---- admin ----

void read_socket(Reader& in, const Node& node, Admin& admin) {
  const std::string* path = expect_scalar(in, node, "off, or an absolute path");
  if (!path) return;
  if (*path == "off" || (node.is_plain() && *path == "false")) return admin.socket.clear();
  const auto endpoint = path->starts_with('/') ? Endpoint::parse("unix:" + *path) : std::nullopt;
  if (!endpoint)
    return in.error(node.at, fmt::format("{} is no path for a socket (absolute, at most 107 bytes); write "
                                         "/run/weir/admin.sock, or off",
                                         path->substr(0, 64)));
  in.binds.push_back({node.at, in.trail.text(), *endpoint});
  admin.socket = *path;
}

/// What RFC 6750 §2.1 lets stand behind "Bearer".
bool is_token(std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._~+/=").find(c) != std::string_view::npos;
  };
  return std::all_of(text.begin(), text.end(), allowed);
}

constexpr size_t kTokenMin = 16, kTokenMax = 512;

void read_token(Reader& in, const Node& node, Admin& admin) {
  const std::string* path = expect_scalar(in, node, "the path of a file with the token");
  if (!path) return;
  const std::string resolved = beside(in.files.at(static_cast<size_t>(node.at.file)), *path);
  const FileText file = in.environment.read_file(resolved, 4 * kTokenMax, false);
  if (!file.text)
    return in.error(node.at, fmt::format("{} can't be read ({}); make one with `head -c 32 /dev/urandom | base64`",
                                         resolved, file.error));
  std::string token = *file.text;
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) token.pop_back();
  if (token.size() < kTokenMin || token.size() > kTokenMax || !is_token(token))
    return in.error(node.at, fmt::format("{} holds no token (one line of {} to {} letters, digits and -._~+/=); make "
                                         "one with `head -c 32 /dev/urandom | base64`",
                                         resolved, kTokenMin, kTokenMax));
  admin.token_file = resolved;
  admin.token = std::move(token);
}

std::string state_path(std::string& path) {
  if (path.starts_with('/') && path.size() < 4000 && !path.ends_with('/')) return rules::line(path);
  return fmt::format("\"{}\" is no absolute path of a file; write one like /var/lib/weir/backends.json",
                     path.substr(0, 64));
}

Key<Admin> token_key() {
  auto token = custom<Admin>(
      "token_file", {.text = "path", .json = R"({"type":"string"})"}, read_token,
      [](const Admin& admin) { return admin.token_file; },
      "A file with the token that changes over TCP ask for, and everything beyond this machine.");
  // A new token in the old file is a change, too; the token itself is shown to nobody.
  token.compare = [](Changes& out, const Admin& a, const Admin& b) {
    const bool renewed = a.token_file == b.token_file && a.token != b.token;
    out.changed(renewed ? "the old token" : a.token_file, renewed ? "a new one" : b.token_file);
  };
  return token;
}

void check_admin(Reader& in, const Node& node, Admin& admin) {
  const Node* bind = node.find("bind");
  if (!bind || !admin.bind || is_loopback(*admin.bind) || node.find("token_file")) return;
  const Trail::Step step(in.trail, "bind");
  in.error(bind->at, fmt::format("{} can be reached from other machines, which needs a token; write token_file: PATH, "
                                 "bind 127.0.0.1:{}, or use metrics.bind for /metrics alone",
                                 bind->text, admin.bind->port()));
}

TypeOf<Admin> admin_section() {
  const TypeOf<Admin> metrics = Section<Admin>(
      "metrics", "A listener for /metrics, /-/healthy and /-/ready alone, which other machines may reach.",
      {key("bind", &Admin::metrics, bind_address(), "Where it listens.").required("bind: \":9902\"")});
  return Section<Admin>(
             "admin", "The operator's listener: API and metrics.",
             {key("bind", &Admin::bind, bind_address(), "Where it listens; beyond this machine only with a token."),
              custom<Admin>(
                  "socket",
                  {.text = "absolute path, or `off`",
                   .json = R"({"anyOf":[{"const":false},{"type":"string","pattern":"^(off|/.+)$"}]})"},
                  read_socket, [](const Admin& admin) { return admin.socket.empty() ? "off" : admin.socket; },
                  "A unix socket for the command line; whoever may open it needs no token."),
              token_key(),
              key("state_file", &Admin::state_file, text("absolute path", state_path),
                  "Where `weir backend … --persist` keeps what it changes."),
              group<Admin>("metrics", metrics, "A listener for metrics alone."), later<Admin>("tls")})
      .after(check_admin)
      .example("{ bind: \"127.0.0.1:9901\" }");
}

// ---- error pages ----

using Pages = std::map<uint16_t, std::string>;

class ErrorPages final : public Type<Pages> {
 public:
  void read(Reader& in, const Node& node, Pages& pages) const override {
    if (!expect_map(in, node, "{ 503: /etc/weir/503.html }")) return;
    for (const auto& entry : node.entries) {
      const bool digits = entry.key.size() == 3 && entry.key.find_first_not_of("0123456789") == std::string::npos;
      if (!digits || entry.key < "400" || entry.key > "599") {
        in.error(entry.at,
                 fmt::format("\"{}\" is no status of an error; write one from 400 to 599", entry.key.substr(0, 32)));
        continue;
      }
      Trail::Step step(in.trail, entry.key);
      if (!expect_value(in, entry)) continue;
      const std::string* path = expect_scalar(in, entry.value, "the path of an HTML file");
      if (!path) continue;
      const std::string resolved = beside(in.files.at(static_cast<size_t>(entry.value.at.file)), *path);
      FileText file = in.environment.read_file(resolved, rules::kMaxTextBytes, false);
      if (!file.text) {
        in.error(entry.value.at,
                 fmt::format("{} can't be read ({}); write the path of an HTML file", resolved, file.error));
      } else if (file.text->size() > rules::kMaxTextBytes) {
        in.error(entry.value.at, fmt::format("{} is longer than 64 KiB; make it shorter", resolved));
      } else {
        pages[static_cast<uint16_t>(std::stoi(entry.key))] = std::move(*file.text);
      }
    }
  }

  std::string show(const Pages&) const override { return {}; }

  TypeDoc doc() const override {
    return {
        .text = "map from status (400 to 599) to the path of an HTML file, up to 64 KiB",
        .json =
            R"({"type":"object","propertyNames":{"pattern":"^[45][0-9][0-9]$"},"additionalProperties":{"type":"string"}})",
    };
  }

  void compare(Changes& out, const Pages& before, const Pages& after) const override {
    for (const auto& [status, page] : before)
      if (!after.contains(status)) line(out, status, "removed");
    for (const auto& [status, page] : after) {
      const auto old = before.find(status);
      if (old == before.end()) {
        line(out, status, "added");
      } else if (old->second != page) {
        line(out, status, "changed");
      }
    }
  }

 private:
  static void line(Changes& out, uint16_t status, const char* what) {
    out.lines.push_back(fmt::format("{}: {} {}", out.trail.text(), status, what));
  }
};

// ---- what is not kept in Config ----

void read_defaults(Reader& in, const Node& node, Config&) {
  in.in_defaults = true;
  defaults_section()->read(in, node, in.defaults);
  in.in_defaults = false;
}

std::string nothing(const Config&) { return {}; }

Section<Config> make_root() {
  const TypeDoc include{.text = "list of paths, with `*`, relative to this file",
                        .json = R"({"type":"array","items":{"type":"string"}})"};
  const TypeOf<Config> metrics =
      Section<Config>("metrics", "",
                      {key("max_series", &Config::max_series, count(100, 10'000'000),
                           "Above it the histograms of backends, then of routes, are folded into the pool's.")});
  std::vector<Key<Config>> keys{
      // Read by the loader, before the tree comes here.
      custom<Config>(
          "include", include, [](Reader&, const Node&, Config&) {}, nothing,
          "Further files: maps merge, routes append in the order of the files."),
      custom<Config>(
          "keys", keys_doc(), [](Reader& in, const Node& node, Config&) { read_keys(in, node); }, nothing,
          "Named keys, for `consistent_hash`."),
      custom<Config>("defaults", defaults_section()->doc(), read_defaults, nothing,
                     "What every pool has unless it says otherwise."),
      key("listeners", &Config::listeners, listeners_type(), "Name → listener."),
      key("pools", &Config::pools, pools_type(), "Name → pool."),
      key("routes", &Config::routes, routes_type(), "Which pool serves which request: the first route that matches."),
      key("workers", &Config::workers, count(1, 256).zero_is("auto"),
          "Threads that carry traffic; auto: one a core that this process may use."),
      key("trusted_proxies", &Config::trusted_proxies, list(address_block()),
          "Peers whose X-Forwarded-*, Forwarded and X-Request-Id are believed."),
      key("limits", &Config::limits, limits_section(), "What the daemon takes from clients."),
      key("http", &Config::http, http_section(), "How strictly HTTP is taken."),
      key("compress", &Config::compression, compression_section(), "What compression may take."),
      key("log", &Config::log, log_section(), "The access log, and how much is told of events."),
      key("tracing", &Config::tracing, tracing_section(), "Spans of requests for a collector of OpenTelemetry."),
      key("admin", &Config::admin, admin_section(), "The operator's listener."),
      key("resolver", &Config::resolver, resolver_section(), "How names of backends are resolved."),
      secret_key(),
      key("watch", &Config::watch, boolean(),
          "Reload by itself when this file, or one that it includes or names, has changed. As `weir run --watch`."),
      tls_key(),
      group<Config>("metrics", metrics, "Bounds of the metrics."),
      key("error_pages", &Config::error_pages, std::make_shared<ErrorPages>(),
          "Pages of one's own for Weir's errors; JSON is made from their status."),
      key("drain_delay", &Config::drain_delay, duration(0ms, 1h),
          "At the end, how long connections are still accepted while /-/ready says 503."),
      key("drain_timeout", &Config::drain_timeout, duration(0ms, 24h),
          "… and how long requests and tunnels may go on then; after an upgrade, too, in the old process."),
      key("upgrade_timeout", &Config::upgrade_timeout, duration(1s, 1h),
          "How long the new process of an upgrade may take until it serves; else the old one goes on."),
  };
  for (const char* name : {"cache", "jobs", "zone"}) keys.push_back(later<Config>(name));
  return {"configuration", "", std::move(keys)};
}

}  // namespace

const Type<Config>& root_section() {
  static const Section<Config> root = make_root().example("listeners:, pools: and routes:");
  return root;
}

}  // namespace weir::config
