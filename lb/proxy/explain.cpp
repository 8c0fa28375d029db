#include "lb/proxy/explain.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "config/suggest.hpp"
#include "config/tables.hpp"
#include "lb/base/hash.hpp"
#include "lb/proxy/affinity.hpp"
#include "lb/proxy/explain_connection.hpp"
#include "lb/proxy/explain_fields.hpp"
#include "lb/proxy/explain_guards.hpp"
#include "lb/proxy/forwarded.hpp"
#include "lb/proxy/head_writer.hpp"
#include "lb/proxy/redirect.hpp"
#include "lb/proxy/request_facts.hpp"

namespace weir::proxy {

namespace {

using Outcome = Explanation::Outcome;

struct Url {
  std::string scheme, authority, target, port;
};

/// False: not a URL that could be asked of us.
bool split_url(const std::string& text, Url& url) {
  std::string_view rest = text;
  for (const std::string_view scheme : {"http://", "https://", "tcp://", "tls://"}) {
    if (!rest.starts_with(scheme)) continue;
    rest.remove_prefix(scheme.size());
    url.scheme = scheme;
    const size_t end = std::min(rest.find_first_of("/?"), rest.size());
    url.authority = rest.substr(0, end);
    url.target = rest.substr(end);
    if (!url.target.starts_with('/')) url.target.insert(0, "/");
    if (const size_t colon = url.authority.rfind(':');
        colon != std::string::npos && url.authority.find(']', colon) == std::string::npos)
      url.port = url.authority.substr(colon + 1);
    return !url.authority.empty();
  }
  url.target = text;
  return rest.starts_with('/') || rest == "*";
}

/// As a client would send it.
std::string request_text(const Question& question, const Url& url) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\n", question.method, url.target);
  const bool has_host = std::any_of(question.headers.begin(), question.headers.end(),
                                    [](const auto& header) { return http1::equals_ignore_case(header.first, "host"); });
  if (!has_host) text += fmt::format("Host: {}\r\n", url.authority.empty() ? "localhost" : url.authority);
  for (const auto& [name, value] : question.headers) text += fmt::format("{}: {}\r\n", name, value);
  return text + "\r\n";
}

/// "web (8080), tls (8443)"
std::string known_listeners(const config::Config& config) {
  std::vector<std::string> names;
  for (const auto& listener : config.listeners) {
    std::vector<std::string> ports;
    for (const auto& bind : listener.binds) ports.push_back(bind.is_unix() ? "unix" : std::to_string(bind.port()));
    names.push_back(fmt::format("{} ({})", listener.name, fmt::join(ports, ", ")));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

/// Of the listeners that clients of this scheme connect to, the first; else the very first.
uint32_t usual_listener(const config::Config& config, std::string_view scheme) {
  const bool session = scheme == "tcp://" || scheme == "tls://", tls = scheme == "https://";
  for (uint32_t i = 0; i < config.listeners.size(); ++i) {
    const auto& listener = config.listeners[i];
    if ((listener.mode == config::Mode::tcp) == session && (session || listener.tls.has_value() == tls)) return i;
  }
  return 0;
}

/// Index of the listener that the request comes in by; kNoRoute: there is none of that name or port.
uint32_t find_listener(const config::Config& config, const Question& question, const Url& url) {
  if (!question.listener.empty()) {
    for (uint32_t i = 0; i < config.listeners.size(); ++i)
      if (config.listeners[i].name == question.listener) return i;
    return route::kNoRoute;
  }
  const std::string_view usual = url.scheme == "http://" ? "80" : url.scheme == "https://" ? "443" : "";
  const std::string_view port = url.port.empty() ? usual : std::string_view(url.port);
  bool any_port = url.port.empty();  // or there is a bind to port 0, which is any
  for (uint32_t i = 0; i < config.listeners.size(); ++i)
    for (const auto& bind : config.listeners[i].binds) {
      if (bind.is_unix()) continue;
      if (std::to_string(bind.port()) == port) return i;
      any_port = any_port || bind.port() == 0;
    }
  return any_port ? usual_listener(config, url.scheme) : route::kNoRoute;
}

std::string place(const config::Location& at) { return fmt::format("{}:{}:{}", at.file, at.line, at.column); }

void describe_backends(const Pool& pool, const balance::Table& table, Explanation& out) {
  for (uint32_t i = 0; i < pool.backends.size(); ++i) {
    const BackendState& state = *pool.backends[i];
    Explanation::Backend backend;
    backend.name = state.name;
    backend.address = state.address.to_string();
    backend.status = state.status.load();
    backend.backup = pool.config->backends[i].backup;
    backend.inflight = state.inflight.value.load();
    if (pool.config->backends[i].weight == 0) {
      backend.reason = "its weight is 0";
    } else {
      const std::lock_guard lock(state.reason_mutex);
      backend.reason = state.reason;
    }
    for (const auto& candidate : table.candidates()) {
      if (candidate.backend != i) continue;
      backend.candidate = true;
      backend.full = candidate.full();
      backend.weight = candidate.weight / 1000.0;
    }
    out.backends.push_back(std::move(backend));
  }
}

/// What made the algorithm choose it, and how sure that is for the next request.
std::string reason(const Pool& pool, const Explanation& so_far, uint32_t load, size_t candidates) {
  const std::string& algorithm = so_far.algorithm;
  if (candidates == 1) return "it is the only candidate";
  if (algorithm == "consistent_hash") {
    if (so_far.key_missing) return "the request has no key: a random one, so this is one of several";
    if (so_far.spilled)
      return fmt::format("the key's own backend is above {} % of the mean load (bound): the next one of this key",
                         pool.config->balance.bound_percent);
    return "the key belongs to it";
  }
  if (algorithm == "least_connections")
    return fmt::format("the fewest in flight for its weight ({}); which of equal ones, chance decides", load);
  if (algorithm == "round_robin")
    return "by turns and weight; each worker has turns of its own: this is one of several";
  if (algorithm == "power_of_two") return "the less loaded of two drawn at random: this is one of several";
  if (algorithm == "latency") return "the faster of two drawn at random: this is one of several";
  return "at random, by weight: this is one of several";
}

/// What the cookie says, and with that the backend, if it may have the request.
std::optional<uint32_t> choose_home(const Pool& pool, const http1::RequestHead& head, const PublishedTable& published,
                                    Explanation& out) {
  using Verdict = route::Affinity::Verdict;
  const Home home = find_home(pool, head, wall_now_ns() / 1'000'000'000);
  const std::string& name = pool.config->affinity->cookie;
  const auto say = [&](std::string_view what) { out.affinity = fmt::format("cookie {}: {}", name, what); };
  switch (home.found.verdict) {
    case Verdict::absent: say("none in this request; the answer sets it"); return {};
    case Verdict::expired: say("expired, which counts as none"); return {};
    case Verdict::forged: say("signed with none of the keys of `secret`, which counts as none"); return {};
    case Verdict::gone: say("names a backend that the pool no longer has; the answer sets another"); return {};
    case Verdict::valid: break;
  }
  const std::string& backend = pool.backends[home.found.backend]->name;
  const uint32_t limit = pool.config->limits.per_backend;
  if (!serves_its_sessions(pool, *published.takes_requests, home.found.backend, monotonic_now())) {
    say(fmt::format("names {}, which takes no requests now; the answer sets another", backend));
    return {};
  }
  if (limit && pool.backends[home.found.backend]->inflight.value.load() >= limit) {
    say(fmt::format("names {}, which is full: limits.per_backend; another serves this request", backend));
    return {};
  }
  say(fmt::format("names {}", backend));
  return home.found.backend;
}

/// There is no place at once.
void explain_wait(Admission::Outlook outlook, std::string_view reached, Explanation& out) {
  using Outlook = Admission::Outlook;
  out.outcome = Outcome::no_backend;
  out.cause = outlook == Outlook::no_queue     ? Cause::pool_limit
              : outlook == Outlook::queue_full ? Cause::queue_full
                                               : Cause::none;
  out.why = fmt::format("{}{}", reached,
                        outlook == Outlook::no_queue     ? ", and there is no queue (limits.queue)"
                        : outlook == Outlook::queue_full ? ", and so is limits.queue"
                                                         : ": the request waits in the queue");
}

/// `head`: null for a TCP session.
void choose(const Pool& pool, const http1::RequestHead* head, uint64_t key_hash, Rng& rng, Explanation& out) {
  const PublishedTable published = pool.published();
  out.panic = published.panic;
  describe_backends(pool, *published.table, out);
  std::optional<uint32_t> home;
  if (pool.affinity && head) home = choose_home(pool, *head, published, out);
  const auto& limits = pool.config->limits;
  if (const auto outlook = pool.admission->outlook(limits, false); outlook != Admission::Outlook::place) {
    const bool full = limits.inflight && pool.state->inflight.value.load() >= limits.inflight;
    return explain_wait(outlook, full ? "limits.inflight is reached" : "others wait before it", out);
  }
  if (home) {
    out.outcome = Outcome::forwarded;
    out.chosen = pool.backends[*home]->name;
    out.why = "the session's cookie names it";
    return;
  }
  const auto picker = pool.algorithm->make_picker();
  picker->adopt(published.table, rng);
  balance::PickContext context{key_hash, {}, monotonic_now(), rng};
  const uint32_t picked = picker->pick(context);
  if (picked == balance::kNone) {
    if (!published.table->candidates().empty())
      return explain_wait(pool.admission->outlook(limits, true), "every candidate has limits.per_backend in flight",
                          out);
    const bool unresolved = pool.backends.empty();
    out.outcome = Outcome::no_backend;
    out.cause = unresolved ? Cause::name_unresolved : Cause::no_backend;
    out.why =
        unresolved ? "its backends come from DNS, and no address is known here" : "no backend of the pool is usable";
    return;
  }
  const auto& candidate = published.table->candidates()[picked];
  out.outcome = Outcome::forwarded;
  out.spilled = context.spilled;
  out.chosen = pool.backends[candidate.backend]->name;
  out.why = reason(pool, out, candidate.load(), published.table->candidates().size());
}

/// A session of a listener of mode: tcp. `out.host`: the server name that the client asks for.
void explain_session(const Runtime& runtime, const TcpListener& listener, const std::string& client, Rng& rng,
                     Explanation& out) {
  const uint32_t index = listener.pool_for(out.host);
  if (index == TcpListener::kNoPool) {
    out.outcome = Outcome::no_route;
    out.cause = Cause::no_route;
    return;
  }
  const Pool& pool = *runtime.pools[index];
  out.pool = pool.config->name;
  out.algorithm = pool.config->balance.algorithm;
  uint64_t key_hash = 0;
  if (const auto& key = pool.config->balance.key) {
    out.key_from = config::show_key(*key);
    out.key = session_key(*key, out.host, client);
    out.key_missing = out.key.empty();
    key_hash = out.key_missing ? rng() : stable_hash(out.key);
  }
  choose(pool, nullptr, key_hash, rng, out);
}

/// What is wrong with the words of the question; `listener` and `peer` are set if nothing is.
std::string check_question(const config::Config& config, const Question& question, const Url& url, uint32_t& listener,
                           std::optional<Endpoint>& peer) {
  listener = find_listener(config, question, url);
  peer = AddressBlock::parse_address(question.client);
  if (!peer) return fmt::format("\"{}\" is no address of a client; write an IP address", question.client);
  if (listener != route::kNoRoute) return {};
  if (question.listener.empty())
    return fmt::format("no listener has port {}; write the port of one, or --listener NAME: {}", url.port,
                       known_listeners(config));
  return fmt::format("there is no listener \"{}\"; {}", question.listener,
                     config::suggest(question.listener, config::names_of(config.listeners), "the listeners are",
                                     "`weir status` shows them"));
}

/// Refused before a route is looked for.
void refuse(Explanation& out, Cause cause, const char* detail) {
  out.outcome = Outcome::refused;
  out.cause = cause;
  out.detail = detail;
}

/// What a route without a pool answers.
void explain_answer(const config::Route& route, const http1::RequestHead& head, const http1::NormalizedPath& path,
                    bool tls, bool trusted, Explanation& out) {
  if (!route.redirect) {
    out.outcome = Outcome::respond;
    out.cause = Cause::fixed_response;
    out.answer = std::to_string(route.respond->status);
    return;
  }
  const auto location = redirect_location(*route.redirect, head, path, client_used_tls(head, trusted, tls),
                                          client_asked_host(head, trusted));
  if (!location) return refuse(out, Cause::bad_request, kRedirectWithoutHost);
  out.outcome = Outcome::redirect;
  out.cause = Cause::redirect;
  out.answer = fmt::format("{} to {}", route.redirect->status, *location);
}

/// Exchange::handle_request from the route on, in its order.
void explain_request(const Runtime& runtime, const Question& question, uint32_t listener, bool trusted,
                     const http1::RequestHead& head, const http1::NormalizedPath& path, Rng& rng, Explanation& out) {
  const config::Config& config = *runtime.config;
  const BelievedFields fields{head, {}};
  const route::Request request = route_request(fields, path, listener);
  const uint32_t matched = runtime.router->match(request);
  const auto before = std::min<size_t>(matched, config.routes.size());
  for (uint32_t i = 0; i < before; ++i)
    out.skipped.push_back({config.routes[i].name, place(config.routes[i].at), runtime.router->why_not(i, request)});
  if (matched == route::kNoRoute) {
    out.outcome = Outcome::no_route;
    out.cause = Cause::no_route;
    return;
  }
  const Route& route = runtime.routes[matched];
  out.route = route.config->name;
  out.route_at = place(route.config->at);
  out.forwarded_path = upstream_path(*route.config, path);
  if (!explain_guards(route, question, head, path, out)) return;
  if (!route.pool)
    return explain_answer(*route.config, head, path, config.listeners[listener].tls.has_value(), trusted, out);
  const Pool& pool = *route.pool;
  out.pool = pool.config->name;
  out.algorithm = pool.config->balance.algorithm;
  uint64_t key_hash = 0;
  if (const auto& key = pool.config->balance.key) {
    out.key_from = config::show_key(*key);
    out.key = key_value(*key, fields, path, out.client);
    out.key_missing = out.key.empty();
    key_hash = out.key_missing ? rng() : stable_hash(out.key);
  }
  choose(pool, &head, key_hash, rng, out);
}

/// From the first byte of a request on, in the order of the parser and of Exchange::handle_request.
void explain_http(const Runtime& runtime, const Question& question, const Url& url, uint32_t listener,
                  const Approach& approach, const Endpoint& peer, Rng& rng, Explanation& out) {
  const config::Config& config = *runtime.config;
  const std::string bytes = request_text(question, url);
  const auto head = std::make_unique<http1::RequestHead>();
  const auto parsed = http1::parse_request(bytes, request_rules(config), *head);
  if (parsed.status != http1::Parse::done) {
    refuse(out, parsed.status == http1::Parse::error ? parsed.cause : Cause::bad_request, parsed.detail);
    return;
  }
  head->base = bytes.data();
  if (head->framing == http1::Framing::length && body_too_large(config.limits, head->content_length)) {
    refuse(out, Cause::body_too_large, "Content-Length is above limits.body_bytes");
    return;
  }
  std::string storage;
  http1::NormalizedPath path;
  const char* detail = "";
  if (!http1::normalize_path(head->path_view(), {config.http.reject_escaped_slash, config.http.reject_path_params},
                             storage, path, detail)) {
    refuse(out, Cause::bad_request, detail);
    return;
  }
  out.host = head->host();
  out.path = path.matched;
  out.forwarded_path = path.forwarded;
  AddressText room;
  const std::string peer_text = peer.host();
  const Client client = believed_client(*head, config.trusted_proxies, peer, peer_text, room);
  out.client = client.address;
  const auto& tls = config.listeners[listener].tls;
  const bool asks_certificates = tls && tls->client_ca;
  drop_unbelieved(*head, client.trusted_peer, asks_certificates);
  out.dropped = explain_dropped(*head, client.trusted_peer, asks_certificates);
  if (!url.scheme.empty() && !explain_host(runtime, listener, approach, http1::host_without_port(head->host()), out))
    return;
  if (hops_left(*head) == 0u) {
    out.outcome = Outcome::respond;
    out.cause = Cause::max_forwards;
    out.answer = "200, since Max-Forwards is 0: it asks what stands here, not a backend";
    return;
  }
  explain_request(runtime, question, listener, client.trusted_peer, *head, path, rng, out);
}

}  // namespace

Explanation explain(const Runtime& runtime, const Question& question, Rng& rng) {
  Explanation out;
  Url url;
  if (!split_url(question.url, url)) {
    out.question =
        fmt::format("\"{}\" is no URL; write http://HOST/PATH, or /PATH (tcp://NAME:PORT for a session)", question.url);
    return out;
  }
  const config::Config& config = *runtime.config;
  uint32_t listener = 0;
  std::optional<Endpoint> peer;
  out.question = check_question(config, question, url, listener, peer);
  if (!out.question.empty()) return out;
  out.listener = config.listeners[listener].name;
  const bool session = url.scheme == "tcp://" || url.scheme == "tls://";
  const auto& tcp = runtime.tcp[listener];
  if (session && !tcp) {
    out.question = fmt::format("listener {} is of mode: http; write http:// in place of {}", out.listener, url.scheme);
    return out;
  }
  Approach approach = approach_of(url.scheme, url.authority);
  if (tcp)
    approach.tls = runtime.tls[listener] != nullptr;  // tcp:// and tls:// are both a session, as the listener has it
  out.client = peer->host();
  out.host = approach.server_name;
  // A path alone is asked of the routes: of its connection nothing is known.
  if ((tcp || !url.scheme.empty()) && !explain_handshake(runtime, listener, approach, question, out)) return out;
  if (tcp)
    explain_session(runtime, *tcp, out.client, rng, out);
  else
    explain_http(runtime, question, url, listener, approach, *peer, rng, out);
  return out;
}

}  // namespace weir::proxy
