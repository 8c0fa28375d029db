#include "lb/net/process_handle.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

extern "C" {  // which the header of glibc 2.36 forgets
#include <sys/pidfd.h>
}

namespace weir::net {

ProcessHandle ProcessHandle::of_this_process() {
  const pid_t self = ::getpid();
  return {self, UniqueFd(::pidfd_open(self, 0))};
}

bool ProcessHandle::alive() const {
  if (!fd_) return false;
  pollfd ended{fd_.get(), POLLIN, 0};
  return ::poll(&ended, 1, 0) == 0;
}

void ProcessHandle::signal(int number) const {
  if (fd_) ::pidfd_send_signal(fd_.get(), number, nullptr, 0);
}

}  // namespace weir::net
