// The file of the admin socket: its folder and its group.
#pragma once
#include <string>

namespace weir::admin {

inline constexpr const char* kGroup = "weir";  // whose members may open the socket, if there is such a group
inline constexpr unsigned kSocketMode = 0660;

/// Makes the folder that is to hold `path` (0755) if it isn't there; only that one, not those above. What goes wrong is
/// seen when the socket is opened.
void make_folder_of(const std::string& path);

/// 0660, and the group kGroup if that exists and we may give files to it.
void share_socket(const std::string& path);

}  // namespace weir::admin
