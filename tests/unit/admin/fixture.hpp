// A small process in which every metric has something to say.
#pragma once
#include <memory>
#include <string>

#include "lb/admin/inventory.hpp"

namespace weir::admin::test {

struct Fixture {
  static constexpr size_t kWorkers = 2;

  Fixture() {
    add_pool("app", {"a", "b"});
    add_pool("search", {"s1"});
    inventory->pools[1].names = [] {
      return std::vector<NameStatus>{{"s.internal", "", "failing", "no answer in time", std::chrono::seconds(90), 1}};
    };
    inventory->routes = {
        std::make_shared<RouteState>("www", "app", kWorkers), std::make_shared<RouteState>("api", "app", kWorkers),
        std::make_shared<RouteState>("find", "search", kWorkers), std::make_shared<RouteState>("moved", "", kWorkers)};
  }

  void add_pool(const std::string& name, const std::vector<std::string>& backends) {
    auto config = std::make_shared<config::Pool>();
    config->name = name;
    PoolEntry entry;
    entry.state = std::make_shared<PoolState>(name, kWorkers);
    uint16_t port = 9001;
    for (const auto& backend : backends) {
      const auto address = Endpoint::parse("127.0.0.1:" + std::to_string(port++));
      config::Backend b;
      b.name = backend;
      b.address = *address;
      b.weight = 2;
      config->backends.push_back(b);
      entry.backends.push_back(std::make_shared<BackendState>(name, backend, *address, kWorkers));
    }
    entry.config = std::move(config);
    inventory->pools.push_back(std::move(entry));
  }

  Sources sources() {
    return {process,
            [this] { return std::shared_ptr<const Inventory>(inventory); },
            [this] { return lost; },
            {.reload =
                 [this](bool dry_run) {
                   ReloadOutcome result = outcome;
                   if (dry_run) result.kind = ReloadOutcome::Kind::would_apply;
                   return result;
                 },
             .upgrade = [this](const auto& done) { done(upgrade); },
             .order =
                 [](const auto& backend, BackendOrder order, const std::string& by) {
                   const std::lock_guard lock(backend->reason_mutex);
                   backend->ordered_by = by;
                   return backend->order.exchange(order) != order;
                 },
             .facts =
                 [] {
                   return Facts{"/etc/weir/weir.yaml", {{"web", "0.0.0.0:80"}}, 7};
                 },
             .explain =
                 [](const proxy::Question& question) {
                   proxy::Explanation told;
                   if (question.url != "/ok") told.question = "no URL";
                   for (const auto& [name, value] : question.headers) told.detail += name + "=" + value + ";";
                   return told;
                 }}};
  }

  BackendState& backend(size_t pool, size_t index) { return *inventory->pools[pool].backends[index]; }
  RouteState& route(size_t index) { return *inventory->routes[index]; }

  ProcessState process{kWorkers};
  std::shared_ptr<Inventory> inventory = std::make_shared<Inventory>();
  uint64_t lost = 0;
  ReloadOutcome outcome;  // of the next reload
  UpgradeOutcome upgrade;
};

}  // namespace weir::admin::test
