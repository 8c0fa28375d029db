#include "tests/unit/route/allocations.hpp"

#include <cstdlib>
#include <new>

namespace {

thread_local uint64_t count = 0;

void* take(std::size_t size) noexcept {
  ++count;
  return std::malloc(size ? size : 1);
}
void* take_or_throw(std::size_t size) {
  if (void* memory = take(size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

uint64_t allocations() { return count; }

// All forms but the aligned ones: the sanitizers bring their own, and memory must go back the way it came.
void* operator new(std::size_t size) { return take_or_throw(size); }
void* operator new[](std::size_t size) { return take_or_throw(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return take(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return take(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
