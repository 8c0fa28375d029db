#include "lb/proxy/explain_guards.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/tables.hpp"
#include "lb/proxy/guard_rules.hpp"
#include "lb/proxy/password_checker.hpp"
#include "lb/proxy/request_facts.hpp"

namespace weir::proxy {

namespace {

using Verdict = Explanation::Guard::Verdict;

/// False, if it refuses.
bool add(Explanation& out, const char* rule, Verdict verdict, std::string says, Cause cause = Cause::none) {
  if (verdict == Verdict::refuses) {
    out.outcome = Explanation::Outcome::refused;
    out.cause = cause;
  }
  out.guards.push_back({rule, verdict, std::move(says)});
  return verdict != Verdict::refuses;
}

bool ask_addresses(const Route& route, Explanation& out) {
  const auto verdict = judge_address(route, out.client);
  const bool denied = verdict == AddressVerdict::denied, outside = verdict == AddressVerdict::not_allowed;
  const auto says = [&](bool inside) {
    return out.client == kUnknownClient ? "X-Forwarded-For names the client by no address"
                                        : fmt::format("{} is {}in it", out.client, inside ? "" : "not ");
  };
  if (route.deny && !add(out, "deny", denied ? Verdict::refuses : Verdict::passes, says(denied), Cause::address_denied))
    return false;
  return !route.allow ||
         add(out, "allow", outside ? Verdict::refuses : Verdict::passes, says(!outside), Cause::address_denied);
}

bool ask_bucket(const route::RateLimiter& limiter, const Question& question, std::string_view key,
                KeyValues::Spelling spelling, Explanation& out) {
  const auto& limit = limiter.limit();
  std::string says =
      fmt::format("{} by {} = {}", config::show_rate(limit.rate), config::show_key(limit.key),
                  key.empty() ? "(none in this request: such ones share a bucket)" : fmt::format("\"{}\"", key));
  if (question.from_file) return add(out, "rate_limit", Verdict::open, std::move(says));
  const auto verdict = limiter.peek(rate_bucket(key, spelling), monotonic_now());
  says += verdict.allowed ? "; there is room" : fmt::format("; used up, room again in {} s", verdict.retry_after());
  return add(out, "rate_limit", verdict.allowed ? Verdict::passes : Verdict::refuses, std::move(says),
             Cause::rate_limited);
}

bool ask_limiter(const Route& route, const Question& question, const http1::RequestHead& head,
                 const http1::NormalizedPath& path, Explanation& out) {
  const KeyValues keys = key_values(route.limiter->limit().key, {head, {}}, path, out.client);
  if (keys.more) return add(out, "rate_limit", Verdict::refuses, kTooManyKeys, Cause::bad_request);
  const auto passes = [&](std::string_view key) {
    return ask_bucket(*route.limiter, question, key, keys.spelling, out);
  };
  return std::all_of(keys.all().begin(), keys.all().end(), passes);
}

bool ask_login(const config::UserFile& users, const Question& question, const http1::RequestHead& head,
               Explanation& out) {
  std::array<char, http1::kMaxCredentials> room;
  http1::BasicCredentials given;
  switch (read_login(head, room, given)) {
    case Login::missing:
      return add(out, "auth", Verdict::refuses, "asks for a password, and the request has none",
                 Cause::credentials_missing);
    case Login::wrong:
      return add(out, "auth", Verdict::refuses, "Authorization stands there twice, or is no `Basic BASE64`",
                 Cause::credentials_wrong);
    case Login::given: break;
  }
  // Reading the API of a daemon is free on loopback: it must not be a place where passwords can be tried.
  if (!question.from_file)
    return add(out, "auth", Verdict::open,
               fmt::format("a running daemon is not asked whether the password of \"{}\" is right", given.user));
  const auto* entry = users.find(given.user);
  const bool right = entry && password_matches(std::string(given.password), entry->second);
  return add(out, "auth", right ? Verdict::passes : Verdict::refuses,
             fmt::format("the password of \"{}\" is {}", given.user,
                         right   ? "right"
                         : entry ? "wrong"
                                 : fmt::format("not known: {} has no such user", users.path)),
             Cause::credentials_wrong);
}

}  // namespace

bool explain_guards(const Route& route, const Question& question, const http1::RequestHead& head,
                    const http1::NormalizedPath& path, Explanation& out) {
  if (!ask_addresses(route, out)) return false;
  if (route.limiter && !ask_limiter(route, question, head, path, out)) return false;
  const auto& auth = route.config->auth;
  if (!auth) return true;
  if (auth->users) return ask_login(*auth->users, question, head, out);
  return add(out, "auth", Verdict::open,
             fmt::format("asks pool {} first (GET {})", auth->forward->pool, auth->forward->path));
}

}  // namespace weir::proxy
