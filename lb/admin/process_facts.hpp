// What the kernel says about this process.
#pragma once
#include <cstdint>

namespace weir::admin {

uint64_t resident_bytes();    // /proc/self/statm; 0 if it can't be read
uint64_t open_descriptors();  // entries of /proc/self/fd
uint64_t descriptor_limit();  // RLIMIT_NOFILE now

}  // namespace weir::admin
