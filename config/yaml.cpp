#include "config/yaml.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <unordered_map>
#include <utility>

namespace weir::config {

const Entry* Node::find_entry(std::string_view key) const {
  for (const auto& entry : entries)
    if (entry.key == key) return &entry;
  return nullptr;
}

const Node* Node::find(std::string_view key) const {
  const Entry* entry = find_entry(key);
  return entry ? &entry->value : nullptr;
}

namespace {

constexpr const char* kNoAliases =
    "aliases (*name) are not supported; write the value out, and what begins with * in quotes: \"*.example.com\"";

/// Ends the parsing of a file at a problem after which going on makes no sense.
struct Abort {
  Finding finding;
};

/// Builds the tree from yaml-cpp's events: an alias is an event of its own here, so that an alias bomb never unfolds.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(int file, std::vector<Finding>& problems) : file_(file), problems_(problems) {}

  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (started_)
      throw Abort{{place(mark), "a second YAML document (---); write everything in one document, or use include:"}};
    started_ = true;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    add(Node(Node::Kind::null, place(mark)));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    report(mark, kNoAliases);
    add(Node(Node::Kind::broken, place(mark)));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    Node node(Node::Kind::scalar, place(mark));
    node.quoted = tag != "?";
    node.text = value;
    add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::list);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, Node::Kind::map);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Level {
    Node node;
    bool expects_key = true;  // of a map
    bool skip_value = false;  // the key was refused: its value is read and forgotten
    Entry pending;
    std::unordered_map<std::string, Place> seen;
  };

  Place place(const YAML::Mark& mark) const { return {file_, mark.line + 1, mark.column + 1}; }
  void report(Place at, std::string message) {
    if (problems_.size() < kMaxProblems) problems_.push_back({at, std::move(message)});
  }
  void report(const YAML::Mark& mark, std::string message) { report(place(mark), std::move(message)); }

  void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor)
      report(mark, "anchors (&name) are not supported; write the value out where it is needed");
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag != "?" && tag != "!" && !tag.empty())
      report(mark, fmt::format("the tag {} is not supported; leave it out", tag));
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Node::Kind kind) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (levels_.size() >= kMaxDepth)
      throw Abort{
          {place(mark), fmt::format("more than {} levels of nesting; no configuration needs so many", kMaxDepth)}};
    levels_.emplace_back();
    levels_.back().node = Node(kind, place(mark));
  }

  void close() {
    Node node = std::move(levels_.back().node);
    levels_.pop_back();
    add(std::move(node));
  }

  void add(Node node) {
    if (++nodes_ > kMaxNodes)
      throw Abort{{node.at, fmt::format("more than {} values in one file; split it", kMaxNodes)}};
    if (levels_.empty()) {
      root_ = std::move(node);
      return;
    }
    Level& level = levels_.back();
    if (level.node.kind == Node::Kind::list) {
      level.node.items.push_back(std::move(node));
    } else if (level.expects_key) {
      take_key(level, std::move(node));
    } else {
      take_value(level, std::move(node));
    }
  }

  void take_key(Level& level, Node node) {
    level.expects_key = false;
    level.skip_value = true;
    if (node.kind == Node::Kind::broken) return;
    if (node.kind != Node::Kind::scalar) {
      report(node.at, "a key must be a word; write `name: value`");
      return;
    }
    if (node.is_plain() && node.text == "<<") {
      report(node.at, "merging with << is not supported; write the keys out, or use `defaults:`");
      return;
    }
    const auto [first, is_new] = level.seen.emplace(node.text, node.at);
    if (!is_new) {
      report(node.at, fmt::format("\"{}\" is here twice; it stands first in line {}, column {}: keep one",
                                  printable(node.text), first->second.line, first->second.column));
      return;
    }
    level.skip_value = false;
    level.pending.key = std::move(node.text);
    level.pending.at = node.at;
  }

  void take_value(Level& level, Node node) {
    level.expects_key = true;
    if (level.skip_value) return;
    // yaml-cpp gives a missing value the place of whatever follows it.
    if (node.kind == Node::Kind::null) node.at = level.pending.at;
    level.pending.value = std::move(node);
    level.node.entries.push_back(std::move(level.pending));
    level.pending = {};
  }

  static std::string printable(std::string_view text) { return std::string(text.substr(0, 64)); }

  int file_;
  std::vector<Finding>& problems_;
  bool started_ = false;
  size_t nodes_ = 0;
  Node root_;
  std::vector<Level> levels_;
};

/// yaml-cpp's words for what people get wrong most often, with the way out.
std::string explain(const std::string& message) {
  static const std::pair<const char*, const char*> known[] = {
      {"illegal map value", "a `:` where none can stand; check the indentation, or put the text in quotes"},
      {"end of map not found", "the map does not go on or end here; check the indentation and write `key: value`"},
      {"end of map flow not found",
       "a } or a comma is missing; close the { or separate its entries, and put ${NAME} in quotes"},
      {"end of sequence not found", "the list does not go on or end here; check the indentation of `- `"},
      {"end of sequence flow not found",
       "a ] or a comma is missing; close the [ or separate its elements, and put ${NAME} in quotes"},
      {"illegal EOF in scalar", "a quote is opened and never closed; close it"},
      {"unknown token", "this character can't stand here without quotes; put the text in quotes"},
      {"illegal flow end", "a closing bracket without its opening one; remove it"},
      {"the referenced anchor is not defined", kNoAliases},
      {"illegal block entry", "a `- ` where no list can stand; check the indentation"},
  };
  for (const auto& [theirs, ours] : known)
    if (message == theirs) return ours;
  return "this is not YAML: " + message + "; check the quotes, brackets and indentation";
}

/// Offset of the first byte that is not UTF-8 (RFC 3629) or is NUL, or npos.
size_t find_bad_byte(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead == 0) return i;
    const size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length == 0 || i + length > text.size()) return i;
    for (size_t k = 1; k < length; ++k)
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return i;
    if (length > 2) {
      const auto second = static_cast<unsigned char>(text[i + 1]);
      const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
      const bool out_of_range = (lead == 0xed && second > 0x9f) || (lead == 0xf4 && second > 0x8f);
      if (overlong || out_of_range) return i;
    }
    i += length;
  }
  return std::string_view::npos;
}

/// Where a tab stands in the indentation of a line (counted from 0), which is behind most of yaml-cpp's complaints
/// about such a line.
std::optional<int> tab_in_indentation(std::string_view text, int line) {
  for (; line > 0; --line) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    text.remove_prefix(end + 1);
  }
  const size_t tab = std::min(text.find_first_not_of(' '), text.size());
  if (tab == text.size() || text[tab] != '\t') return std::nullopt;
  return static_cast<int>(tab);
}

/// Where a quoted text begins in a line up to `last_line` (from 0) and doesn't end there: the quote that was
/// forgotten, most likely, for yaml-cpp only complains much later. Line and column from 1.
std::optional<std::pair<int, int>> open_quote(std::string_view text, int last_line) {
  for (int line = 0; line <= last_line && !text.empty(); ++line) {
    const std::string_view now = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(now.size() + 1, text.size()));
    bool at_start = true;  // of a value, where a quote has a meaning
    for (size_t i = 0; i < now.size(); ++i) {
      const char c = now[i];
      if (c == '#' && (i == 0 || now[i - 1] == ' ')) break;
      if (at_start && (c == '"' || c == '\'')) {
        size_t end = i + 1;
        while (end < now.size() && now[end] != c) end += c == '"' && now[end] == '\\' ? 2 : 1;
        if (end >= now.size()) return std::pair(line + 1, static_cast<int>(i) + 1);
        i = end;
      }
      at_start = c == ' ' ? at_start : std::string_view("[{,:-").find(c) != std::string_view::npos;
    }
  }
  return std::nullopt;
}

Finding finding_of(const YAML::Exception& error, std::string_view text, int file) {
  if (error.mark.is_null()) return {{file, 1, 1}, explain(error.msg)};
  if (const auto tab = tab_in_indentation(text, error.mark.line))
    return {{file, error.mark.line + 1, *tab + 1}, "a tab in the indentation; use spaces"};
  std::string message = explain(error.msg);
  const auto quote = open_quote(text, error.mark.line);
  const size_t last = text.find_last_not_of(" \n\r");  // what goes on to the end of the file can only be the quote
  if (quote && error.mark.line > std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(last), '\n'))
    return {{file, quote->first, quote->second}, "a quote is opened and never closed; close it"};
  if (quote)
    message +=
        fmt::format("; or is it the quote in line {}, column {} that is never closed?", quote->first, quote->second);
  return {{file, error.mark.line + 1, error.mark.column + 1}, std::move(message)};
}

Place place_of_offset(std::string_view text, size_t offset, int file) {
  Place place{file, 1, 1};
  for (const char c : text.substr(0, offset)) {
    place.column = c == '\n' ? 1 : place.column + 1;
    place.line += c == '\n';
  }
  return place;
}

}  // namespace

std::optional<Node> parse_yaml(std::string_view text, int file, std::vector<Finding>& problems) {
  if (text.size() > kMaxFileBytes) {
    problems.push_back({{file, 1, 1}, "the file is larger than 4 MiB; split it with include:"});
    return std::nullopt;
  }
  if (const size_t bad = find_bad_byte(text); bad != std::string_view::npos) {
    problems.push_back({place_of_offset(text, bad, file), "a byte that is not UTF-8 text; save the file as UTF-8"});
    return std::nullopt;
  }
  TreeBuilder builder(file, problems);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take();
  } catch (const Abort& abort) {
    problems.push_back(abort.finding);
  } catch (const YAML::Exception& error) {
    problems.push_back(finding_of(error, text, file));
  }
  return std::nullopt;
}

}  // namespace weir::config
