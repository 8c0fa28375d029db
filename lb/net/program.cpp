#include "lb/net/program.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace weir::net {
namespace {

bool same_file(const std::string& a, const std::string& b) {
  struct stat first {
  }, second{};
  return ::stat(a.c_str(), &first) == 0 && ::stat(b.c_str(), &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

std::string absolute(const std::string& name) {
  std::error_code error;
  const auto full = std::filesystem::absolute(name.starts_with("./") ? name.substr(2) : name, error);
  return error ? name : full.string();
}

}  // namespace

std::string program_path(std::string_view argument, std::string_view path, const std::string& self) {
  if (argument.find('/') != std::string_view::npos) {
    const std::string name = absolute(std::string(argument));
    if (same_file(name, self)) return name;
  } else if (!argument.empty()) {
    while (!path.empty()) {
      const std::string_view folder = path.substr(0, path.find(':'));
      path.remove_prefix(std::min(folder.size() + 1, path.size()));
      const std::string name = absolute(std::string(folder.empty() ? "." : folder) + '/' + std::string(argument));
      if (same_file(name, self)) return name;
    }
  }
  std::error_code error;
  const auto real = std::filesystem::read_symlink(self, error);
  return error ? std::string(argument) : real.string();
}

}  // namespace weir::net
