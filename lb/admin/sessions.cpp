#include "lb/admin/sessions.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace weir::admin {

SessionSecret random_secret() {
  SessionSecret secret;
  if (::getrandom(secret.data(), secret.size(), 0) != static_cast<ssize_t>(secret.size()))
    throw std::system_error(errno, std::generic_category(), "getrandom");
  return secret;
}

std::string Sessions::open(std::string_view token) {
  const TimePoint now = now_();
  std::erase_if(entries_, [&](const Entry& entry) { return entry.ends <= now || entry.token != token; });
  if (entries_.size() >= kMost) entries_.erase(entries_.begin());
  const SessionSecret secret = random_();
  std::string id = fmt::format("{:02x}", fmt::join(secret, ""));
  entries_.push_back({id, std::string(token), now + kLife});
  return id;
}

bool Sessions::knows(std::string_view id, std::string_view token) {
  if (token.empty()) return false;
  const TimePoint now = now_();
  bool found = false;
  for (const auto& entry : entries_)
    found |= equal_in_constant_time(entry.id, id) && entry.ends > now && equal_in_constant_time(entry.token, token);
  return found;
}

void Sessions::close(std::string_view id) {
  std::erase_if(entries_, [&](const Entry& entry) { return equal_in_constant_time(entry.id, id); });
}

std::string session_cookie_name(uint16_t port) { return fmt::format("weir_session_{}", port); }

std::string session_cookie(std::string_view name, std::string_view id) {
  return fmt::format("{}={}; Path=/api/v1/; Max-Age={}; HttpOnly; SameSite=Strict", name, id,
                     id.empty() ? 0 : std::chrono::seconds(Sessions::kLife).count());
}

std::string_view cookie_value(std::string_view field, std::string_view name) {
  while (!field.empty()) {
    field.remove_prefix(std::min(field.find_first_not_of(" \t"), field.size()));
    const std::string_view pair = field.substr(0, field.find(';'));
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=')
      return pair.substr(name.size() + 1);
    field.remove_prefix(std::min(pair.size() + 1, field.size()));
  }
  return {};
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]));
  return difference == 0;
}

}  // namespace weir::admin
