#include "config/user_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace weir::config {

namespace {

constexpr size_t kMaxProblems = 100, kMaxNameBytes = 255;
constexpr unsigned kMaxBcryptCost = 14, kMaxRounds = 2'000'000;
constexpr std::string_view kHint = "make it with `htpasswd -B FILE USER` or `mkpasswd -m sha512crypt`";

bool is_crypt64(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '/';
}
bool all_crypt64(std::string_view text) { return std::all_of(text.begin(), text.end(), is_crypt64); }

/// "$2b$NN$" and 22 bytes of salt, 31 of hash.
std::string bcrypt_problem(std::string_view hash) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (hash.size() != 60 || !digit(hash[4]) || !digit(hash[5]) || hash[6] != '$' || !all_crypt64(hash.substr(7)))
    return fmt::format("this bcrypt hash is cut short or garbled; {}", kHint);
  const unsigned cost = static_cast<unsigned>(hash[4] - '0') * 10 + static_cast<unsigned>(hash[5] - '0');
  if (cost < 4 || cost > kMaxBcryptCost)
    return fmt::format("a bcrypt cost of {} is not taken (4 to {}): each check would take too long; write a lower one",
                       cost, kMaxBcryptCost);
  return {};
}

/// "$6$" or "$6$rounds=N$", a salt of up to 16 bytes, "$", the hash.
std::string sha_problem(std::string_view hash, size_t digest_bytes) {
  const std::string garbled = fmt::format("this SHA-crypt hash is cut short or garbled; {}", kHint);
  hash.remove_prefix(3);
  if (hash.starts_with("rounds=")) {
    hash.remove_prefix(7);
    const size_t end = std::min(hash.find('$'), hash.size());
    unsigned rounds = 0;
    const auto [stop, error] = std::from_chars(hash.data(), hash.data() + end, rounds);
    if (error != std::errc() || stop != hash.data() + end || end == hash.size()) return garbled;
    if (rounds < 1000 || rounds > kMaxRounds)
      return fmt::format("{} rounds are not taken (1000 to {}): each check would take too long; write fewer", rounds,
                         kMaxRounds);
    hash.remove_prefix(end + 1);
  }
  const size_t salt = hash.find('$');
  if (salt == 0 || salt > 16 || hash.size() - salt - 1 != digest_bytes) return garbled;
  return all_crypt64(hash.substr(0, salt)) && all_crypt64(hash.substr(salt + 1)) ? std::string() : garbled;
}

std::string hash_problem(std::string_view hash) {
  if (hash.empty()) return fmt::format("there is no hash behind the name; {}", kHint);
  if (hash.starts_with("$2a$") || hash.starts_with("$2b$") || hash.starts_with("$2y$")) return bcrypt_problem(hash);
  if (hash.starts_with("$6$")) return sha_problem(hash, 86);
  if (hash.starts_with("$5$")) return sha_problem(hash, 43);
  if (hash.starts_with("$apr1$") || hash.starts_with("$1$") || hash.starts_with("{SHA}"))
    return fmt::format("MD5 and SHA-1 hashes are guessed in seconds and not taken; {}", kHint);
  if (hash.starts_with('$') || hash.starts_with('{'))
    return fmt::format("this kind of hash is not known here, only bcrypt, SHA-512-crypt and SHA-256-crypt; {}", kHint);
  return fmt::format("this is no hash that is taken (a plain password, or the old crypt); {}", kHint);
}

std::string name_problem(std::string_view name) {
  if (name.empty()) return "the name is empty; write NAME:HASH";
  if (name.size() > kMaxNameBytes) return "a name has 255 bytes at most; write a shorter one";
  const auto bad = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::any_of(name.begin(), name.end(), bad)) return "a name holds no control characters; remove them";
  if (name.front() == ' ' || name.back() == ' ') return "a name neither begins nor ends with a blank; remove it";
  return {};
}

}  // namespace

std::vector<UserFileProblem> parse_users(std::string_view text, UserFile& file) {
  std::vector<UserFileProblem> problems;
  const auto report = [&](int line, size_t column, std::string message) {
    if (problems.size() < kMaxProblems) problems.push_back({line, static_cast<int>(column) + 1, std::move(message)});
  };
  std::map<std::string, int, std::less<>> first_lines;
  int number = 0;
  while (!text.empty()) {
    ++number;
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      report(number, 0, fmt::format("there is no colon in this line; write NAME:HASH ({})", kHint));
      continue;
    }
    const std::string_view name = line.substr(0, colon);
    if (std::string problem = name_problem(name); !problem.empty()) {
      report(number, 0, std::move(problem));
      continue;
    }
    if (std::string problem = hash_problem(line.substr(colon + 1)); !problem.empty()) {
      report(number, colon + 1, std::move(problem));
      continue;
    }
    const auto [first, fresh] = first_lines.emplace(name, number);
    if (!fresh) {
      report(number, 0, fmt::format("this name stands in line {} already; keep one of the two", first->second));
      continue;
    }
    file.users.emplace_back(name, line.substr(colon + 1));
  }
  if (file.users.empty() && problems.empty())
    report(1, 0, fmt::format("there are no users here, so that nobody could come in; write NAME:HASH ({})", kHint));
  std::sort(file.users.begin(), file.users.end());
  return problems;
}

}  // namespace weir::config
