// What the manual shows can be copied: every YAML block of the README and of docs/ is accepted.
#include <filesystem>
#include <fstream>

#include "tests/unit/config/support.hpp"

using namespace weir::config;
using namespace weir::config::test;

namespace {

struct Block {
  std::string text;
  size_t line = 0;  // of its first line
};

std::vector<Block> yaml_blocks(const std::filesystem::path& page) {
  std::ifstream file(page);
  REQUIRE(file);
  std::vector<Block> blocks;
  size_t number = 0;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (inside && line == "```") {
      inside = false;
    } else if (inside) {
      blocks.back().text += line + "\n";
    } else if (line == "```yaml") {
      inside = true;
      blocks.push_back({{}, number + 1});
    }
  }
  CHECK_FALSE(inside);
  return blocks;
}

bool has_line(const std::string& text, const std::string& beginning) {
  return text.starts_with(beginning) || text.find("\n" + beginning) != std::string::npos;
}

/// Its first line is the name of the file, "# prometheus.yml".
bool is_of_another_program(const std::string& text) {
  return text.starts_with("# ") && text.substr(0, text.find('\n')).ends_with(".yml");
}

/// A block may leave out listeners, routes, and the backends of its one pool, which is its last part then.
std::string completed(std::string text) {
  if (text.find("mode: tcp") != std::string::npos) {
    if (text.find("backends:") == std::string::npos) text += "    backends: { a: 127.0.0.1:9001 }\n";
    if (!has_line(text, "listeners:")) text += "listeners: { db: { bind: \":8080\", mode: tcp, pool: app } }\n";
    return text;
  }
  if (has_line(text, "pools:") && text.find("backends:") == std::string::npos)
    text += "    backends: { a: \"http://127.0.0.1:9001\", b: \"http://127.0.0.1:9002\" }\n";
  if (!has_line(text, "pools:")) text += "pools: { app: { backends: { a: \"http://127.0.0.1:9001\" } } }\n";
  if (!has_line(text, "listeners:")) text += "listeners: { web: { bind: \":8080\" } }\n";
  if (!has_line(text, "routes:")) text += "routes: [ { pool: app } ]\n";
  return text;
}

}  // namespace

TEST_CASE("every YAML block of the manual is accepted", "[docs]") {
  const std::filesystem::path root = source_folder();
  std::vector<std::filesystem::path> pages{root / "README.md"};
  for (const auto& entry : std::filesystem::directory_iterator(root / "docs"))
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  World world;
  world.files["/etc/weir/token"] = "c2VjcmV0LXNlY3JldA==\n";
  world.files["/etc/weir/users"] = "ann:$2y$05$" + std::string(53, 'a') + "\n";
  world.files["/etc/weir/secret.keys"] = "0123456789012345678901234567890123456789\n";
  world.files["/etc/weir/tickets.keys"] = world.files["/etc/weir/secret.keys"];
  for (const char* path : {"site.pem", "site.key", "people-ca.pem"})
    world.files[std::string("/etc/weir/tls/") + path] = "PEM";
  size_t blocks = 0;
  for (const auto& page : pages)
    for (const auto& block : yaml_blocks(page)) {
      if (is_of_another_program(block.text)) continue;
      INFO(page.filename().string() << ":" << block.line << "\n" << completed(block.text));
      const LoadResult result = load_text(completed(block.text), "weir.yaml", world.environment());
      INFO(all(result.errors));
      CHECK(result.config);
      ++blocks;
    }
  CHECK(blocks > 15);
}
