#pragma once
#include <cstddef>

namespace weir {

/// How often this thread has allocated so far.
std::size_t allocations();

}  // namespace weir
