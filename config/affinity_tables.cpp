// `affinity:` of a pool, and `secret:`.
#include <fmt/format.h>

#include <algorithm>

#include "config/rules.hpp"
#include "config/secret_file.hpp"
#include "config/section.hpp"
#include "config/tables.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

/// A name that browsers don't tie to conditions which a cookie of ours may not meet (RFC 6265bis §4.1.3).
std::string affinity_cookie_name(std::string& text) {
  if (const std::string problem = rules::cookie_name(text); !problem.empty()) return problem;
  std::string prefix = text.substr(0, 9);
  std::transform(prefix.begin(), prefix.end(), prefix.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? c | 32 : c; });
  if (prefix.starts_with("__host-") || prefix.starts_with("__secure-"))
    return fmt::format("browsers take cookies named {} over TLS alone; write another name, like weir_affinity",
                       text.substr(0, prefix.starts_with("__host-") ? 7 : 9));
  return {};
}

}  // namespace

TypeOf<Affinity> affinity_section() {
  return Section<Affinity>(
             "affinity",
             "A signed cookie keeps a session with its backend, on every instance that has the same `secret`.",
             {only<Affinity>("mode", "enforce", {"off", "observe"}, "What the cookie does."),
              key("cookie", &Affinity::cookie, text("name", affinity_cookie_name),
                  "Its name; one that the application does not use."),
              key("ttl", &Affinity::ttl, duration(1s, 8760h), "How long it holds; it is renewed at half of that."),
              key("drain", &Affinity::drain, duration(1s, 240h).zero_is("off"),
                  "How long a draining backend still gets its own sessions."),
              key("idle", &Affinity::idle, duration(1s, 240h).zero_is("off"),
                  "A session without a request for so long is over to `weir drain`; `off`: only when `drain` is."),
              later<Affinity>("except")})
      .example("{ ttl: 8h, drain: 30m }");
}

Key<Config> secret_key() {
  auto secret = custom<Config>(
      "secret", {.text = "path", .json = R"({"type":"string"})"},
      [](Reader& in, const Node& node, Config& config) {
        read_secret_file(in, node, config.secret_file, config.secret_keys);
      },
      [](const Config& config) { return config.secret_file; },
      "A file with keys for signed cookies, one a line: the first signs, each verifies.");
  // Other keys in the old file are a change, too; the keys themselves are shown to nobody.
  secret.compare = [](Changes& out, const Config& a, const Config& b) {
    const bool renewed = a.secret_file == b.secret_file && a.secret_keys != b.secret_keys;
    out.changed(renewed ? fmt::format("the old keys ({})", a.secret_keys.size()) : a.secret_file,
                renewed ? fmt::format("new ones ({})", b.secret_keys.size()) : b.secret_file);
  };
  return secret;
}

void check_secret(Reader& in, const Node& root, const Config& config) {
  if (root.find_entry("secret")) return;
  for (size_t i = 0; i < config.pools.size() && i < in.pool_places.size(); ++i) {
    if (!config.pools[i].affinity) continue;
    const Trail::Step pool(in.trail, "pool " + config.pools[i].name, true);
    const Trail::Step key(in.trail, "affinity");
    const Node* pools = root.find("pools");
    const Node* own = pools ? pools->find(config.pools[i].name.c_str()) : nullptr;
    const Entry* entry = own ? own->find_entry("affinity") : nullptr;
    in.error(entry ? entry->at : in.pool_places[i],
             fmt::format("its cookies must be signed; write secret: /etc/weir/secret.keys at the top, and {} for that "
                         "file",
                         kMakeSecret));
  }
}

}  // namespace weir::config
