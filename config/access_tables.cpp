// What guards a route: `rate_limit`, `allow`, `deny`, `auth`.
#include <fmt/format.h>

#include "config/addresses.hpp"
#include "config/paths.hpp"
#include "config/rules.hpp"
#include "config/section.hpp"
#include "config/tables.hpp"
#include "config/tcp_tables.hpp"
#include "config/types.hpp"
#include "config/user_file.hpp"

namespace weir::config {

namespace {

// ---- rate_limit ----

constexpr uint32_t kMaxRate = 1'000'000;

struct Period {
  char name;
  milliseconds length;
};
constexpr Period kPeriods[] = {{'s', 1s}, {'m', 1min}, {'h', 1h}};

class RateType final : public Type<Rate> {
 public:
  void read(Reader& in, const Node& node, Rate& value) const override {
    const std::string* text = expect_scalar(in, node, kExample);
    if (!text) return;
    const size_t digits = std::min(text->find_first_not_of("0123456789"), text->size());
    const std::string_view unit = std::string_view(*text).substr(digits);
    const std::string shown = text->substr(0, 40);
    if (digits == 0) return in.error(node.at, fmt::format("{} is no rate; write {}", shown, kExample));
    if (unit.empty()) return in.error(node.at, fmt::format("{0} has no unit; write {0}/s, {0}/m or {0}/h", shown));
    const uint64_t count = digits > 9 ? kMaxRate + 1 : std::stoull(text->substr(0, digits));
    if (count == 0 || count > kMaxRate)
      return in.error(node.at, fmt::format("{} is out of range; write 1/h to {}/s", shown, kMaxRate));
    for (const auto& period : kPeriods)
      if (unit.size() == 2 && unit[0] == '/' && unit[1] == period.name) {
        value = {static_cast<uint32_t>(count), period.length};
        return;
      }
    in.error(node.at, fmt::format("{} has an unknown unit; write {}", shown, kExample));
  }
  std::string show(const Rate& value) const override { return show_rate(value); }
  TypeDoc doc() const override {
    return {.text = "rate: `100/s`, `600/m`, `5000/h`", .json = R"({"type":"string","pattern":"^[1-9][0-9]*/[smh]$"})"};
  }

 private:
  static constexpr std::string_view kExample = "a rate like 100/s, 600/m or 5000/h";
};

void read_limit_key(Reader& in, const Node& node, RateLimit& limit) {
  auto key = read_key_use(in, node);
  if (!key) return;
  if (needs_session(*key)) return in.error(node.at, "sni is a key of mode: tcp; write host, which requests have");
  limit.key = std::move(*key);
}

TypeOf<RateLimit> rate_limit_section() {
  return Section<RateLimit>(
             "rate_limit",
             "Each value of the key has a bucket of tokens, filled at `rate` up to `burst`; a request takes one, and "
             "without one it gets 429 with `Retry-After`. Exact over all workers. Requests without the key share one "
             "bucket.",
             {custom<RateLimit>(
                  "key", key_use_doc(), read_limit_key, [](const RateLimit& limit) { return show_key(limit.key); },
                  "What is counted by.")
                  .required("key: client, or another key"),
              key("rate", &RateLimit::rate, std::make_shared<RateType>(), "How fast tokens come back.")
                  .required("rate: 100/s"),
              key("burst", &RateLimit::burst, count(1, kMaxRate),
                  "Tokens in a full bucket; as many as `rate` names if left out."),
              key("max_keys", &RateLimit::max_keys, count(1, 10'000'000),
                  "Buckets kept at a time, of about 50 bytes each; the one not used for longest makes room.")})
      .example("{ key: client, rate: 100/s, burst: 200 }");
}

// ---- auth ----

std::shared_ptr<const UserFile> load_users(Reader& in, const Node& node, const std::string& path) {
  const FileText text = in.environment.read_file(path, kMaxUserFileBytes, false);
  if (!text.text) {
    in.error(node.at, fmt::format("{} can't be read ({}); write the path of a file of users", path, text.error));
    return nullptr;
  }
  if (text.text->size() > kMaxUserFileBytes) {
    in.error(node.at, fmt::format("{} is longer than 4 MiB; that is no file of users", path));
    return nullptr;
  }
  auto file = std::make_shared<UserFile>();
  file->path = path;
  const auto problems = parse_users(*text.text, *file);
  if (problems.empty()) return file;
  in.files.push_back(path);
  for (const auto& problem : problems)
    in.error({static_cast<int>(in.files.size()) - 1, problem.line, problem.column}, problem.message);
  return nullptr;
}

void read_users(Reader& in, const Node& node, Auth& auth) {
  const std::string* path = expect_scalar(in, node, "the path of a file of users");
  if (!path) return;
  if (path->empty()) return in.error(node.at, "the path is empty; write the path of a file of users");
  const std::string resolved = beside(in.files.at(static_cast<size_t>(node.at.file)), *path);
  const auto [known, fresh] = in.user_files.emplace(resolved, nullptr);
  if (fresh) known->second = load_users(in, node, resolved);
  auth.users = known->second;
}

std::string realm_rule(std::string& text) {
  if (std::string problem = rules::line(text); !problem.empty()) return problem;
  if (text.find_first_of("\"\\") != std::string::npos) return "a realm holds no \" and no \\; leave them out";
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
    return "a realm holds only ASCII; write it so";
  return text.size() > 128 ? "a realm has 128 bytes at most; make it shorter" : std::string();
}

/// Two files of the same path differ in what they hold; no hash may stand in a log.
void compare_users(Changes& out, const Auth& before, const Auth& after) {
  const auto path = [](const Auth& auth) { return auth.users ? auth.users->path : std::string(); };
  if (path(before) != path(after)) return out.changed(path(before), path(after));
  if (before.users && after.users && before.users->users != after.users->users)
    out.note(fmt::format("the users in {} changed", path(after)));
}

void read_forward_pool(Reader& in, const Node& node, ForwardAuth& forward) {
  const std::string* name = expect_scalar(in, node, "the name of a pool");
  if (!name) return;
  forward.pool = *name;
  in.auth_pool_uses.push_back({node.at, *name, in.route_places.size() - 1});
}

TypeOf<ForwardAuth> forward_section() {
  return Section<ForwardAuth>(
             "forward",
             "Asks a service of yours: a GET with the request's headers and `X-Forwarded-Method`, `-Uri`, `-Host`, "
             "`-Proto`, `-For`. On 2xx the request goes on; 3xx, 401 and 403 go to the client; without such an answer "
             "the client gets 503.",
             {custom<ForwardAuth>(
                  "pool", {.text = "name of a pool", .json = R"({"type":"string"})"}, read_forward_pool,
                  [](const ForwardAuth& forward) { return forward.pool; }, "Where the service is.")
                  .required("pool: NAME"),
              key("path", &ForwardAuth::path, text("path", rules::plain_path), "What it is asked for."),
              key("response_headers", &ForwardAuth::response_headers,
                  one_or_more(text("header", rules::settable_request_header)),
                  "Headers of its answer that backends get; the client's own never get through."),
              key("timeout", &ForwardAuth::timeout, duration(1ms, 10min), "For its whole answer.")})
      .example("{ pool: sso, path: /verify }");
}

TypeOf<Auth> auth_section() {
  auto users = custom<Auth>(
      "basic", {.text = "path of a file of users, as `htpasswd -B` writes it", .json = R"({"type":"string"})"},
      read_users, [](const Auth& auth) { return auth.users ? auth.users->path : std::string(); },
      "User name and password (RFC 7617). The file is read at the start and at each reload.");
  users.compare = compare_users;
  return Section<Auth>("auth", "Who may come in.",
                       {std::move(users),
                        key("realm", &Auth::realm, text("text", realm_rule), "What a browser shows when it asks."),
                        key("forward", &Auth::forward, forward_section(), "Or a service of yours decides.")})
      .after([](Reader& in, const Node& node, Auth&) {
        const Entry *basic = node.find_entry("basic"), *forward = node.find_entry("forward"),
                    *realm = node.find_entry("realm");
        if (!basic && !forward)
          in.error(
              node.at,
              "nothing says how clients prove who they are; write basic: /etc/weir/users, or forward: { pool: NAME }");
        if (basic && forward) in.error(forward->at, "a route has only one of basic and forward; remove the other");
        if (realm && forward && !basic) in.error(realm->at, "realm belongs to basic; remove it");
      })
      .example("{ basic: /etc/weir/users }, or { forward: { pool: sso, path: /verify } }");
}

}  // namespace

std::string show_rate(const Rate& value) {
  if (value.count == 0) return {};
  for (const auto& period : kPeriods)
    if (period.length == value.period) return fmt::format("{}/{}", value.count, period.name);
  return {};
}

std::vector<Key<Route>> access_keys() {
  return {key("rate_limit", &Route::rate_limit, rate_limit_section(), "How often one client may ask."),
          key("allow", &Route::allow, one_or_more(address_block()), "Clients that are let in; all others get 403."),
          key("deny", &Route::deny, one_or_more(address_block()), "Clients that get 403, even if `allow` has them."),
          key("auth", &Route::auth, auth_section(), "Who may come in.")};
}

}  // namespace weir::config
