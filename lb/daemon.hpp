// The daemon's life: start, reload, drain, end.
#pragma once
#include <string>
#include <vector>

namespace weir {

struct DaemonOptions {
  std::string file;                    // the configuration; read again at each reload
  std::vector<std::string> arguments;  // of this process, those that an upgrade starts the next one with
  bool watch = false;                  // the file is also read whenever it changes, whatever it says itself
  bool dev = false;                    // certificates that aren't there are stood in for
};

/// Runs in the foreground, in place of another process if an upgrade has started it, until it is told to end. The exit
/// code of the process: 0 after an orderly end, 1 if it can't start (one line says why), 2 for a bad configuration
/// (every error is listed).
int run_daemon(const DaemonOptions& options);

}  // namespace weir
