// Another process, held by pidfd_open(2): its number can't come to mean another one.
#pragma once
#include <sys/types.h>

#include <utility>

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

}  // namespace weir::net
