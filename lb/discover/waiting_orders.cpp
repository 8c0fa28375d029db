#include "lb/discover/waiting_orders.hpp"

namespace weir::discover {

void WaitingOrders::add(std::vector<net::HandedOrder> orders) {
  for (auto& order : orders) {
    auto key = std::pair(order.pool, order.backend);
    orders_.insert_or_assign(std::move(key), std::move(order));
  }
}

std::vector<net::HandedOrder> WaitingOrders::all() const {
  std::vector<net::HandedOrder> all;
  for (const auto& [key, order] : orders_) all.push_back(order);
  return all;
}

std::optional<net::HandedOrder> WaitingOrders::take(const std::string& pool, const std::string& backend) {
  const auto found = orders_.extract({pool, backend});
  return found ? std::optional(std::move(found.mapped())) : std::nullopt;
}

std::vector<net::HandedOrder> WaitingOrders::forget(const std::function<bool(const std::string& pool)>& awaits) {
  std::vector<net::HandedOrder> forgotten;
  size_t kept = 0;
  for (auto order = orders_.begin(); order != orders_.end();) {
    if (kept < kMost && awaits(order->first.first)) {
      ++kept;
      ++order;
    } else {
      forgotten.push_back(std::move(order->second));
      order = orders_.erase(order);
    }
  }
  return forgotten;
}

}  // namespace weir::discover
