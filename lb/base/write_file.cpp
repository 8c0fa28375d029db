#include "lb/base/write_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "lb/base/unique_fd.hpp"

namespace weir {

std::string write_durably(const std::string& path, const std::string& text, mode_t mode) {
  const auto reason = [](const std::string& file) {
    return fmt::format("{}: {}", file, std::generic_category().message(errno));
  };
  const std::string temporary = path + ".new";
  {
    const UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
    if (!file) return reason(temporary);
    for (size_t done = 0; done < text.size();) {
      const ssize_t n = ::write(file.get(), text.data() + done, text.size() - done);
      if (n < 0 && errno != EINTR) return reason(temporary);
      if (n > 0) done += static_cast<size_t>(n);
    }
    if (::fsync(file.get()) != 0) return reason(temporary);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return reason(path);
  const std::string folder = std::filesystem::path(path).parent_path();
  const UniqueFd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) ::fsync(directory.get());
  return {};
}

}  // namespace weir
