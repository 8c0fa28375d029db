// Files that must be whole.
#pragma once
#include <sys/types.h>

#include <string>

namespace weir {

/// Replaces `path` by `text`, whole or not at all, also when the machine stops in the middle. Empty, or why not.
std::string write_durably(const std::string& path, const std::string& text, mode_t mode);

}  // namespace weir
