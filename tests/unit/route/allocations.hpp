// Counts what this test program takes from the heap.
#pragma once
#include <cstdint>

/// Calls of operator new by this thread so far.
uint64_t allocations();
