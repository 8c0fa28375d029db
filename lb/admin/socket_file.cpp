#include "lb/admin/socket_file.hpp"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

namespace weir::admin {

void make_folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash == 0) return;
  ::mkdir(path.substr(0, slash).c_str(), 0755);
}

void share_socket(const std::string& path) {
  ::chmod(path.c_str(), kSocketMode);
  group entry{}, *found = nullptr;
  std::vector<char> storage(16 << 10);
  if (::getgrnam_r(kGroup, &entry, storage.data(), storage.size(), &found) != 0 || !found) return;
  // An ordinary user who is no member may not give it away; then it stays with the user's own group.
  if (::chown(path.c_str(), static_cast<uid_t>(-1), found->gr_gid) != 0) return;
}

}  // namespace weir::admin
