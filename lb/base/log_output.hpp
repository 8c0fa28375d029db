// Where logs are written to: a file, a FIFO, or standard output or error of whatever kind. It bears a reader that has
// stopped reading (a blocked write would stop who waits for it, and keep the daemon from ending) and a disk that is
// full.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "lb/base/unique_fd.hpp"

namespace weir {

class LogOutput {
 public:
  /// Opens a path for appending, created with 0640, or takes "stdout"; throws std::system_error that names the path.
  /// A FIFO without a reader is an error, not a wait.
  static LogOutput open(const std::string& path);
  /// STDOUT_FILENO or STDERR_FILENO, unchanged for those who share it; throws std::system_error.
  static LogOutput standard(int descriptor);

  struct Outcome {
    int error = 0;           // errno of the first failure
    size_t lost_lines = 0;   // not written, or only in part
    size_t whole_lines = 0;  // bytes of those before them
  };
  /// Writes all of `lines`. While the reader takes nothing it waits in steps of `step_ms`, as long as `keep_waiting()`;
  /// what remains then is lost with error EAGAIN. After a line that was cut, the next one begins on a line of its own.
  Outcome write(std::string_view lines, int step_ms, const std::function<bool()>& keep_waiting);

 private:
  ssize_t write_some(std::string_view bytes);
  UniqueFd fd_;
  bool socket_ = false;
  bool may_block_ = false;  // it could not be had without: asked each time whether there is room
  bool cut_ = false;        // the last byte written was not the end of a line
};

}  // namespace weir
