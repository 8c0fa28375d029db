#include "lb/base/log_output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>

namespace weir {
namespace {

bool room_for_some(int fd) {
  pollfd writable{fd, POLLOUT, 0};
  return ::poll(&writable, 1, 0) == 1;
}

}  // namespace

LogOutput LogOutput::open(const std::string& path) {
  if (path == "stdout") return standard(STDOUT_FILENO);
  LogOutput output;
  struct stat about {};
  output.fd_.reset(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640));
  if (!output.fd_ || ::fstat(output.fd_.get(), &about) != 0)
    throw std::system_error(errno, std::generic_category(), "access log " + path);
  output.socket_ = S_ISSOCK(about.st_mode);
  return output;
}

LogOutput LogOutput::standard(int descriptor) {
  // O_NONBLOCK set on the descriptor itself would be set for everyone who shares it (the shell, say); opened again, it
  // is ours alone. A regular file is duplicated, or its position would be lost; a socket can't be opened, but send()
  // takes a flag. What belongs to another user can't be opened either.
  LogOutput output;
  struct stat about {};
  if (::fstat(descriptor, &about) == 0) {
    const bool blocks = S_ISFIFO(about.st_mode) || S_ISCHR(about.st_mode);
    const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
    if (blocks) output.fd_.reset(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!output.fd_) {
      output.fd_.reset(::fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
      output.may_block_ = blocks;
    }
  }
  if (!output.fd_)
    throw std::system_error(errno, std::generic_category(),
                            descriptor == STDOUT_FILENO ? "access log stdout" : "standard error");
  output.socket_ = S_ISSOCK(about.st_mode);
  return output;
}

ssize_t LogOutput::write_some(std::string_view bytes) {
  if (socket_) return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (may_block_) {
    if (!room_for_some(fd_.get())) {
      errno = EAGAIN;
      return -1;
    }
    bytes = bytes.substr(0, PIPE_BUF);  // a pipe that is writable has room for so much (pipe(7))
  }
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
