// Warns of certificates that are about to expire, once a day.
#pragma once
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "lb/admin/inventory.hpp"

namespace weir {

/// Control thread only.
class CertificateWatch {
 public:
  static constexpr int64_t kSoonDays = 14;  // certbot renews 30 days before the end: something is wrong by then

  CertificateWatch(boost::asio::io_context& context, admin::InventorySource inventory)
      : timer_(context), inventory_(std::move(inventory)) {}
  /// The first look is a day later: the start itself warns as `weir check` does.
  void start();
  void stop() { timer_.cancel(); }
  /// One event for each certificate that ends within kSoonDays. `now`: seconds since the epoch.
  static void look(const admin::Inventory& inventory, int64_t now);

 private:
  boost::asio::steady_timer timer_;
  admin::InventorySource inventory_;
};

}  // namespace weir
