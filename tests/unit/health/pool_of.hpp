// Pools for the tests of health.
#pragma once
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <vector>

#include "config/model.hpp"
#include "lb/base/clock.hpp"

namespace weir::health::test {

using namespace std::chrono_literals;

/// Time begins somewhere, not at zero.
inline TimePoint at(Duration since_start) { return TimePoint(1000s) + since_start; }

/// `n` backends "b0", "b1", … at addresses that no test connects to.
inline config::Pool pool_of(size_t n) {
  config::Pool pool;
  pool.name = "app";
  for (size_t i = 0; i < n; ++i) {
    config::Backend backend;
    backend.name = fmt::format("b{}", i);
    backend.authority = fmt::format("127.0.0.1:{}", 9000 + i);
    backend.address = *Endpoint::parse(backend.authority);
    pool.backends.push_back(backend);
  }
  return pool;
}

inline std::shared_ptr<const config::Pool> shared(config::Pool pool) {
  return std::make_shared<const config::Pool>(std::move(pool));
}

}  // namespace weir::health::test
