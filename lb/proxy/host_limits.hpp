// What the machine and its container allow, and how much is used.
#pragma once
#include <cstdint>

namespace weir::proxy {

/// One worker a core: the smaller of the CPU affinity and the cgroup's cpu.max, at least 1.
unsigned default_workers();

/// Resident memory of this process in bytes; 0 if /proc can't be read.
uint64_t resident_bytes();

}  // namespace weir::proxy
