// The metrics of names that DNS resolves.
#include <iterator>
#include <map>

#include "lb/admin/family_writer.hpp"

namespace weir::admin {

void collect_names(const Inventory& inventory, const ProcessState& process, std::vector<MetricFamily>& families) {
  FamilyWriter backends("weir_name_backends", "Backends of the pool that come from the name.", MetricType::Gauge);
  FamilyWriter ok("weir_name_ok", "1 while the last question for the name was answered with addresses.",
                  MetricType::Gauge);
  FamilyWriter age("weir_name_age_seconds", "Since the name was last answered with addresses; absent: never.",
                   MetricType::Gauge);
  bool any = false;
  for (const auto& pool : inventory.pools) {
    if (!pool.names) continue;
    any = true;
    std::map<std::string, NameStatus> by_name;  // several backends of a pool may have the same
    for (auto& name : pool.names()) {
      auto& entry = by_name[name.name];
      name.backends += entry.backends;
      entry = std::move(name);
    }
    for (const auto& [name, status] : by_name) {
      backends.add({{"pool", pool.state->name}, {"host", name}}, uint64_t{status.backends});
      ok.add({{"pool", pool.state->name}, {"host", name}}, uint64_t{status.state == "ok"});
      if (status.age)
        age.add({{"pool", pool.state->name}, {"host", name}}, std::chrono::duration<double>(*status.age).count());
    }
  }
  for (auto* family : {&backends, &ok, &age}) family->move_to(families);
  if (!any) return;
  FamilyWriter answers("weir_dns_answers_total", "Questions to DNS by what came of them.", MetricType::Counter);
  constexpr const char* kResults[]{"found", "missing", "failed"};
  for (size_t i = 0; i < std::size(kResults); ++i)
    answers.add({{"result", kResults[i]}}, process.dns_answers[i].load());
  answers.move_to(families);
  FamilyWriter changes("weir_backend_changes_total", "Pools given other backends by what DNS said.",
                       MetricType::Counter);
  changes.add({}, process.backend_changes.load());
  changes.move_to(families);
}

}  // namespace weir::admin
