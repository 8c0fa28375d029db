// Starts another program.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

namespace weir::net {

/// The new process is our child, takes all signals, and has, beside 0, 1 and 2, these descriptors alone, under their
/// numbers. `environment`: NAME=VALUE. From now on every other descriptor that we have is closed by exec. Throws
/// std::system_error with a sentence for people, also if the program can't be executed.
pid_t spawn(const std::string& program, const std::vector<std::string>& arguments,
            const std::vector<std::string>& environment, const std::vector<int>& descriptors);

/// Our environment, without these variables.
std::vector<std::string> environment_without(const std::vector<std::string>& names);

/// Of a child that has ended, from waitpid(2): "ended with code 1", "was ended by signal 11 (Segmentation fault)".
std::string how_it_ended(int status);

}  // namespace weir::net
