// `affinity:` of a pool, and `secret:`.
#include <fmt/format.h>

#include <algorithm>

#include "config/paths.hpp"
#include "config/rules.hpp"
#include "config/section.hpp"
#include "config/tables.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

constexpr size_t kFewestBytes = 32, kMostBytes = 256, kMostKeys = 8;
constexpr const char* kMakeOne = "make one with `head -c 32 /dev/urandom | base64`";

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

/// What is wrong with a line of the file; the line itself is shown to nobody.
std::string key_problem(std::string_view line, const std::vector<std::string>& before) {
  if (std::any_of(line.begin(), line.end(), [](char c) { return c <= ' ' || c > '~'; }))
    return fmt::format("a key is one word of printable ASCII, without blanks; {}", kMakeOne);
  if (line.size() < kFewestBytes || line.size() > kMostBytes)
    return fmt::format("a key of {} characters; {} to {} are allowed: {}", line.size(), kFewestBytes, kMostBytes,
                       kMakeOne);
  if (std::find(before.begin(), before.end(), line) != before.end()) return "this key is here twice; keep one";
  if (before.size() == kMostKeys) return fmt::format("these are more than {} keys; remove old ones", kMostKeys);
  return {};
}

/// One key a line; empty lines and those that begin with # say nothing.
void read_keys_file(Reader& in, Place at, const std::string& path, const std::string& text, Config& config) {
  const int file = static_cast<int>(in.files.size());
  in.files.push_back(path);
  const size_t problems = in.errors.size();
  int number = 0;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    std::string line = text.substr(start, end - start);
    start = end + 1;
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with('#')) continue;
    if (const std::string problem = key_problem(line, config.secret_keys); !problem.empty()) {
      in.error({file, number, 1}, problem);
    } else {
      config.secret_keys.push_back(std::move(line));
    }
  }
  if (config.secret_keys.empty() && in.errors.size() == problems)
    in.error(at, fmt::format("{} holds no key; {}, one a line", path, kMakeOne));
}

void read_secret(Reader& in, const Node& node, Config& config) {
  constexpr size_t kMostFileBytes = 16 << 10;
  const std::string* path = expect_scalar(in, node, "the path of a file with keys");
  if (!path) return;
  const std::string resolved = beside(in.files.at(static_cast<size_t>(node.at.file)), *path);
  const FileText file = in.environment.read_file(resolved, kMostFileBytes, false);
  if (!file.text) return in.error(node.at, fmt::format("{} can't be read ({}); {}", resolved, file.error, kMakeOne));
  if (file.text->size() > kMostFileBytes)
    return in.error(node.at, fmt::format("{} is longer than 16 KiB; write a key a line", resolved));
  config.secret_file = resolved;
  read_keys_file(in, node.at, resolved, *file.text, config);
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
              later<Affinity>("except")})
      .example("{ ttl: 8h, drain: 30m }");
}

Key<Config> secret_key() {
  auto secret = custom<Config>(
      "secret", {.text = "path", .json = R"({"type":"string"})"}, read_secret,
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
                         kMakeOne));
  }
}

}  // namespace weir::config
