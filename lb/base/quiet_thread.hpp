// Threads that take no signals: the daemon's signals belong to the control thread, which waits for them.
#pragma once
#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

namespace weir {

/// Starts a thread with all signals blocked from its first instruction on, but for those that a defect raises in the
/// thread itself (a sanitizer reports them). The caller's mask is as before.
template <class Body>
std::thread start_quiet_thread(Body&& body) {
  struct Blocked {
    sigset_t before;
    Blocked() {
      sigset_t blocked;
      sigfillset(&blocked);
      for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) sigdelset(&blocked, own);
      pthread_sigmask(SIG_SETMASK, &blocked, &before);
    }
    ~Blocked() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
  } scope;
  return std::thread(std::forward<Body>(body));
}

}  // namespace weir
