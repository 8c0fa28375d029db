// The program that an upgrade starts: this one, as it stands on the disk then.
#pragma once
#include <string>
#include <string_view>

namespace weir::net {

/// Where the running program is, by the name by which it was called, so that a symbolic link that is pointed at a newer
/// version later leads to that. To be asked at the start: `argument`, argv[0], may be relative to the folder; without a
/// slash it was found along `path` ($PATH). `self` is /proc/self/exe, which decides whether the name found is us; else
/// it is the answer itself.
std::string program_path(std::string_view argument, std::string_view path, const std::string& self = "/proc/self/exe");

}  // namespace weir::net
