// The operator's orders that an upgrade handed over for backends that aren't there: DNS may still name them. Pure.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lb/net/handover.hpp"

namespace weir::discover {

class WaitingOrders {
 public:
  static constexpr size_t kMost = 1000;

  void add(std::vector<net::HandedOrder> orders);
  bool empty() const { return orders_.empty(); }
  std::vector<net::HandedOrder> all() const;
  /// The backend is there now: what was ordered of it, which waits no longer.
  std::optional<net::HandedOrder> take(const std::string& pool, const std::string& backend);
  /// Lets go of those whose pools await nobody, and of what is above kMost. `awaits`: whether a pool does.
  std::vector<net::HandedOrder> forget(const std::function<bool(const std::string& pool)>& awaits);

 private:
  std::map<std::pair<std::string, std::string>, net::HandedOrder> orders_;  // by pool and backend
};

}  // namespace weir::discover
