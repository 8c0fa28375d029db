// The daemon's life: start, reload, drain, end.
#pragma once
#include <string>

namespace weir::proxy {

struct DaemonOptions {
  std::string file;  // the configuration; read again at each reload
};

/// Runs in the foreground until it is told to end; returns the exit code of the process. Throws std::exception with one sentence for
/// people when it can't start (no such file, port in use).
int run_daemon(const DaemonOptions& options);

}  // namespace weir::proxy
