#include "lb/proxy/password_checker.hpp"

#include <crypt.h>
#include <openssl/crypto.h>

#include <cstring>

#include "lb/base/quiet_thread.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

bool password_matches(const std::string& password, const std::string& stored) {
  const auto memory = std::make_unique<crypt_data>();  // 32 KiB
  const char* made = crypt_r(password.c_str(), stored.c_str(), memory.get());
  const bool right =
      made && std::strlen(made) == stored.size() && CRYPTO_memcmp(made, stored.data(), stored.size()) == 0;
  OPENSSL_cleanse(memory.get(), sizeof *memory);
  return right;
}

void PasswordChecker::start() {
  if (!thread_.joinable()) thread_ = start_quiet_thread([this] { run(); });
}

void PasswordChecker::stop() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

bool PasswordChecker::ask(Question question) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kQueue) return false;
    waiting_.push_back(std::move(question));
  }
  changed_.notify_one();
  return true;
}

void PasswordChecker::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (ending_) return;
    Question question = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    // Of a request that gave up nobody wants to know, and a queue that was long must get short again.
    if (monotonic_now() < question.deadline) question.ticket.worker->answer(check(question));
    OPENSSL_cleanse(question.password.data(), question.password.size());
    lock.lock();
  }
}

PasswordChecker::Answer PasswordChecker::check(const Question& question) {
  Answer answer{question.ticket};
  const auto* entry = question.users->find(question.user);
  if (!entry) {
    // As long as for a name that exists: the time must not tell which names do.
    password_matches(question.password, question.users->users.front().second);
    return answer;
  }
  answer.digest = digest_credentials(entry->second, question.user, question.password);
  answer.until = known_.find(answer.digest, monotonic_now());
  answer.right = answer.until != TimePoint{};
  if (answer.right || !password_matches(question.password, entry->second)) return answer;
  answer.right = true;
  answer.until = monotonic_now() + kRemembered;
  known_.remember(answer.digest, answer.until);
  return answer;
}

}  // namespace weir::proxy
