// Starts another program.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

namespace weir::net {

inline constexpr int kFirstSpawned = 3;

/// The new process is our child, takes all signals, and has, beside 0, 1 and 2, these descriptors alone, from
/// kFirstSpawned on in this order. `environment`: NAME=VALUE. Throws std::system_error with a sentence for people, also
/// if the program can't be executed.
///
/// While this runs, for about a millisecond, the child has copies of all our descriptors. A socket that another thread
/// closes meanwhile lives on until they go, and so does its place in an epoll instance: whoever watches it must be able
/// to take events for it until this returns. Afterwards there are none.
pid_t spawn(const std::string& program, const std::vector<std::string>& arguments,
            const std::vector<std::string>& environment, const std::vector<int>& descriptors);

/// Our environment, without these variables.
std::vector<std::string> environment_without(const std::vector<std::string>& names);

/// Of a child that has ended, from waitpid(2): "ended with code 1", "was ended by signal 11 (Segmentation fault)".
std::string how_it_ended(int status);

}  // namespace weir::net
