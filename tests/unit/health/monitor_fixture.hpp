// A monitor with real servers in this process, and its event log.
#pragma once
#include <fmt/format.h>

#include <map>
#include <mutex>

#include "health/monitor.hpp"
#include "lb/base/log.hpp"
#include "tests/unit/health/servers.hpp"

namespace weir::health::test {

using namespace std::chrono_literals;

/// What the event log says meanwhile.
class LogCapture {
 public:
  LogCapture()
      : before_(log::set_sink([this](std::string_view line) {
          const std::lock_guard lock(mutex_);
          text_ += line;
        })) {}
  ~LogCapture() { log::set_sink(std::move(before_)); }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  size_t count(const std::string& event) const {
    size_t n = 0;
    const std::string all = text();
    for (size_t at = all.find(" " + event + " "); at != std::string::npos; at = all.find(" " + event + " ", at + 1))
      ++n;
    return n;
  }
  /// The first line with this event, empty if there is none.
  std::string line(const std::string& event) const {
    const std::string all = text();
    const size_t at = all.find(" " + event + " ");
    return at == std::string::npos ? "" : all.substr(at + 1, all.find('\n', at) - at - 1);
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
  log::Sink before_;
};

/// A pool "app" with a server a backend, and a monitor.
struct Fixture {
  explicit Fixture(std::vector<Behaviour> behaviours) {
    auto pool = std::make_shared<config::Pool>();
    pool->name = "app";
    pool->health.type = config::Health::Type::http;
    pool->health.interval = 10ms;
    pool->health.timeout = 30s;
    pool->eject.for_ = 200ms;
    pool->eject.max = 1s;
    for (auto& behaviour : behaviours) {
      servers.push_back(std::make_unique<FakeBackend>(io, std::move(behaviour)));
      config::Backend backend;
      backend.name = fmt::format("b{}", servers.size() - 1);
      backend.address = servers.back()->address;
      backend.authority = backend.address.to_string();
      pool->backends.push_back(backend);
      backends.push_back(std::make_shared<BackendState>("app", backend.name, backend.address, 2));
    }
    config = pool;
  }
  std::vector<Target> targets() const { return {{config, state, backends}}; }
  BackendStatus status(size_t i) const { return backends[i]->status.load(); }
  std::string reason(size_t i) const {
    const std::lock_guard lock(backends[i]->reason_mutex);
    return backends[i]->reason;
  }
  bool wait_for(size_t i, BackendStatus wanted) {
    return run_until(io, [&] { return status(i) == wanted; });
  }
  /// As a worker does it.
  void fail_requests(size_t i, uint32_t n) {
    for (uint32_t k = 0; k < n; ++k)
      if (backends[i]->consecutive_failures.fetch_add(1) + 1 == config->eject.after)
        monitor.report_failures(backends[i]);
  }

  LogCapture log;
  asio::io_context io{1};
  std::vector<std::unique_ptr<FakeBackend>> servers;
  std::shared_ptr<config::Pool> config;
  std::shared_ptr<PoolState> state = std::make_shared<PoolState>("app", 2);
  std::vector<std::shared_ptr<BackendState>> backends;
  std::map<std::string, int> changes;
  Monitor monitor{io, 42, [this](const std::string& pool) { ++changes[pool]; }};
};

}  // namespace weir::health::test
