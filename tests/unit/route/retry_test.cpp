#include "lb/route/retry.hpp"

#include <thread>
#include <vector>

#include "lb/base/rng.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace weir::route;

namespace {

/// GET, sent, on a new connection, and the backend reset it.
Attempt sent_get() {
  Attempt attempt;
  attempt.bytes_sent = attempt.method_idempotent = true;
  return attempt;
}

config::Retry all_kinds() {
  config::Retry rules;
  rules.timeout = true;
  rules.statuses = {502, 503};
  return rules;
}

}  // namespace

TEST_CASE("a connect failure is retried for every method, free of the budget") {
  Attempt attempt;
  attempt.kind = FailureKind::connect;
  attempt.method_idempotent = GENERATE(false, true);
  CHECK(decide(attempt, {}) == Verdict::retry_free);
  attempt.others_tried = 1;
  CHECK(decide(attempt, {}) == Verdict::retry_free);
  attempt.others_tried = 2;
  CHECK(decide(attempt, {}) == Verdict::give_up);
  config::Retry rules;
  rules.connect = false;
  attempt.others_tried = 0;
  CHECK(decide(attempt, rules) == Verdict::give_up);
}

TEST_CASE("what was sent is repeated only if it is idempotent and its body is still there") {
  Attempt attempt = sent_get();
  CHECK(decide(attempt, {}) == Verdict::retry);
  attempt.body_replayable = false;
  CHECK(decide(attempt, {}) == Verdict::give_up);
  attempt.body_replayable = true;
  attempt.method_idempotent = false;
  CHECK(decide(attempt, {}) == Verdict::give_up);
  attempt.bytes_sent = false;
  CHECK(decide(attempt, {}) == Verdict::retry_free);
}

TEST_CASE("a request of which a part is gone is never sent again, not even one that the backend has refused") {
  Attempt attempt;
  attempt.kind = GENERATE(FailureKind::connect, FailureKind::reset, FailureKind::timeout, FailureKind::status);
  attempt.status = 503;
  attempt.reused_connection = GENERATE(false, true);
  attempt.method_idempotent = GENERATE(false, true);
  attempt.bytes_sent = false;
  CHECK(decide(attempt, all_kinds()) != Verdict::give_up);
  attempt.body_replayable = false;
  CHECK(decide(attempt, all_kinds()) == Verdict::give_up);
}

TEST_CASE("nothing is retried once the client has bytes of the response, or a POST was sent: over all combinations") {
  const auto rules = all_kinds();
  size_t retried = 0;
  for (unsigned bits = 0; bits < 1u << 9; ++bits) {
    const auto bit = [bits](unsigned i) { return (bits >> i & 1) != 0; };
    Attempt attempt;
    attempt.kind = static_cast<FailureKind>(bits & 3);
    attempt.status = 503;
    attempt.bytes_sent = bit(2);
    attempt.response_begun = bit(3);
    attempt.response_started = bit(4);
    attempt.body_replayable = bit(5);
    attempt.method_idempotent = bit(6);
    attempt.reused_connection = bit(7);
    attempt.raced_before = bit(8);
    const Verdict verdict = decide(attempt, rules);
    CAPTURE(bits);
    if (attempt.response_started || !attempt.body_replayable) CHECK(verdict == Verdict::give_up);
    if (attempt.bytes_sent && !attempt.method_idempotent) CHECK(verdict == Verdict::give_up);
    if (attempt.bytes_sent) CHECK(verdict != Verdict::retry_free);
    if (verdict == Verdict::retry_same)
      CHECK((attempt.reused_connection && !attempt.raced_before && !attempt.response_begun));
    retried += verdict != Verdict::give_up;
  }
  CHECK(retried > 50);
}

TEST_CASE("kinds are retried as configured") {
  Attempt attempt = sent_get();
  config::Retry rules;
  SECTION("reset is a default") {
    CHECK(decide(attempt, rules) == Verdict::retry);
    rules.reset = false;
    CHECK(decide(attempt, rules) == Verdict::give_up);
  }
  SECTION("time-outs only when asked for") {
    attempt.kind = FailureKind::timeout;
    CHECK(decide(attempt, rules) == Verdict::give_up);
    rules.timeout = true;
    CHECK(decide(attempt, rules) == Verdict::retry);
  }
  SECTION("statuses only when named") {
    attempt.kind = FailureKind::status;
    attempt.status = 503;
    CHECK(decide(attempt, rules) == Verdict::give_up);
    rules.statuses = {502, 503};
    CHECK(decide(attempt, rules) == Verdict::retry);
    attempt.status = 500;
    CHECK(decide(attempt, rules) == Verdict::give_up);
  }
  SECTION("at most `attempts` others") {
    attempt.others_tried = 1;
    CHECK(decide(attempt, rules) == Verdict::retry);
    attempt.others_tried = 2;
    CHECK(decide(attempt, rules) == Verdict::give_up);
    rules.attempts = 0;
    attempt.others_tried = 0;
    CHECK(decide(attempt, rules) == Verdict::give_up);
  }
}

TEST_CASE("the keep-alive race is met once, whatever the rules for retries say") {
  Attempt attempt = sent_get();
  attempt.reused_connection = true;
  config::Retry none;
  none.connect = none.reset = false;
  none.attempts = 0;
  CHECK(decide(attempt, {}) == Verdict::retry_same);
  CHECK(decide(attempt, none) == Verdict::retry_same);
  SECTION("once") {
    attempt.raced_before = true;
    CHECK(decide(attempt, {}) == Verdict::retry);
    CHECK(decide(attempt, none) == Verdict::give_up);
  }
  SECTION("not after a byte of the response") {
    attempt.response_begun = true;
    CHECK(decide(attempt, {}) == Verdict::retry);
  }
  SECTION("not for a POST whose bytes went out") {
    attempt.method_idempotent = false;
    CHECK(decide(attempt, {}) == Verdict::give_up);
  }
  SECTION("even for a POST of which nothing was sent") {
    attempt.method_idempotent = attempt.bytes_sent = false;
    CHECK(decide(attempt, {}) == Verdict::retry_same);
  }
  SECTION("a time-out is no race") {
    attempt.kind = FailureKind::timeout;
    CHECK(decide(attempt, {}) == Verdict::give_up);
  }
}

TEST_CASE("POST is never repeatable") {
  config::Retry rules;
  CHECK(method_repeatable(rules, "GET"));
  CHECK(method_repeatable(rules, "PUT"));
  CHECK_FALSE(method_repeatable(rules, "get"));
  CHECK_FALSE(method_repeatable(rules, "PATCH"));
  rules.methods = {"POST", "PATCH"};
  CHECK_FALSE(method_repeatable(rules, "POST"));
  CHECK(method_repeatable(rules, "PATCH"));
}

TEST_CASE("retries in flight stay within the larger of 20 % and 3") {
  const config::Retry rules;
  for (const uint32_t inflight : {0u, 1u, 14u, 15u, 16u, 19u, 20u, 100u, 1'000u, 4'000'000'000u}) {
    const auto most = std::max(inflight / 5, 3u);
    CAPTURE(inflight, most);
    CHECK(budget_allows(inflight, most - 1, rules));
    CHECK_FALSE(budget_allows(inflight, most, rules));
  }
  config::Retry off;
  off.budget_percent = off.budget_min = 0;
  CHECK_FALSE(budget_allows(1'000, 0, off));
  CHECK_FALSE(budget_allows(0, ~0u, rules));
}

namespace {

struct Load {
  uint64_t requests = 0, attempts = 0, failed = 0, most_retrying = 0;
  double amplification() const { return static_cast<double>(attempts) / static_cast<double>(requests); }
};

/// A closed loop: `clients` requests are always in flight, each turn ends the attempt of one of them; it fails with the
/// given chance.
Load simulate(uint32_t clients, uint64_t requests, double failure_rate, uint64_t seed) {
  PoolState pool("app", 1);
  const auto rules = all_kinds();
  Rng rng(seed);
  struct Client {
    unsigned others = 0;
    bool retrying = false;
  };
  std::vector<Client> all(clients);
  pool.inflight.value = clients;
  Load load;
  load.requests = load.attempts = clients;
  while (load.requests < requests) {
    Client& client = all[rng.below(clients)];
    const bool failure = rng.unit() < failure_rate;
    if (client.retrying) end_retry(pool);
    client.retrying = false;
    if (failure) {
      Attempt attempt = sent_get();
      attempt.kind = FailureKind::status;
      attempt.status = 503;
      attempt.others_tried = client.others;
      if (decide(attempt, rules) == Verdict::retry && take_retry(pool, rules)) {
        client = {client.others + 1, true};
        ++load.attempts;
        load.most_retrying = std::max<uint64_t>(load.most_retrying, pool.retrying.value);
        continue;
      }
      ++load.failed;
    } else {
      repay_retries(pool, rules);
    }
    client = {};
    ++load.requests;
    ++load.attempts;
  }
  return load;
}

}  // namespace

TEST_CASE("with every backend at 503, amplification stays at or below 1.2") {
  const uint32_t clients = GENERATE(1u, 2u, 4u, 16u, 64u, 1'000u);
  const uint64_t requests = std::max(50u, clients);  // even over a stretch this short
  CAPTURE(clients);
  CHECK(simulate(clients, requests, 1.0, clients).amplification() <= 1.2);
  CHECK(simulate(clients, 100 * requests, 1.0, clients).amplification() <= 1.003);
}

TEST_CASE("with some failures the budget is 20 % of the requests and helps that many") {
  const uint32_t clients = GENERATE(1u, 4u, 64u);
  const double rate = GENERATE(0.01, 0.1, 0.3, 0.5, 0.9);
  const auto load = simulate(clients, 20'000, rate, 17);
  CAPTURE(clients, rate, load.attempts, load.failed);
  CHECK(load.amplification() <= 1.201);
  CHECK(load.most_retrying <= std::max(clients / 5, 3u));
  const auto failed = static_cast<double>(load.failed) / static_cast<double>(load.requests);
  CHECK(failed < rate);
  if (rate <= 0.1) CHECK(failed < rate * rate);  // nearly all were helped, most at once
}

TEST_CASE("a backend that resets every request costs nobody an error until it is ejected") {
  // Two backends in turn, one resets: five failures in a row eject it. One client, so the floor of the budget has to
  // do.
  PoolState pool("app", 1);
  const config::Retry rules;
  pool.inflight.value = 1;
  for (int failure = 0; failure < 5; ++failure) {
    REQUIRE(decide(sent_get(), rules) == Verdict::retry);
    REQUIRE(take_retry(pool, rules));
    end_retry(pool);
    repay_retries(pool, rules);
    repay_retries(pool, rules);  // the other backend's own request
  }
  CHECK(pool.retrying.value == 0);
}

TEST_CASE("a thousand requests in flight have a fifth of retries at once") {
  PoolState pool("app", 1);
  const config::Retry rules;
  pool.inflight.value = 1'000;
  int granted = 0;
  while (take_retry(pool, rules)) ++granted;
  CHECK(granted == 200);
  for (int i = 0; i < granted; ++i) end_retry(pool);
  CHECK_FALSE(take_retry(pool, rules));  // in debt, though none is in flight
  for (int i = 0; i < 4; ++i) repay_retries(pool, rules);
  CHECK_FALSE(take_retry(pool, rules));
  repay_retries(pool, rules);
  CHECK(take_retry(pool, rules));
}

TEST_CASE("several workers never exceed the budget together") {
  PoolState pool("app", 4);
  const config::Retry rules;
  pool.inflight.value = 100;
  std::atomic<uint32_t> held{0}, most{0}, granted{0};
  std::vector<std::thread> workers;
  for (int w = 0; w < 4; ++w) {
    workers.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        if (take_retry(pool, rules)) {
          const uint32_t now = ++held;
          for (uint32_t seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
          }
          ++granted;
          --held;
          end_retry(pool);
        }
        if (i % 2) repay_retries(pool, rules);
      }
    });
  }
  for (auto& worker : workers) worker.join();
  CHECK(most <= 20);
  CHECK(granted <= 20 + 8'000);  // what stood open at first, and a fifth of the successes
  CHECK(granted > 20);
  CHECK(pool.retrying.value == 0);
}
