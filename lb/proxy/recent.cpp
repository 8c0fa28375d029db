#include "lb/proxy/recent.hpp"

namespace weir::proxy {

std::vector<RequestRecord> RecentRequests::find(std::string_view prefix, size_t limit) const {
  std::vector<const RequestRecord*> found;
  for (const Ring* ring : {&forwarded_, &refused_})
    for (size_t i = 0; i < std::min(ring->made, ring->capacity); ++i)
      if (ring->records[i].id.view().starts_with(prefix) || ring->records[i].trace_id.view().starts_with(prefix))
        found.push_back(&ring->records[i]);
  std::sort(found.begin(), found.end(), [](const auto* a, const auto* b) { return a->wall_ns > b->wall_ns; });
  found.resize(std::min(found.size(), limit));
  std::vector<RequestRecord> copies;
  copies.reserve(found.size());
  for (const auto* record : found) copies.push_back(*record);
  return copies;
}

}  // namespace weir::proxy
