#include "lb/net/spawn.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

#include "lb/base/unique_fd.hpp"

namespace weir::net {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const auto& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

struct Actions {
  posix_spawn_file_actions_t value;
  Actions() { ::posix_spawn_file_actions_init(&value); }
  ~Actions() { ::posix_spawn_file_actions_destroy(&value); }
};
struct Attributes {
  posix_spawnattr_t value;
  Attributes() { ::posix_spawnattr_init(&value); }
  ~Attributes() { ::posix_spawnattr_destroy(&value); }
};

}  // namespace

pid_t spawn(const std::string& program, const std::vector<std::string>& arguments,
            const std::vector<std::string>& environment, const std::vector<int>& descriptors) {
  const int end = kFirstSpawned + static_cast<int>(descriptors.size());
  std::vector<UniqueFd> above;  // so that none is overwritten before it is where it belongs
  Actions actions;
  for (size_t i = 0; i < descriptors.size(); ++i) {
    above.emplace_back(::fcntl(descriptors[i], F_DUPFD_CLOEXEC, end));
    if (!above.back()) throw std::system_error(errno, std::generic_category(), "cannot hand on a descriptor");
    ::posix_spawn_file_actions_adddup2(&actions.value, above.back().get(), kFirstSpawned + static_cast<int>(i));
  }
  // Before exec, not by it: exec closes them only after we go on. And libraries open some without O_CLOEXEC.
  ::posix_spawn_file_actions_addclosefrom_np(&actions.value, end);
  Attributes attributes;
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes.value, &none);
  ::posix_spawnattr_setsigdefault(&attributes.value, &all);
  ::posix_spawnattr_setflags(&attributes.value, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, program.c_str(), &actions.value, &attributes.value, pointers(arguments).data(),
                                  pointers(environment).data());
  if (error != 0) throw std::system_error(error, std::generic_category(), "cannot start " + program);
  return pid;
}

std::vector<std::string> environment_without(const std::vector<std::string>& names) {
  std::vector<std::string> kept;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view text(*entry);
    if (std::find(names.begin(), names.end(), text.substr(0, text.find('='))) == names.end()) kept.emplace_back(text);
  }
  return kept;
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    const char* name = ::strsignal(number);
    return "was ended by signal " + std::to_string(number) + " (" + (name ? name : "unknown") + ")";
  }
  return "ended with code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace weir::net
