// Files of users as `htpasswd -B` writes them: `name:hash`, one a line. Pure: text in, users or problems out.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "config/model.hpp"

namespace weir::config {

inline constexpr size_t kMaxUserFileBytes = 4 << 20;

struct UserFileProblem {
  int line, column;
  std::string message;  // what is wrong and what to write; never quotes a hash or a password
};

/// Fills file.users; empty lines and lines that begin with # are skipped. All problems at once, but a hundred at most.
/// Only bcrypt, SHA-512-crypt and SHA-256-crypt are taken, with a cost that takes no longer than about a second.
std::vector<UserFileProblem> parse_users(std::string_view text, UserFile& file);

}  // namespace weir::config
