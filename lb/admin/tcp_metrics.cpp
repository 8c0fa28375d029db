// Metrics of the listeners and pools of mode: tcp; nothing where there are none.
#include "lb/admin/family_writer.hpp"

namespace weir::admin {

namespace {

template <typename Function>
uint64_t sum(const std::vector<SessionCells>& cells, Function&& of) {
  uint64_t total = 0;
  for (const auto& worker : cells) total += of(worker).get();
  return total;
}

struct Family {
  const char* name;
  const char* help;
  Counter SessionCells::*member;
};
constexpr Family kFamilies[] = {
    {"weir_tcp_sessions_total", "TCP sessions that have begun.", &SessionCells::sessions},
    {"weir_tcp_received_bytes_total", "Bytes received from clients of TCP sessions.", &SessionCells::received},
    {"weir_tcp_sent_bytes_total", "Bytes sent to clients of TCP sessions.", &SessionCells::sent},
};

}  // namespace

void collect_tcp(const Inventory& inventory, std::vector<MetricFamily>& families) {
  for (const auto& row : kFamilies) {
    FamilyWriter family(row.name, row.help, MetricType::Counter);
    for (const auto& listener : inventory.tcp)
      family.add({{"listener", listener->name}},
                 sum(listener->cells, [&](const SessionCells& cells) -> const Counter& { return cells.*row.member; }));
    family.move_to(families);
  }
  FamilyWriter open("weir_tcp_sessions_open", "TCP sessions that are open.", MetricType::Gauge);
  FamilyWriter ends("weir_tcp_session_ends_total",
                    "TCP sessions that have ended, by cause (docs/causes.md); none: both sides ended in order.",
                    MetricType::Counter);
  for (const auto& listener : inventory.tcp) {
    open.add({{"listener", listener->name}}, uint64_t{listener->sessions.value.load()});
    for (size_t i = 0; i < kCauseCount; ++i) {
      const uint64_t n =
          sum(listener->cells, [&](const SessionCells& cells) -> const Counter& { return cells.ends[i]; });
      if (n > 0 || i == 0) ends.add({{"listener", listener->name}, {"cause", kCauses[i].name}}, n);
    }
  }
  open.move_to(families);
  ends.move_to(families);
  FamilyWriter failures("weir_tcp_connect_failures_total",
                        "Connections to backends of pools of mode: tcp that did not come to stand, by cause.",
                        MetricType::Counter);
  for (const auto& pool : inventory.pools) {
    for (size_t i = 0; i < kConnectCauses && pool.config->mode == config::Mode::tcp; ++i) {
      uint64_t n = 0;
      for (const auto& worker : pool.state->cells) n += worker.connect_failures[i].get();
      failures.add({{"pool", pool.state->name}, {"cause", kCauses[static_cast<size_t>(kFirstConnectCause) + i].name}},
                   n);
    }
  }
  failures.move_to(families);
}

}  // namespace weir::admin
