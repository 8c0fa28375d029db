#include "lb/connection_room.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "lb/net/socket.hpp"

namespace weir {

namespace {
constexpr uint64_t kOtherDescriptors = 256;  // listeners, logs, health checks, admin
constexpr uint64_t kFewestConnections = 64;  // with room for fewer it does not start
}  // namespace

uint64_t room_for_connections(uint64_t files) { return (files - std::min(files, kOtherDescriptors)) / 2; }

uint32_t most_connections(const config::Config& config) {
  const uint64_t files = net::raise_descriptor_limit(), room = room_for_connections(files);
  const uint64_t wanted = config.limits.connections;
  const uint64_t least = wanted ? std::min(wanted, kFewestConnections) : kFewestConnections;
  if (room < least)
    throw std::runtime_error(
        fmt::format("the limit of {} open files has room for {} connections; raise it to {} or more (LimitNOFILE= in "
                    "systemd, ulimit -n in a shell)",
                    files, room, kOtherDescriptors + 2 * least));
  return static_cast<uint32_t>(std::min<uint64_t>(wanted ? wanted : room, UINT32_MAX));
}

}  // namespace weir
