// Another process, held by pidfd_open(2): its number can't come to mean another one.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "lb/base/unique_fd.hpp"

namespace weir::net {

class ProcessHandle {
 public:
  /// Takes ownership of a descriptor of pidfd_open(2). One that is none counts as a process that has ended.
  ProcessHandle(pid_t pid, UniqueFd fd) : pid_(pid), fd_(std::move(fd)) {}
  static ProcessHandle of_this_process();
  pid_t pid() const { return pid_; }
  int fd() const { return fd_.get(); }
  bool alive() const;
  void signal(int number) const;

 private:
  pid_t pid_;
  UniqueFd fd_;
};

/// Those that hand over, one to the next, and then finish their connections: a bound on how many.
class Processes {
 public:
  static constexpr size_t kMost = 4;

  Processes() = default;
  /// The oldest first.
  explicit Processes(std::vector<ProcessHandle> all) : all_(std::move(all)) {}
  /// Forgets those that have ended.
  void prune();
  /// The oldest of those beyond kMost; null if there is none.
  const ProcessHandle* one_too_many() const { return all_.size() > kMost ? &all_.front() : nullptr; }
  void forget_oldest() { all_.erase(all_.begin()); }
  const std::vector<ProcessHandle>& all() const { return all_; }

 private:
  std::vector<ProcessHandle> all_;
};

}  // namespace weir::net
