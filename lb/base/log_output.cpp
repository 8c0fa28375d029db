#include "lb/base/log_output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace weir {
namespace {

UniqueFd duplicate_stdout(const struct stat& about) {
  // O_NONBLOCK set on descriptor 1 itself would be set for everyone who shares it (the shell, say); opened again, it is
  // ours alone. A regular file is duplicated, or its position would be lost; a socket can't be opened, but send() takes
  // a flag.
  if (S_ISFIFO(about.st_mode) || S_ISCHR(about.st_mode)) {
    UniqueFd own(::open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (own) return own;
  }
  return UniqueFd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
}

}  // namespace

LogOutput LogOutput::open(const std::string& path) {
  LogOutput output;
  struct stat about {};
  if (path == "stdout") {
    if (::fstat(STDOUT_FILENO, &about) == 0) output.fd_ = duplicate_stdout(about);
  } else {
    output.fd_.reset(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640));
    if (output.fd_ && ::fstat(output.fd_.get(), &about) != 0) output.fd_.reset();
  }
  if (!output.fd_) {
    const int error = errno;
    throw std::system_error(error, std::generic_category(), "access log " + path);
  }
  output.socket_ = S_ISSOCK(about.st_mode);
  return output;
}

ssize_t LogOutput::write_some(std::string_view bytes) {
  if (socket_) return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return ::write(fd_.get(), bytes.data(), bytes.size());
}

LogOutput::Outcome LogOutput::write(std::string_view lines, int step_ms, const std::function<bool()>& keep_waiting) {
  Outcome outcome;
  const std::string_view all = lines;
  if (cut_ && !lines.empty()) {
    if (write_some("\n") == 1) cut_ = false;
  }
  while (!lines.empty()) {
    const ssize_t written = write_some(lines);
    if (written > 0) {
      cut_ = lines[static_cast<size_t>(written) - 1] != '\n';
      lines.remove_prefix(static_cast<size_t>(written));
      continue;
    }
    const int error = written == 0 ? EIO : errno;
    if (error == EINTR) continue;
    if ((error == EAGAIN || error == EWOULDBLOCK) && keep_waiting()) {
      pollfd writable{fd_.get(), POLLOUT, 0};
      ::poll(&writable, 1, step_ms);
      continue;
    }
    outcome.error = error;
    outcome.lost_lines = static_cast<size_t>(std::count(lines.begin(), lines.end(), '\n'));
    outcome.whole_lines = all.substr(0, all.size() - lines.size()).rfind('\n') + 1;  // npos + 1 is 0
    break;
  }
  return outcome;
}

}  // namespace weir
