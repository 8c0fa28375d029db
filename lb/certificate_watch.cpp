#include "lb/certificate_watch.hpp"

#include <boost/asio/io_context.hpp>
#include <ctime>

#include "lb/base/log.hpp"

namespace weir {

void CertificateWatch::start() {
  timer_.expires_after(std::chrono::hours(24));
  timer_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    look(*inventory_(), std::time(nullptr));
    start();
  });
}

void CertificateWatch::look(const admin::Inventory& inventory, int64_t now) {
  constexpr int64_t kDay = 24 * 3600;
  for (const auto& entry : inventory.tls)
    for (const auto& certificate : entry.server->certificates()) {
      const int64_t left = certificate.facts.not_after - now;
      if (left >= kSoonDays * kDay) continue;
      log::warn(left > 0 ? "certificate_expires" : "certificate_expired",
                {{"listener", entry.listener},
                 {"file", certificate.path},
                 {"server_name", certificate.facts.names.empty() ? "-" : certificate.facts.names.front()},
                 {"at", net::date_text(certificate.facts.not_after)},
                 {"days_left", std::to_string(left / kDay)}});
    }
}

}  // namespace weir
