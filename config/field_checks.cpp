#include "config/field_checks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lb/base/own_fields.hpp"

namespace weir::config {

namespace {

constexpr std::array<std::string_view, 9> kHopByHop{
    "connection",          "http2-settings",   "keep-alive",       "proxy", "te", "trailer",
    "proxy-authorization", "proxy-connection", "transfer-encoding"};

std::string folded(std::string_view name) {
  std::string text(name);
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return text;
}

std::string with_hyphens(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

bool is_hop_by_hop(std::string_view folded_name) {
  return std::find(kHopByHop.begin(), kHopByHop.end(), folded_name) != kHopByHop.end();
}

bool asks_certificates(const Config& config) {
  return std::any_of(config.listeners.begin(), config.listeners.end(),
                     [](const Listener& listener) { return listener.tls && listener.tls->client_ca; });
}

/// Why no request has the field when routes and keys are looked at, and what to write; empty: some may have it.
std::string never_there(const std::string& name, const Config& config) {
  const std::string hyphens = with_hyphens(name);
  const bool ours = own_field(name) != OwnField::none || is_hop_by_hop(folded(hyphens));
  if (hyphens != name) {
    if (ours) return fmt::format("{} is dropped from every request, since applications take it for {}", name, hyphens);
    if (config.http.underscores == Http::Underscores::allow) return {};
    return fmt::format("no request has {}: http.underscores is {}; write http: {{ underscores: allow }}, or {}", name,
                       config.http.underscores == Http::Underscores::drop ? "drop" : "reject", hyphens);
  }
  if (is_hop_by_hop(folded(name)))
    return fmt::format("{} belongs to the connection, not to the request, and no backend gets it; leave it out", name);
  const bool somebody = !config.trusted_proxies.empty();
  switch (own_field(name)) {
    case OwnField::none: return {};
    case OwnField::address:
      return fmt::format(
          "{} is set by Weir after routing, whatever the request has; write `client` as the key, or "
          "`allow` and `deny`",
          name);
    case OwnField::certificate:
      if (somebody || asks_certificates(config)) return {};
      return fmt::format(
          "no request has {}: no listener asks for certificates; write tls: {{ client_ca: FILE }}, or "
          "trusted_proxies: [ADDRESS] with who sends it",
          name);
    case OwnField::forwarding: break;
  }
  if (somebody) return {};
  return fmt::format(
      "no request has {}: it is dropped unless trusted_proxies names who sends it, and set by Weir only "
      "after routing; write trusted_proxies: [ADDRESS]",
      name);
}

void check_name(Reader& in, Place at, const std::string& name, const Config& config) {
  if (const std::string problem = never_there(name, config); !problem.empty()) in.error(at, problem);
}

/// `{ header: NAME }`, or first_of such.
void check_key(Reader& in, const Node& key, const Config& config) {
  if (const Node* name = key.find("header"); name && name->kind == Node::Kind::scalar)
    check_name(in, name->at, name->text, config);
  if (const Node* parts = key.find("first_of"))
    for (const Node& part : parts->items) check_key(in, part, config);
}

void check_hash_key(Reader& in, const Node& pool, const Config& config) {
  const Node* balance = pool.find("balance");
  const Node* key = balance ? balance->find("consistent_hash") : nullptr;
  if (!key) return;
  const Trail::Step step(in.trail, "balance");
  const Trail::Step inner(in.trail, "consistent_hash");
  check_key(in, *key, config);
}

void check_route(Reader& in, const Node& route, const Config& config) {
  const Node* match = route.find("match");
  if (const Node* headers = match ? match->find("header") : nullptr) {
    const Trail::Step step(in.trail, "match");
    const Trail::Step inner(in.trail, "header");
    for (const Entry& header : headers->entries) check_name(in, header.at, header.key, config);
  }
  const Node* limit = route.find("rate_limit");
  if (const Node* key = limit ? limit->find("key") : nullptr) {
    const Trail::Step step(in.trail, "rate_limit");
    const Trail::Step inner(in.trail, "key");
    check_key(in, *key, config);
  }
}

}  // namespace

void check_fields(Reader& in, const Node& root, const Config& config) {
  if (const Node* keys = root.find("keys"))
    for (const Entry& key : keys->entries) {
      const Trail::Step step(in.trail, fmt::format("keys.{}", key.key));
      check_key(in, key.value, config);
    }
  if (const Node* defaults = root.find("defaults")) {
    const Trail::Step step(in.trail, "defaults");
    check_hash_key(in, *defaults, config);
  }
  if (const Node* pools = root.find("pools"))
    for (const Entry& pool : pools->entries) {
      const Trail::Step step(in.trail, fmt::format("pool {}", pool.key), true);
      check_hash_key(in, pool.value, config);
    }
  if (const Node* routes = root.find("routes"))
    for (size_t i = 0; i < routes->items.size(); ++i) {
      const Trail::Step step(in.trail, fmt::format("route {}", i + 1), true);
      check_route(in, routes->items[i], config);
    }
}

}  // namespace weir::config
