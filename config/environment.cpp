#include "config/environment.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "lb/base/unique_fd.hpp"

namespace weir::config {

namespace {

FileText read_real_file(const std::string& path, size_t limit, bool any_kind) {
  const auto failed = [] { return FileText{std::nullopt, std::strerror(errno)}; };
  // Without O_NONBLOCK, opening a FIFO named by mistake would wait for its writer for ever.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | (any_kind ? 0 : O_NONBLOCK)));
  if (fd.get() < 0) return failed();
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return failed();
  if (S_ISDIR(status.st_mode)) return {std::nullopt, "it is a directory"};
  if (!any_kind && !S_ISREG(status.st_mode)) return {std::nullopt, "it is not an ordinary file"};
  std::string text;
  char buffer[16384];
  while (text.size() <= limit) {
    const ssize_t got = ::read(fd.get(), buffer, std::min(sizeof buffer, limit + 1 - text.size()));
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed();
    text.append(buffer, static_cast<size_t>(got));
  }
  return {std::move(text), {}};
}

std::vector<std::string> glob_real_files(const std::string& pattern) {
  std::vector<std::string> paths;
  glob_t found{};
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  std::sort(paths.begin(), paths.end());  // by bytes, whatever the locale
  return paths;
}

bool is_variable_name(std::string_view name) {
  const auto letter = [](char c) { return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
  if (name.empty() || name.size() > 128 || !letter(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

class Expander {
 public:
  Expander(const Environment& environment, std::vector<Finding>& problems)
      : environment_(environment), problems_(problems) {}

  void walk(Node& node) {
    if (node.kind == Node::Kind::scalar && node.text.find('$') != std::string::npos) expand(node);
    for (auto& item : node.items) walk(item);
    for (auto& entry : node.entries) walk(entry.value);
  }

 private:
  void expand(Node& node) {
    std::string out;
    bool substituted = false;
    const std::string& in = node.text;
    for (size_t i = 0; i < in.size();) {
      if (in.compare(i, 2, "$$") == 0) {
        out += '$';
        i += 2;
      } else if (in.compare(i, 2, "${") == 0) {
        const size_t end = in.find('}', i);
        if (end == std::string::npos)
          return fail(node, "${ without }; write ${NAME} or ${NAME:-default}, or $$ for a dollar");
        substituted = true;
        if (!substitute(node, std::string_view(in).substr(i + 2, end - i - 2), out)) return;
        i = end + 1;
      } else {
        out += in[i++];
      }
      if (out.size() > kMaxExpandedBytes)
        return fail(node, "with its variables this value is longer than 64 KiB; make it shorter");
    }
    node.text = std::move(out);
    // Inside { } and [ ] YAML wants ${NAME} in quotes; they say nothing about what it stands for.
    if (substituted) node.quoted = false;
  }

  /// `inside` is what stands between the braces.
  bool substitute(Node& node, std::string_view inside, std::string& out) {
    const size_t mark = inside.find(":-");
    const std::string name(inside.substr(0, mark));
    if (!is_variable_name(name)) {
      fail(node, "this is not the name of an environment variable: ${" + name.substr(0, 64) +
                     "}; write ${NAME} or ${NAME:-default}, or $$ for a dollar");
      return false;
    }
    const auto value = environment_.variable(name);
    if (value && (!value->empty() || mark == std::string_view::npos)) {
      out += *value;
    } else if (mark != std::string_view::npos) {
      out += inside.substr(mark + 2);
    } else {
      fail(node, fmt::format("the environment variable {0} is not set; set it, or write ${{{0}:-default}}", name));
      return false;
    }
    return true;
  }

  void fail(Node& node, std::string message) {
    if (problems_.size() < kMaxProblems) problems_.push_back({node.at, std::move(message)});
    node.kind = Node::Kind::broken;
  }

  const Environment& environment_;
  std::vector<Finding>& problems_;
};

}  // namespace

Environment Environment::real() {
  return {.variable = [](const std::string& name) -> std::optional<std::string> {
            const char* value = std::getenv(name.c_str());
            if (!value) return std::nullopt;
            return value;
          },
          .read_file = read_real_file,
          .glob = glob_real_files};
}

Environment Environment::none() {
  return {.variable = [](const std::string&) { return std::optional<std::string>(); },
          .read_file =
              [](const std::string&, size_t, bool) {
                return FileText{std::nullopt, "there are no files here"};
              },
          .glob = [](const std::string&) { return std::vector<std::string>(); }};
}

void expand_variables(Node& root, const Environment& environment, std::vector<Finding>& problems) {
  Expander(environment, problems).walk(root);
}

}  // namespace weir::config
