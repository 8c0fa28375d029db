#include "lb/proxy/recent.hpp"

namespace weir::proxy {

void RequestRecord::add_try(const BackendState& backend, uint32_t start_us, uint32_t took_us, uint16_t answered,
                            Cause why, bool over_kept) {
  if (kept == kAttempts) return;
  AttemptRecord& attempt = tries[kept++];
  attempt.backend = backend.name;
  attempt.address = backend.address.storage;
  attempt.address_length = backend.address.length;
  attempt.start_us = start_us;
  attempt.took_us = took_us;
  attempt.status = answered;
  attempt.cause = why;
  attempt.reused = over_kept;
}

namespace {

const RequestRecord& record_of(const RequestRecord& record) { return record; }
const RequestRecord& record_of(const RequestRecord* record) { return *record; }

template <class Record>
void keep_newest_of(std::vector<Record>& records, size_t limit) {
  std::sort(records.begin(), records.end(),
            [](const auto& a, const auto& b) { return record_of(a).wall_ns > record_of(b).wall_ns; });
  std::array<size_t, RecentRequests::kKept.size()> kept{};
  std::erase_if(records, [&](const auto& one) { return kept[static_cast<size_t>(record_of(one).kind)]++ >= limit; });
}

}  // namespace

std::vector<RequestRecord> RecentRequests::find(std::string_view prefix, size_t limit) const {
  std::vector<const RequestRecord*> found;
  for (const Ring& ring : rings_)
    for (size_t i = 0; i < std::min(ring.made, ring.capacity); ++i)
      if (ring.records[i].id.view().starts_with(prefix) || ring.records[i].trace_id.view().starts_with(prefix))
        found.push_back(&ring.records[i]);
  keep_newest_of(found, limit);
  std::vector<RequestRecord> copies;
  copies.reserve(found.size());
  for (const auto* record : found) copies.push_back(*record);
  return copies;
}

void RecentRequests::keep_newest(std::vector<RequestRecord>& records, size_t limit) { keep_newest_of(records, limit); }

}  // namespace weir::proxy
