// The daemon's life: start, reload, drain, end.
#pragma once
#include <string>

namespace weir {

struct DaemonOptions {
  std::string file;    // the configuration; read again at each reload
  bool watch = false;  // … and whenever it changes, whatever it says itself
};

/// Runs in the foreground until it is told to end. The exit code of the process: 0 after an orderly end, 1 if it can't
/// start (one line says why), 2 for a bad configuration (every error is listed).
int run_daemon(const DaemonOptions& options);

}  // namespace weir
