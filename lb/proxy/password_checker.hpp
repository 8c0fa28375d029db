// Checks passwords on a thread of its own: a hash that is hard to guess takes milliseconds, which no worker's loop can
// spare. What it finds goes back to the worker that asked, as a grant of a pool's queue does.
#pragma once
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "config/model.hpp"
#include "lb/base/clock.hpp"
#include "lb/proxy/admission.hpp"
#include "lb/proxy/credentials.hpp"

namespace weir::proxy {

class PasswordChecker {
 public:
  static constexpr size_t kQueue = 256;
  static constexpr Duration kPatience = std::chrono::seconds(10);  // a request waits no longer
  static constexpr Duration kRemembered = std::chrono::minutes(5);

  struct Question {
    Ticket ticket;  // of the exchange that waits
    std::shared_ptr<const config::UserFile> users;
    std::string user, password;
    TimePoint deadline;  // nobody waits for an answer after it
  };
  struct Answer {
    Ticket ticket;
    bool right = false;
    CredentialDigest digest{};
    TimePoint until{};  // if right: how long the worker may remember it
  };

  PasswordChecker() = default;
  ~PasswordChecker() { stop(); }
  PasswordChecker(const PasswordChecker&) = delete;
  PasswordChecker& operator=(const PasswordChecker&) = delete;

  /// Control thread; the second start does nothing.
  void start();
  /// Waits for the check under way; the answers to others are never given.
  void stop();
  /// Any worker. False: too many wait already.
  bool ask(Question question);

 private:
  void run();
  Answer check(const Question& question);

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Question> waiting_;
  bool ending_ = false;
  CredentialCache known_;  // this thread's own: one check serves all workers
};

/// Is it the password that `stored` (crypt(5)) was made of? Takes milliseconds; the comparison itself takes the same
/// time whatever differs.
bool password_matches(const std::string& password, const std::string& stored);

}  // namespace weir::proxy
