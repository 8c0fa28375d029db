#include "lb/net/pipe.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace weir::net {

Pipe PipePool::take() {
  if (in_use_ == kMost) return {};
  if (!free_.empty()) {
    Pipe pipe = std::move(free_.back());
    free_.pop_back();
    ++in_use_;
    return pipe;
  }
  int ends[2];
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return {};
  ::fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(kBytes));  // else it keeps the 64 KiB that it has
  ++in_use_;
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void PipePool::give_back(Pipe pipe, bool empty) {
  --in_use_;
  if (empty && free_.size() < kKept) free_.push_back(std::move(pipe));
}

}  // namespace weir::net
