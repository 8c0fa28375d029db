#include "health/usable.hpp"

#include <algorithm>

namespace weir::health {
namespace {

bool in_service(BackendStatus status) { return status == BackendStatus::up || status == BackendStatus::unknown; }

bool taken_out(BackendStatus status) { return status == BackendStatus::draining || status == BackendStatus::disabled; }

/// Adds the backends with a weight that `wanted(backend, status)` accepts; returns how many of them are primaries.
template <class Predicate>
size_t collect(const config::Pool& pool, std::span<const BackendView> states, Usable& out, Predicate wanted) {
  size_t primaries = 0;
  for (uint32_t i = 0; i < pool.backends.size(); ++i) {
    const auto& backend = pool.backends[i];
    if (backend.weight == 0 || taken_out(states[i].status) || !wanted(backend, states[i].status)) continue;
    out.entries.push_back({i, backend.weight * std::clamp<uint32_t>(states[i].weight_permille, 1, 1000)});
    if (!backend.backup) ++primaries;
  }
  return primaries;
}

}  // namespace

Usable usable_backends(const config::Pool& pool, std::span<const BackendView> states) {
  Usable result;
  size_t primaries = 0;
  for (size_t i = 0; i < pool.backends.size(); ++i)
    primaries += pool.backends[i].weight > 0 && !pool.backends[i].backup && !taken_out(states[i].status);
  const auto too_few = [&](size_t serving) { return serving * 100 < primaries * pool.panic_percent; };

  const size_t usable =
      collect(pool, states, result, [](const auto& b, BackendStatus s) { return !b.backup && in_service(s); });
  if (usable > 0 && !too_few(usable)) return result;

  if (usable == 0) {
    collect(pool, states, result, [](const auto& b, BackendStatus s) { return b.backup && in_service(s); });
    result.backups = !result.entries.empty();
    if (result.backups) return result;
  }

  // Panic. A passively ejected backend failed some requests but is there; one whose checks fail probably is not: it
  // serves only if those are too few as well.
  result.entries.clear();
  const size_t present =
      collect(pool, states, result, [](const auto&, BackendStatus s) { return s != BackendStatus::down; });
  if (result.entries.empty() || too_few(present)) {
    result.entries.clear();
    collect(pool, states, result, [](const auto&, BackendStatus) { return true; });
  }
  result.panic = !result.entries.empty();
  return result;
}

}  // namespace weir::health
