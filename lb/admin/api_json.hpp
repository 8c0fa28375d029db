// The JSON of the admin API; docs/admin.md describes the members.
#pragma once
#include <string>

#include "lb/admin/inventory.hpp"
#include "lb/base/clock.hpp"

namespace weir::admin {

/// {"generation": …, "pools": [...]}
std::string pools_json(const Inventory& inventory, const ProcessState& process);
/// One backend of a pool: as in pools_json, with "pool" and "usable", how many others and itself take requests now.
/// `older`: what older processes have of it. `changed`: did an order change anything? Left out when there was none.
std::string backend_json(const PoolEntry& pool, size_t index, const std::vector<net::OlderShare>& older,
                         const bool* changed = nullptr);
/// {"causes": [...]}, the closed list of lb/base/cause.hpp.
std::string causes_json();
/// The answer to a change: the backend as it is now (not one that is removed, or not resolved yet) and `persisted`.
std::string changed_json(const Inventory& inventory, const config::BackendChange& change, bool persisted);
/// The process as a whole.
std::string status_json(const Inventory& inventory, const ProcessState& process, const Facts& facts);
/// {"at_ms": …, "time": …, "status": {…}, "pools": […], "causes": {…}} on one line: what the dashboard shows, as
/// status_json and pools_json have it. `at`: of a clock that only goes forward, for rates.
std::string event_json(const Inventory& inventory, const ProcessState& process, const Facts& facts, TimePoint at,
                       int64_t wall_ns);
/// What a reload changed, or would change.
std::string reload_json(const ReloadOutcome& outcome);
/// What an upgrade has done.
std::string upgrade_json(const UpgradeOutcome& outcome);
/// `"details":[…],"program":…,"pid":…`, the members of a problem when an upgrade has not come about.
std::string upgrade_members(const UpgradeOutcome& outcome);
/// What would become of a request.
std::string explanation_json(const proxy::Explanation& explanation);
/// {"requests": [...]}, the newest first.
std::string requests_json(const Control::Recent& requests);
/// `"errors":[…],"warnings":[…]`, the members that a problem has when a reload changes nothing.
std::string reload_members(const ReloadOutcome& outcome);

}  // namespace weir::admin
