#include "lb/find_recent.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace weir {

void find_recent(boost::asio::io_context& control, const std::vector<std::unique_ptr<proxy::Worker>>& workers,
                 std::string prefix, size_t limit, std::function<void(admin::Control::Recent)> done) {
  struct Search {
    std::string prefix;
    std::function<void(admin::Control::Recent)> done;
    size_t waiting;
    admin::Control::Recent found;
  };
  const auto search = std::make_shared<Search>(Search{std::move(prefix), std::move(done), workers.size(), {}});
  const auto gather = [search, limit](const admin::Control::Recent& part) {
    auto& found = search->found;
    found.insert(found.end(), part.begin(), part.end());
    if (--search->waiting) return;
    proxy::RecentRequests::keep_newest(found, limit);
    search->done(std::move(found));
  };
  for (auto& worker : workers)
    worker->post([&control, search, limit, gather, w = worker.get()] {
      boost::asio::post(control, [gather, part = w->recent.find(search->prefix, limit)] { gather(part); });
    });
}

}  // namespace weir
