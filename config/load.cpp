#include "config/load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "config/paths.hpp"
#include "config/reader.hpp"
#include "config/tables.hpp"
#include "config/validate.hpp"
#include "config/yaml.hpp"

namespace weir::config {

std::string Problem::to_warning() const { return Problem{at, "warning: " + message}.to_string(); }

std::string Problem::to_string() const {
  if (at.line == 0) return fmt::format("{}: {}", at.file, message);
  return fmt::format("{}:{}:{}: {}", at.file, at.line, at.column, message);
}

namespace {

constexpr size_t kMaxFiles = 1000;
constexpr size_t kMaxTotalBytes = 16 << 20;

/// Reads the files and merges them into one tree.
class Merger {
 public:
  Merger(std::string name, const Environment& environment) : environment_(environment) {
    files.push_back(std::move(name));
  }

  void read_main(std::string_view text) {
    auto tree = parse(text, 0);
    if (!tree) return;
    root = std::move(*tree);
    if (root.kind == Node::Kind::null) {
      root = Node(Node::Kind::map, {0, 1, 1});
    } else if (root.kind != Node::Kind::map) {
      if (root.kind != Node::Kind::broken)
        report(root.at, "a configuration is a map; write listeners:, pools: and routes:");
      complete = false;
      return;
    }
    if (const Node* include = root.find("include")) read_includes(Node(*include));
  }

  std::vector<std::string> files;
  std::vector<Finding> problems;
  Node root;
  bool complete = true;  // false: a file is missing from the tree, so that nothing can be said about the whole

 private:
  void report(Place at, std::string message) {
    if (problems.size() < kMaxProblems) problems.push_back({at, std::move(message)});
  }

  std::optional<Node> parse(std::string_view text, int file) {
    total_bytes_ += text.size();
    auto tree = parse_yaml(text, file, problems);
    if (tree) {
      expand_variables(*tree, environment_, problems);
    } else {
      complete = false;
    }
    return tree;
  }

  void read_includes(const Node& include) {
    if (include.kind == Node::Kind::broken) return;
    if (include.kind != Node::Kind::list)
      return report(include.at, "include: a list of paths is needed; write [conf.d/*.yaml]");
    for (const auto& item : include.items) {
      if (item.kind == Node::Kind::scalar && !item.text.empty()) {
        read_pattern(item);
      } else if (item.kind != Node::Kind::broken) {
        report(item.at, "include: a path is needed here; write one like conf.d/*.yaml");
      }
    }
  }

  void read_pattern(const Node& item) {
    const std::string pattern = beside(files[0], item.text);
    const bool wild = pattern.find_first_of("*?[") != std::string::npos;
    const auto paths = wild ? environment_.glob(pattern) : std::vector<std::string>{pattern};
    for (const auto& path : paths) {
      if (path == files[0]) {
        report(item.at,
               fmt::format("include: {} names the file itself; write a pattern for the other files", item.text));
        complete = false;
        continue;
      }
      if (!seen_.insert(path).second) continue;
      if (files.size() >= kMaxFiles || total_bytes_ > kMaxTotalBytes) {
        complete = false;
        return report(item.at, fmt::format("include: these are more than {} files or {} MiB; write larger files",
                                           kMaxFiles, kMaxTotalBytes >> 20));
      }
      read_included(item.at, path);
    }
  }

  void read_included(Place at, const std::string& path) {
    const FileText file = environment_.read_file(path, kMaxFileBytes, false);
    if (!file.text) {
      complete = false;
      return report(at, fmt::format("include: {} can't be read: {}", path, file.error));
    }
    files.push_back(path);
    auto tree = parse(*file.text, static_cast<int>(files.size()) - 1);
    if (!tree || tree->kind == Node::Kind::null || tree->kind == Node::Kind::broken) return;
    if (tree->kind != Node::Kind::map)
      return report(tree->at, "an included file is a map like the main one; write pools:, routes: …");
    for (auto& entry : tree->entries) merge(std::move(entry));
  }

  /// Maps merge, routes append; all else may stand in one file only.
  void merge(Entry&& entry) {
    if (entry.key == "include") return report(entry.at, "include works in the main file alone; name the files there");
    const auto same_key = [&](const Entry& known) { return known.key == entry.key; };
    const auto known = std::find_if(root.entries.begin(), root.entries.end(), same_key);
    if (known == root.entries.end()) {
      root.entries.push_back(std::move(entry));
      return;
    }
    Node &into = known->value, &from = entry.value;
    if (into.kind == Node::Kind::map && from.kind == Node::Kind::map) {
      merge_maps(entry.key, into, from);
    } else if (into.kind == Node::Kind::list && from.kind == Node::Kind::list && entry.key == "routes") {
      into.items.insert(into.items.end(), std::make_move_iterator(from.items.begin()),
                        std::make_move_iterator(from.items.end()));
    } else if (from.kind != Node::Kind::broken && into.kind != Node::Kind::broken) {
      report_twice(entry.key, entry.at, known->at);
    }
  }

  void merge_maps(const std::string& key, Node& into, Node& from) {
    std::map<std::string, Place> known;
    for (const auto& entry : into.entries) known.emplace(entry.key, entry.at);
    for (auto& entry : from.entries) {
      const auto [first, fresh] = known.emplace(entry.key, entry.at);
      if (fresh) {
        into.entries.push_back(std::move(entry));
      } else {
        report_twice(key + "." + entry.key, entry.at, first->second);
      }
    }
  }

  void report_twice(const std::string& what, Place at, Place first) {
    report(at, fmt::format("{} is here twice; it stands first at {}:{}:{}: keep one", what,
                           files[static_cast<size_t>(first.file)], first.line, first.column));
  }

  const Environment& environment_;
  std::set<std::string> seen_;
  size_t total_bytes_ = 0;
};

std::vector<Problem> sorted(const Reader& in, std::vector<Finding> findings) {
  std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) { return a.at < b.at; });
  std::vector<Problem> problems;
  for (auto& finding : findings) problems.push_back({in.location(finding.at), std::move(finding.message)});
  return problems;
}

}  // namespace

LoadResult load_text(std::string_view text, const std::string& name, const Environment& environment) {
  Merger merger(name, environment);
  merger.read_main(text);
  Reader in(environment, merger.files);
  in.errors = std::move(merger.problems);
  Config config;
  if (merger.root.kind == Node::Kind::map) {
    root_section().read(in, merger.root, config);
    if (merger.complete) validate(in, merger.root, config);
  }
  LoadResult result;
  result.errors = sorted(in, std::move(in.errors));
  result.warnings = sorted(in, std::move(in.warnings));
  if (result.errors.empty()) result.config = std::move(config);
  return result;
}

LoadResult load_file(const std::string& path, const Environment& environment, bool any_kind) {
  const FileText file = environment.read_file(path, kMaxFileBytes, any_kind);
  if (file.text) return load_text(*file.text, path, environment);
  LoadResult result;
  result.unreadable = true;
  result.errors.push_back({{path, 0, 0}, fmt::format("can't be read: {}", file.error)});
  return result;
}

}  // namespace weir::config
