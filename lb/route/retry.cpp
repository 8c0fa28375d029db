#include "lb/route/retry.hpp"

#include <algorithm>

namespace weir::route {
namespace {

constexpr uint64_t kWhole = 1000;  // the debt is kept in thousandths of a retry
constexpr uint64_t kBurstFactor = 3;

bool contains(const auto& values, const auto& wanted) {
  return std::find(values.begin(), values.end(), wanted) != values.end();
}

bool wanted(const Attempt& attempt, const config::Retry& rules) {
  switch (attempt.kind) {
    case FailureKind::connect: return rules.connect;
    case FailureKind::reset: return rules.reset;
    case FailureKind::timeout: return rules.timeout;
    case FailureKind::status: return contains(rules.statuses, attempt.status);
  }
  return false;
}

uint64_t largest_debt(uint32_t pool_inflight, const config::Retry& rules) {
  return std::max(uint64_t{pool_inflight} * rules.budget_percent * kWhole / 100,
                  kBurstFactor * rules.budget_min * kWhole);
}

}  // namespace

bool method_repeatable(const config::Retry& rules, std::string_view method) {
  return method != "POST" && contains(rules.methods, method);
}

Verdict decide(const Attempt& attempt, const config::Retry& rules) {
  if (attempt.response_started || !attempt.body_replayable) return Verdict::give_up;
  if (attempt.bytes_sent && !attempt.method_idempotent) return Verdict::give_up;
  const bool idle_close = attempt.kind == FailureKind::reset && attempt.reused_connection && !attempt.response_begun;
  if (idle_close && !attempt.raced_before) return Verdict::retry_same;
  if (attempt.others_tried >= rules.attempts || !wanted(attempt, rules)) return Verdict::give_up;
  return attempt.bytes_sent ? Verdict::retry : Verdict::retry_free;
}

bool budget_allows(uint32_t pool_inflight, uint32_t retries_in_flight, const config::Retry& rules) {
  const uint64_t wanted = uint64_t{retries_in_flight} + 1;
  return wanted <= rules.budget_min || wanted * 100 <= uint64_t{pool_inflight} * rules.budget_percent;
}

bool take_retry(PoolState& pool, const config::Retry& rules) {
  const uint32_t inflight = pool.inflight.value.load(std::memory_order_relaxed);
  const uint32_t others = pool.retrying.value.fetch_add(1, std::memory_order_relaxed);
  if (budget_allows(inflight, others, rules)) {
    const uint64_t most = largest_debt(inflight, rules);
    uint32_t debt = pool.retry_debt.value.load(std::memory_order_relaxed);
    while (debt + kWhole <= most) {
      const auto more = static_cast<uint32_t>(debt + kWhole);
      if (pool.retry_debt.value.compare_exchange_weak(debt, more, std::memory_order_relaxed)) return true;
    }
  }
  pool.retrying.value.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void end_retry(PoolState& pool) { pool.retrying.value.fetch_sub(1, std::memory_order_relaxed); }

void repay_retries(PoolState& pool, const config::Retry& rules) {
  uint32_t debt = pool.retry_debt.value.load(std::memory_order_relaxed);
  const uint32_t part = static_cast<uint32_t>(std::min(uint64_t{rules.budget_percent} * kWhole / 100, kWhole));
  while (debt > 0) {
    if (pool.retry_debt.value.compare_exchange_weak(debt, debt - std::min(debt, part), std::memory_order_relaxed))
      return;
  }
}

}  // namespace weir::route
