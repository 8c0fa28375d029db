// `balance:` and the named keys that it hashes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/rules.hpp"
#include "config/section.hpp"
#include "config/suggest.hpp"
#include "config/tables.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

struct BuiltIn {
  const char* name;
  KeySpec::Kind kind;
};
constexpr BuiltIn kBuiltIn[] = {{"client", KeySpec::Kind::client},
                                {"path", KeySpec::Kind::path},
                                {"host", KeySpec::Kind::host},
                                {"sni", KeySpec::Kind::sni}};

std::optional<KeySpec> built_in_key(std::string_view name) {
  for (const auto& known : kBuiltIn)
    if (name == known.name) return KeySpec{.kind = known.kind, .name = {}, .first_of = {}};
  return std::nullopt;
}

constexpr std::string_view kKeyExample =
    "{ cookie: NAME }, { header: NAME }, { query: NAME }, { path: \"/t/{}\" } or { client: true }";

struct Extractor {
  const char* name;
  KeySpec::Kind kind;
  std::string (*rule)(std::string&);
};
constexpr Extractor kExtractors[] = {{"header", KeySpec::Kind::header, rules::header_name},
                                     {"cookie", KeySpec::Kind::cookie, rules::cookie_name},
                                     {"query", KeySpec::Kind::query, rules::line},
                                     {"path", KeySpec::Kind::path_template, rules::path_template}};

std::vector<std::string> extractor_names(bool inside) {
  std::vector<std::string> names{"client"};
  for (const auto& extractor : kExtractors) names.emplace_back(extractor.name);
  if (!inside) names.emplace_back("first_of");
  return names;
}

std::optional<KeySpec> read_key(Reader& in, const Node& node, bool inside);

std::optional<KeySpec> read_first_of(Reader& in, const Node& node) {
  KeySpec key{.kind = KeySpec::Kind::first_of, .name = {}, .first_of = {}};
  if (node.kind != Node::Kind::list || node.items.empty()) {
    if (node.kind != Node::Kind::broken)
      in.error(node.at, "first_of takes a list of keys; write [ { header: X-Tenant }, client ]");
    return std::nullopt;
  }
  if (node.items.size() > 8) in.error(node.at, "first_of takes at most 8 keys; remove some");
  for (const auto& item : node.items)
    if (auto part = read_key(in, item, true)) key.first_of.push_back(std::move(*part));
  return key;
}

/// `inside` a first_of.
std::optional<KeySpec> read_key(Reader& in, const Node& node, bool inside) {
  if (node.kind == Node::Kind::scalar) {
    if (auto key = built_in_key(node.text)) return key;
    in.error(node.at, fmt::format("\"{}\" is no built-in key; write client, path, host, sni or {}",
                                  node.text.substr(0, 64), kKeyExample));
    return std::nullopt;
  }
  if (!expect_map(in, node, kKeyExample)) return std::nullopt;
  if (node.entries.size() != 1) {
    in.error(node.at, fmt::format("a key is made of exactly one thing; write {}, or first_of: [...]", kKeyExample));
    return std::nullopt;
  }
  const Entry& entry = node.entries[0];
  const auto names = extractor_names(inside);
  if (std::find(names.begin(), names.end(), entry.key) == names.end()) {
    report_unknown_key(in, entry, names);
    return std::nullopt;
  }
  Trail::Step step(in.trail, entry.key);
  if (!inside && entry.key == "first_of")
    return expect_value(in, entry) ? read_first_of(in, entry.value) : std::nullopt;
  if (entry.key == "client") {
    bool yes = false;
    boolean()->read(in, entry.value, yes);
    if (!yes && entry.value.is_plain() && entry.value.text == "false") in.error(entry.value.at, "write client: true");
    return built_in_key("client");
  }
  for (const auto& extractor : kExtractors) {
    if (entry.key != extractor.name) continue;
    KeySpec key{.kind = extractor.kind, .name = {}, .first_of = {}};
    if (!expect_value(in, entry)) return std::nullopt;
    text("a name", extractor.rule)->read(in, entry.value, key.name);
    return key;
  }
  return std::nullopt;
}

std::optional<KeySpec> find_key(Reader& in, Place at, const std::string& name) {
  if (auto key = built_in_key(name)) return key;
  if (const auto found = in.keys.find(name); found != in.keys.end()) {
    in.keys_used[name] = true;
    return found->second;
  }
  if (in.key_places.contains(name)) return std::nullopt;  // declared, but wrong: said there
  std::vector<std::string> names;
  for (const auto& known : kBuiltIn) names.emplace_back(known.name);
  for (const auto& [known, spec] : in.keys) names.push_back(known);
  in.error(at, fmt::format("there is no key \"{}\"; {}", name.substr(0, 64),
                           suggest(name, names, "name it under `keys:`; the keys are", "name it under `keys:`")));
  return std::nullopt;
}

void read_hash_key(Reader& in, const Node& node, Balance& balance) {
  balance.algorithm = "consistent_hash";
  balance.key = read_key_use(in, node);
}

std::string show_balance(const Balance& balance) {
  const Balance usual;
  std::string text = balance.algorithm;
  if (balance.key) text += " by " + show_key(*balance.key);
  if (balance.bound_percent != usual.bound_percent) text += fmt::format(", bound {}%", balance.bound_percent);
  if (balance.bound_floor != usual.bound_floor) text += fmt::format(", bound_floor {}", balance.bound_floor);
  return text;
}

std::string names_json() {
  std::vector<std::string> quoted;
  for (const auto& name : balance_names())
    if (name != "consistent_hash") quoted.push_back(json_quote(name));
  return fmt::format(R"({{"enum":[{}]}})", fmt::join(quoted, ","));
}

void read_balance_name(Reader& in, const Node& node, Balance& balance) {
  const std::string* name = expect_scalar(in, node, "the name of an algorithm, such as least_connections");
  if (!name) return;
  balance = Balance{};
  if (*name == "consistent_hash")
    return in.error(
        node.at, "consistent_hash needs a key; write { consistent_hash: client }, or another key in place of client");
  for (const auto& known : balance_names())
    if (*name == known) {
      balance.algorithm = known;
      return;
    }
  in.error(node.at, fmt::format("there is no algorithm \"{}\"; {}", name->substr(0, 64),
                                suggest(*name, balance_names(), "write one of")));
}

}  // namespace

const std::vector<std::string>& balance_names() {
  static const std::vector<std::string> names{"consistent_hash", "latency", "least_connections",
                                              "power_of_two",    "random",  "round_robin"};
  return names;
}

std::string show_key(const KeySpec& key) {
  switch (key.kind) {
    case KeySpec::Kind::client: return "client";
    case KeySpec::Kind::path: return "path";
    case KeySpec::Kind::host: return "host";
    case KeySpec::Kind::sni: return "sni";
    case KeySpec::Kind::header: return "header " + key.name;
    case KeySpec::Kind::cookie: return "cookie " + key.name;
    case KeySpec::Kind::query: return "query " + key.name;
    case KeySpec::Kind::path_template: return "path " + key.name;
    case KeySpec::Kind::first_of: break;
  }
  std::vector<std::string> parts;
  for (const auto& part : key.first_of) parts.push_back(show_key(part));
  return fmt::format("first of [{}]", fmt::join(parts, ", "));
}

TypeOf<Balance> balance_type() {
  return Section<Balance>("balance", "How a pool chooses among its backends: a name, or a map for `consistent_hash`.",
                          {custom<Balance>(
                               "consistent_hash", key_use_doc(), read_hash_key,
                               [](const Balance& b) { return b.key ? show_key(*b.key) : ""; },
                               "Requests with the same key go to the same backend.")
                               .required("consistent_hash: KEY, or the name of another algorithm alone"),
                           key("bound", &Balance::bound_percent, percent(100, 1000),
                               "No backend takes more than this share of the mean load; what is above spills over."),
                           key("bound_floor", &Balance::bound_floor, count(1, 1'000'000),
                               "… but each may always have so many requests in flight.")})
      .short_form(
          fmt::format("`{}`", fmt::join(std::vector(balance_names().begin() + 1, balance_names().end()), "`, `")),
          names_json(), read_balance_name)
      .before([](Reader&, const Node&, Balance& balance) { balance = Balance{}; })
      .example("least_connections, or { consistent_hash: KEY }")
      .shown_as(show_balance);
}

std::optional<KeySpec> read_key_use(Reader& in, const Node& node) {
  return node.kind == Node::Kind::scalar ? find_key(in, node.at, node.text) : read_key(in, node, false);
}

namespace {

constexpr std::string_view kExtractorJson =
    R"({"type":"object","minProperties":1,"maxProperties":1,"additionalProperties":false,"properties":{"client":{"const":true},)"
    R"("header":{"type":"string"},"cookie":{"type":"string"},"query":{"type":"string"},"path":{"type":"string"})";

/// The JSON schema of a key; `word` is that of its short form.
std::string key_json(std::string_view word) {
  constexpr std::string_view built_in = R"({"enum":["client","path","host","sni"]})";
  const std::string inner = fmt::format(R"({{"oneOf":[{},{}}}}}]}})", built_in, kExtractorJson);
  return fmt::format(R"({{"oneOf":[{},{},"first_of":{{"type":"array","minItems":1,"maxItems":8,"items":{}}}}}}}]}})",
                     word, kExtractorJson, inner);
}

}  // namespace

TypeDoc key_use_doc() {
  return {.text =
              "`client`, `path`, `host`, `sni` (in mode: tcp), one of `keys:`, or one made here as there, such as `{ "
              "header: X-Api-Key }`",
          .json = key_json(R"({"type":"string"})")};
}

TypeDoc keys_doc() {
  return {
      .text = "map from names to " + std::string("`{ header: NAME }`, `{ cookie: NAME }`, `{ query: NAME }`, `{ path: "
                                                 "\"/t/{}\" }`, `{ client: true }` or `{ first_of: [...] }`"),
      .json = fmt::format(
          R"({{"type":"object","propertyNames":{{"pattern":"^[A-Za-z0-9_.-]{{1,64}}$"}},"additionalProperties":{}}})",
          key_json(R"({"enum":["client","path","host","sni"]})")),
  };
}

void read_keys(Reader& in, const Node& node) {
  if (!expect_map(in, node, "{ session: { cookie: NAME } }")) return;
  for (const auto& entry : node.entries) {
    if (!in.check_name(entry.at, entry.key)) continue;
    Trail::Step step(in.trail, "key " + entry.key, true);
    in.key_places.emplace(entry.key, entry.at);
    if (built_in_key(entry.key)) {
      in.error(entry.at, fmt::format("{} is a built-in key; take another name", entry.key));
    } else if (expect_value(in, entry)) {
      if (auto key = read_key(in, entry.value, false)) in.keys.emplace(entry.key, std::move(*key));
    }
  }
}

}  // namespace weir::config
