// Pipes that splice(2) moves bytes through, from one socket to another without copying them. One pool a worker; its
// bound holds for the descriptors and for what the kernel keeps in the pipes of slow readers.
#pragma once
#include <cstdint>
#include <vector>

#include "lb/base/unique_fd.hpp"

namespace weir::net {

struct Pipe {
  UniqueFd out, in;  // to be read from, to be written to
  explicit operator bool() const { return static_cast<bool>(in); }
};

class PipePool {
 public:
  static constexpr uint32_t kMost = 32;          // in use or kept, at a time
  static constexpr uint32_t kBytes = 256 << 10;  // what a pipe holds, if the kernel allows it (pipe(7))
  static constexpr size_t kKept = 8;             // free ones

  /// Empty if all are in use, or there is no descriptor left.
  Pipe take();
  /// `empty` false: bytes are left in it, and it is closed.
  void give_back(Pipe pipe, bool empty);

 private:
  std::vector<Pipe> free_;
  uint32_t in_use_ = 0;
};

}  // namespace weir::net
