// What the workers remember of recent requests, gathered.
#pragma once
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lb/admin/control.hpp"
#include "lb/proxy/worker.hpp"

namespace weir {

/// Each worker looks through its own memory, and the last one to answer has the whole told, on the control thread.
/// `workers` outlive it.
void find_recent(boost::asio::io_context& control, const std::vector<std::unique_ptr<proxy::Worker>>& workers,
                 std::string prefix, size_t limit, std::function<void(admin::Control::Recent)> done);

}  // namespace weir
