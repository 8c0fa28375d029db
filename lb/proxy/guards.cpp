// What stands between a route and a request that matches it: the client's address, its rate, who it is.
#include <fmt/format.h>

#include <algorithm>

#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/guard_rules.hpp"
#include "lb/proxy/request_facts.hpp"

namespace weir::proxy {

using http1::FieldId;

namespace {

/// Many applications take _ for - and any case (CGI, WSGI): to them these are the same header, and http.underscores may
/// let both through.
bool same_to_an_application(std::string_view a, std::string_view b) {
  const auto fold = [](char c) { return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return fold(x) == fold(y); });
}

}  // namespace

/// Cheapest first; what takes the most comes behind the rate limit, which so bounds the guessing of passwords, too.
/// False: the request is answered, or waits.
bool Exchange::pass_guards() {
  if (refused_by_address()) return false;
  if (refused_by_rate()) return false;
  return route_->config->auth ? authenticate() : true;
}

bool Exchange::refused_by_address() {
  if (judge_address(*route_, client_) == AddressVerdict::passes) return false;
  answer_error(Cause::address_denied);
  return true;
}

/// Which of several values the backend goes by, nobody knows here: each pays, or a made-up one beside the real one
/// would be a way around the limit.
bool Exchange::refused_by_rate() {
  if (!route_->limiter) return false;
  const KeyValues keys = key_values(route_->limiter->limit().key, fields(), path_, client_);
  if (keys.more) {
    answer_error(Cause::bad_request, kTooManyKeys);
    return true;
  }
  for (const std::string_view key : keys.all()) {
    const auto verdict = route_->limiter->take(rate_bucket(key, keys.spelling), worker_.now);
    if (verdict.evicted) {
      RouteCells& cells = route_->state->cells[worker_.index];
      (verdict.evicted_active ? cells.rate_evicted_active : cells.rate_evicted_idle).add();
    }
    if (verdict.allowed) continue;
    answer_error(Cause::rate_limited, "", fmt::format("Retry-After: {}\r\n", verdict.retry_after()));
    return true;
  }
  return false;
}

/// What the backend is told of the user is ours alone to say, and a password that we check is not for it.
void Exchange::drop_identity(bool authorization) {
  for (auto& field : head.all())
    if ((authorization && field.id == FieldId::authorization) ||
        same_to_an_application(head.name(field), "x-remote-user"))
      field.drop = true;
}

bool Exchange::authenticate() {
  if (route_->config->auth->users) return check_password();
  ask_service();
  return false;
}

// ---- user and password ----

bool Exchange::check_password() {
  const auto& users = route_->config->auth->users;
  std::array<char, http1::kMaxCredentials> decoded;
  http1::BasicCredentials given;
  const Login login = read_login(head, decoded, given);
  drop_identity(true);
  if (login != Login::given) {
    ask_for_credentials(login == Login::missing ? Cause::credentials_missing : Cause::credentials_wrong);
    return false;
  }
  if (const auto* entry = users->find(given.user)) {
    claimed_user_ = entry->first;
    const auto digest = digest_credentials(entry->second, given.user, given.password);
    if (worker_.credentials.find(digest, worker_.now) != TimePoint{}) {
      user_ = claimed_user_;
      return true;
    }
  }
  stash_body();
  phase_ = Phase::authenticating;
  arm_phase(PasswordChecker::kPatience);
  if (!worker_.shared.passwords->ask({{&worker_, this, serial_},
                                      users,
                                      std::string(given.user),
                                      std::string(given.password),
                                      worker_.now + PasswordChecker::kPatience}))
    answer_error(Cause::auth_overload, "too many logins at a time");
  return false;
}

void Exchange::on_password_checked(bool right) {
  if (!right) return ask_for_credentials(Cause::credentials_wrong);
  user_ = claimed_user_;
  cancel();
  phase_ = Phase::deciding;
  serve();
}

void Exchange::ask_for_credentials(Cause why) {
  answer_error(why, "",
               fmt::format("WWW-Authenticate: Basic realm=\"{}\", charset=\"UTF-8\"\r\n", route_->config->auth->realm));
}

// ---- a service's word ----

void Exchange::ask_service() {
  drop_identity(false);
  stash_body();
  phase_ = Phase::authenticating;
  WorkerPool& pool = runtime_->pools[route_->auth_pool_index];
  if (!question_) question_ = std::make_unique<AuthQuestion>(worker_, *this);
  RequestContext context = request_context();
  if (trace_.on) context.traceparent = traceparent(0);
  question_->ask(*route_->config->auth->forward, pool, head, context, key_hash(pool));
}

void Exchange::set_auth_timer(TimePoint at) { worker_.wheel.arm(*this, at); }

void Exchange::on_auth_granted() {
  cancel();
  phase_ = Phase::deciding;
  const auto& ours = route_->config->auth->forward->response_headers;
  for (auto& field : head.all())
    if (std::any_of(ours.begin(), ours.end(),
                    [&](const auto& name) { return same_to_an_application(name, head.name(field)); }))
      field.drop = true;
  granted_ = question_->fields();
  serve();
}

void Exchange::on_auth_refused(uint16_t status) {
  cause_ = Cause::auth_refused;
  if (is_grpc()) return answer_grpc_error(grpc::status_of_http(status), info(cause_).help, {});
  answer_local(status, "", question_->body(), question_->fields());
}

void Exchange::on_auth_failed(const char* detail) { answer_error(Cause::auth_unavailable, detail); }

}  // namespace weir::proxy
